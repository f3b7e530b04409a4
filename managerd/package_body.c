/* Makes the body of an AWS call from a package's file, piece by piece. */
#include "managerd/package_body.h"

#include "common/base/crypto.h"
#include "common/base/escape.h"
#include "common/base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUPS_AT_ONCE 16384 /* of three bytes, which become four digits */
#define PIECE_BYTES    65536

struct package_body {
    struct lambda_stream stream;
    int descriptor;
    uint64_t bytes; /* of the package */
    char *before, *after;
    uint64_t before_length, base64_length;
    struct buffer digits;
    char group[3 * GROUPS_AT_ONCE];
};

static void free_body(struct lambda_stream *stream)
{
    struct package_body *body = (struct package_body *)stream;
    if (body->descriptor >= 0)
        close(body->descriptor);
    buffer_release(&body->digits);
    memory_release(body->before); /* an environment */
    memory_release(body->after);
    free(body);
}

/* Exactly so many bytes; false: the file is not what it was. */
static bool read_file(const struct package_body *body, uint64_t offset, char *out, size_t length)
{
    while (length) {
        ssize_t got = pread(body->descriptor, out, length, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        offset += (uint64_t)got;
        out += got;
        length -= (size_t)got;
    }
    return true;
}

static size_t smaller(uint64_t a, uint64_t b)
{
    return (size_t)(a < b ? a : b);
}

static size_t copy_text(struct view text, uint64_t offset, char *out, size_t room)
{
    struct view now = view_slice(text, (size_t)offset, room);
    memcpy(out, now.data, now.length);
    return now.length;
}

static size_t read_base64(struct package_body *body, uint64_t offset, char *out, size_t room)
{
    uint64_t start = offset / 4 * 3;
    size_t skipped = (size_t)(offset % 4);
    size_t groups = smaller((skipped + room + 3) / 4, GROUPS_AT_ONCE);
    size_t bytes = smaller(3 * groups, body->bytes - start);
    if (!read_file(body, start, body->group, bytes))
        return 0;
    buffer_clear(&body->digits);
    base64_encode(&body->digits, body->group, bytes);
    return copy_text(buffer_view(&body->digits), skipped, out, room);
}

static size_t read_body(struct lambda_stream *stream, uint64_t offset, char *out, size_t room)
{
    struct package_body *body = (struct package_body *)stream;
    if (offset < body->before_length)
        return copy_text(view_from(body->before, (size_t)body->before_length), offset, out, room);
    offset -= body->before_length;
    if (offset < body->base64_length)
        return read_base64(body, offset, out, room);
    return copy_text(view_of(body->after), offset - body->base64_length, out, room);
}

static enum error hash_body(struct package_body *body)
{
    uint8_t digest[SHA256_BYTES];
    struct sha256_stream *hash = sha256_new();
    char *piece = malloc(PIECE_BYTES);
    uint64_t offset = 0;
    size_t got = 1;
    REQUIRE(piece);
    while (offset < body->stream.length && got > 0) {
        got = read_body(&body->stream, offset, piece, PIECE_BYTES);
        sha256_update(hash, piece, got);
        offset += got;
    }
    sha256_finish(hash, digest);
    hex_write(body->stream.sha256, digest, sizeof digest);
    free(piece);
    return offset == body->stream.length ? ERROR_NONE : ERROR_IO;
}

enum error package_body_open(const char *path, struct view before, struct view after,
                             struct lambda_stream **stream)
{
    struct package_body *body = calloc(1, sizeof *body);
    struct stat status;
    enum error error = ERROR_NONE;
    REQUIRE(body);
    buffer_init(&body->digits, (size_t)5 * GROUPS_AT_ONCE);
    body->stream.read = read_body;
    body->stream.free = free_body;
    body->before = view_duplicate(before);
    body->before_length = before.length;
    body->after = view_duplicate(after);
    body->descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (body->descriptor < 0 || fstat(body->descriptor, &status) != 0) {
        error = error_from_errno(errno);
    } else {
        body->bytes = (uint64_t)status.st_size;
        body->base64_length = base64_encoded_length((size_t)body->bytes);
        body->stream.length = before.length + body->base64_length + after.length;
        error = hash_body(body);
    }
    if (error)
        free_body(&body->stream);
    else
        *stream = &body->stream;
    return error;
}
