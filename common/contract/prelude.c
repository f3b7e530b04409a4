/* Tells the head of a streamed reply from its body. */
#include "common/contract/prelude.h"

static enum error decode(struct prelude *prelude, struct arena *arena, struct buffer *problem);
static enum error do_without(struct prelude *prelude, enum error error, const char *why,
                             struct arena *arena, struct buffer *problem);

void prelude_init(struct prelude *prelude, enum prelude_mode mode)
{
    *prelude = (struct prelude){.mode = mode, .outcome = PRELUDE_PENDING};
    buffer_init(&prelude->held, PRELUDE_MAX_BYTES);
}

void prelude_release(struct prelude *prelude)
{
    buffer_release(&prelude->held);
    prelude->reply = (struct reply){.status = 0};
}

static enum error refuse(struct prelude *prelude, enum error error, const char *why,
                         struct buffer *problem)
{
    prelude->outcome = PRELUDE_REFUSED;
    buffer_append_string(problem, why);
    return error;
}

/* How many bytes may be part of a prelude: up to the end of the first run of NULs, which cannot
 * stand in JSON, and at most eight of them. */
static size_t measure(struct prelude *prelude, struct view bytes)
{
    size_t room = PRELUDE_MAX_BYTES - prelude->held.length;
    size_t i = 0;

    while (i < bytes.length && i < room && prelude->nul_count < PRELUDE_NULS) {
        if (bytes.data[i] == '\0')
            prelude->nul_count++;
        else if (prelude->nul_count > 0)
            break;
        i++;
    }
    return i;
}

enum error prelude_feed(struct prelude *prelude, struct view *bytes, struct arena *arena,
                        struct buffer *problem)
{
    struct view taken;

    REQUIRE(prelude->outcome == PRELUDE_PENDING);
    if (prelude->mode == PRELUDE_RAW)
        return do_without(prelude, ERROR_NONE, "", arena, problem);
    if (bytes->length == 0)
        return ERROR_NONE;
    if (prelude->held.length == 0 && bytes->data[0] != '{')
        return do_without(prelude, ERROR_INVALID, "the stream does not begin with a prelude", arena,
                          problem);
    taken = view_slice(*bytes, 0, measure(prelude, *bytes));
    buffer_append_view(&prelude->held, taken);
    if (prelude->held.error != ERROR_NONE)
        return refuse(prelude, prelude->held.error, "there is no memory for the prelude", problem);
    *bytes = view_slice(*bytes, taken.length, SIZE_MAX);
    if (prelude->nul_count == PRELUDE_NULS)
        return decode(prelude, arena, problem);
    if (prelude->held.length == PRELUDE_MAX_BYTES)
        return do_without(prelude, ERROR_TOO_BIG, "the prelude does not end within 16 KB", arena,
                          problem);
    if (bytes->length > 0)
        return do_without(prelude, ERROR_INVALID, "the prelude does not end with 8 NUL bytes",
                          arena, problem);
    return ERROR_NONE;
}

enum error prelude_end(struct prelude *prelude, struct arena *arena, struct buffer *problem)
{
    REQUIRE(prelude->outcome == PRELUDE_PENDING);
    return do_without(prelude, ERROR_TRUNCATED, "the stream ended before its prelude did", arena,
                      problem);
}

static enum error decode(struct prelude *prelude, struct arena *arena, struct buffer *problem)
{
    size_t length = prelude->held.length - PRELUDE_NULS;
    struct view text = view_slice(buffer_view(&prelude->held), 0, length);
    enum error error = reply_decode_prelude(text, arena, &prelude->reply, problem);

    if (error == ERROR_NOT_FOUND)
        return do_without(prelude, ERROR_INVALID, "the prelude is no JSON object", arena, problem);
    prelude->outcome = error == ERROR_NONE ? PRELUDE_STREAM : PRELUDE_REFUSED;
    return error;
}

static enum error begin_raw(struct prelude *prelude, struct arena *arena, struct buffer *problem)
{
    struct reply_header *type = arena_alloc(arena, sizeof(*type));

    if (!type)
        return refuse(prelude, arena->error, "there is no memory for the head of the response",
                      problem);
    *type = (struct reply_header){VIEW("Content-Type"), VIEW("application/octet-stream")};
    prelude->outcome = PRELUDE_STREAM;
    prelude->reply = (struct reply){
        .status = 200, .headers = type, .header_count = 1, .body = buffer_view(&prelude->held)};
    return ERROR_NONE;
}

/* There is no prelude: by the mode that is `error`, a body, or a reply that was not streamed. */
static enum error do_without(struct prelude *prelude, enum error error, const char *why,
                             struct arena *arena, struct buffer *problem)
{
    switch (prelude->mode) {
    case PRELUDE_REQUIRED:
        return refuse(prelude, error, why, problem);
    case PRELUDE_AUTO:
        if (prelude->held.length == 0)
            break;
        prelude->outcome = PRELUDE_BUFFERED;
        prelude->reply = (struct reply){.status = 200, .body = buffer_view(&prelude->held)};
        return ERROR_NONE;
    case PRELUDE_OPTIONAL:
    case PRELUDE_RAW:
        break;
    }
    return begin_raw(prelude, arena, problem);
}
