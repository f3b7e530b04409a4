/* Compresses lists and documents for clients that ask for it. */
#include "managerd/compress.h"

#include <string.h>
#include <zlib.h>

#define GZIP_WINDOW_BITS (15 + 16) /* zlib's way to say: with a gzip frame */
#define MEMORY_LEVEL     8

/* "gzip;q=0.5" -> true unless the weight is zero. */
static bool weight_is_positive(struct view parameters)
{
    struct view parameter;
    while (view_split(&parameters, ';', &parameter)) {
        parameter = view_trim(parameter);
        if (!view_equal_nocase(view_slice(parameter, 0, 2), VIEW("q=")))
            continue;
        for (size_t i = 2; i < parameter.length; i++)
            if (parameter.data[i] >= '1' && parameter.data[i] <= '9')
                return true;
        return false;
    }
    return true;
}

bool gzip_accepted(struct view accept_encoding)
{
    struct view coding, name;
    bool any = false;
    while (view_split(&accept_encoding, ',', &coding)) {
        view_split(&coding, ';', &name);
        name = view_trim(name);
        bool wanted = coding.data == NULL || weight_is_positive(coding);
        if (view_equal_nocase(name, VIEW("gzip")) || view_equal_nocase(name, VIEW("x-gzip")))
            return wanted; /* what is said of it by name counts, wherever it stands */
        if (view_equal(name, VIEW("*")))
            any = wanted;
    }
    return any;
}

bool gzip_encode(struct buffer *out, struct view plain)
{
    z_stream stream;
    memset(&stream, 0, sizeof stream);
    if (deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW_BITS, MEMORY_LEVEL,
                     Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    size_t bound = deflateBound(&stream, plain.length);
    char *room = buffer_reserve(out, bound);
    bool done = false;
    if (room) {
        stream.next_in = (Bytef *)(uintptr_t)plain.data;
        stream.avail_in = (uInt)plain.length;
        stream.next_out = (Bytef *)room;
        stream.avail_out = (uInt)bound;
        done = deflate(&stream, Z_FINISH) == Z_STREAM_END;
        if (done)
            buffer_commit(out, stream.total_out);
    }
    deflateEnd(&stream);
    return done;
}
