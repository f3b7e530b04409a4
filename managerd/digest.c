/* Compares the digest that a client gives with the one of what came. */
#include "managerd/digest.h"

#include "common/base/escape.h"

#define MEMBER_SHA256 "sha-256"
#define DIGEST_BYTES  32

static bool is_key(struct view key)
{
    if (key.length == 0 || !((key.data[0] >= 'a' && key.data[0] <= 'z') || key.data[0] == '*'))
        return false;
    for (size_t i = 0; i < key.length; i++) {
        char c = key.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c && strchr("_-.*", c))))
            return false;
    }
    return true;
}

static enum digest_verdict compare(struct view sequence, const char *sha256_hex)
{
    struct buffer bytes;
    char hex[2 * DIGEST_BYTES + 1] = "";
    enum digest_verdict verdict = DIGEST_MALFORMED;
    buffer_init(&bytes, 2 * DIGEST_BYTES);
    if (!base64_decode(&bytes, sequence) && bytes.length == DIGEST_BYTES) {
        hex_write(hex, bytes.data, bytes.length);
        verdict = strcmp(hex, sha256_hex) == 0 ? DIGEST_SAME : DIGEST_OTHER;
    }
    buffer_release(&bytes);
    return verdict;
}

/* One member: key=:base64:, perhaps with parameters, which mean nothing here. */
static enum digest_verdict read_member(struct view member, const char *sha256_hex)
{
    size_t equals = view_find(member, '=');
    struct view key = view_slice(member, 0, equals),
                value = view_slice(member, equals + 1, SIZE_MAX);
    if (equals == SIZE_MAX || !is_key(key) || value.length < 2 || value.data[0] != ':')
        return DIGEST_MALFORMED;
    value = view_slice(value, 1, SIZE_MAX);
    size_t end = view_find(value, ':');
    struct view behind = view_trim(view_slice(value, end == SIZE_MAX ? end : end + 1, SIZE_MAX));
    if (end == SIZE_MAX || (behind.length && behind.data[0] != ';'))
        return DIGEST_MALFORMED;
    if (!view_equal(key, VIEW(MEMBER_SHA256)))
        return DIGEST_ABSENT;
    return compare(view_slice(value, 0, end), sha256_hex);
}

enum digest_verdict digest_compare(struct view field, const char *sha256_hex)
{
    enum digest_verdict found = DIGEST_ABSENT;
    struct view rest = field, member;
    if (view_trim(field).length == 0)
        return DIGEST_MALFORMED;
    while (view_split(&rest, ',', &member)) {
        enum digest_verdict verdict = read_member(view_trim(member), sha256_hex);
        if (verdict == DIGEST_MALFORMED)
            return verdict;
        if (verdict != DIGEST_ABSENT)
            found = verdict;
    }
    return found;
}
