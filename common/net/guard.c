/* Scans one HTTP/1 message at a time and lets through only what RFC 9112 allows. */
#include "common/net/guard.h"

#include "common/net/head.h"
#include "common/net/syntax.h"

#define VERSION_BYTES    8 /* "HTTP/1.1" */
#define USUAL_HEAD_BYTES 1024
#define CHUNK_MAX_DIGITS 8

const struct guard_limits guard_default_limits = {
    .max_target_bytes = 8 * 1024,
    .max_line_bytes = 16 * 1024,
    .max_head_bytes = 32 * 1024,
    .max_headers = 100,
    .max_body_bytes = 6 * 1024 * 1024,
    .allow_trailers = false,
    .allow_unknown_methods = true,
};

static const struct {
    const char *name;
    int status;
} reasons[] = {
#define GUARD_ROW(code, name, status) [GUARD_##code] = {name, status},
    GUARD_REASON_LIST(GUARD_ROW)
#undef GUARD_ROW
};

const char *guard_reason_name(enum guard_reason reason)
{
    return reasons[reason].name;
}

int guard_reason_status(enum guard_reason reason)
{
    return reasons[reason].status;
}

/* ---- the guard as a whole ---- */

static void reset(struct guard *guard)
{
    struct guard fresh = {
        .limits = guard->limits,
        .max_body_bytes = guard->limits->max_body_bytes,
        .over_limit = GUARD_BODY_TOO_LARGE,
        .head = guard->head,
        .trailer = guard->trailer,
    };

    *guard = fresh;
}

void guard_init(struct guard *guard, const struct guard_limits *limits)
{
    *guard = (struct guard){.limits = limits};
    fields_init(&guard->head, limits->max_head_bytes);
    fields_init(&guard->trailer, limits->max_head_bytes);
    reset(guard);
}

void guard_release(struct guard *guard)
{
    fields_release(&guard->head);
    fields_release(&guard->trailer);
    reset(guard);
}

void guard_next(struct guard *guard)
{
    fields_clear(&guard->head);
    fields_clear(&guard->trailer);
    reset(guard);
}

void guard_refuse(struct guard *guard, enum guard_reason reason)
{
    if (guard->state == GUARD_STATE_REFUSED)
        return;
    guard->state = GUARD_STATE_REFUSED;
    guard->reason = reason;
}

static void commit(struct guard *guard, size_t taken)
{
    guard->committed = guard->scanned + taken;
}

/* ---- lines ---- */

struct line_rule {
    enum syntax_class legal;
    size_t max_bytes; /* of this line */
    enum guard_reason illegal, too_long;
};

/*
 * Takes bytes up to and with the line's end; true when it is there. Every decision hangs on a
 * byte's place in the line alone, so that it is the same for every way of cutting the stream.
 */
static bool take_line(struct guard *guard, struct fields *fields, struct view bytes,
                      const struct line_rule *rule, size_t *taken)
{
    size_t line = fields->text.length - fields->line_start;
    size_t room = rule->max_bytes - line;
    size_t run;

    *taken = 0;
    if (bytes.length == 0)
        return false;
    if (guard->after_cr) {
        if (bytes.data[0] != '\n') {
            guard_refuse(guard, GUARD_LINE_END);
            return false;
        }
        *taken = 1;
        guard->after_cr = false;
        return true;
    }
    run = syntax_run(bytes.data, bytes.length < room ? bytes.length : room, rule->legal);
    buffer_append(&fields->text, bytes.data, run);
    *taken = run;
    if (fields->text.error != ERROR_NONE) {
        guard_refuse(guard, GUARD_HEAD_TOO_LARGE);
    } else if (run < bytes.length) {
        if (bytes.data[run] == '\r') {
            *taken = run + 1;
            guard->after_cr = true;
        } else if (bytes.data[run] == '\n') {
            guard_refuse(guard, GUARD_LINE_END);
        } else {
            guard_refuse(guard, run == room ? rule->too_long : rule->illegal);
        }
    }
    return false;
}

/* ---- the request line, RFC 9112 section 3 ---- */

/* What an over-long or illegal byte in the request line is called depends on the part it is in. */
static struct line_rule request_line_rule(const struct guard *guard)
{
    struct view line = fields_line(&guard->head);
    size_t space = view_find(line, ' ');
    struct line_rule rule = {.legal = SYNTAX_LINE};

    if (space == SIZE_MAX) {
        rule.max_bytes = HEAD_METHOD_MAX_BYTES + 1;
        rule.illegal = GUARD_METHOD;
        rule.too_long = GUARD_METHOD_UNKNOWN;
    } else {
        rule.max_bytes = space + 1 + guard->limits->max_target_bytes + 1 + VERSION_BYTES;
        rule.illegal = GUARD_TARGET;
        rule.too_long = GUARD_TARGET_TOO_LONG;
    }
    return rule;
}

static size_t scan_request_line(struct guard *guard, struct view bytes, struct guard_step *step)
{
    struct line_rule rule = request_line_rule(guard);
    enum guard_reason reason;
    size_t taken;

    (void)step;
    if (rule.illegal == GUARD_METHOD) {
        size_t space = view_find(bytes, ' ');

        /* Behind the first space another rule holds. */
        bytes = view_slice(bytes, 0, space == SIZE_MAX ? SIZE_MAX : space + 1);
    }
    if (!take_line(guard, &guard->head, bytes, &rule, &taken))
        return taken;
    reason = head_check_request_line(guard, fields_line(&guard->head));
    fields_end_line(&guard->head);
    if (reason != GUARD_NONE)
        guard_refuse(guard, reason);
    else
        guard->state = GUARD_STATE_HEADER_LINE;
    return taken;
}

static size_t scan_start(struct guard *guard, struct view bytes, struct guard_step *step)
{
    static const struct line_rule empty = {SYNTAX_LINE, 0, GUARD_METHOD, GUARD_METHOD};
    size_t taken;

    (void)step;
    if (bytes.length == 0)
        return 0;
    if (!guard->after_cr && (bytes.data[0] != '\r' || guard->leading_bytes)) {
        guard->state = GUARD_STATE_REQUEST_LINE;
        /* Room for a usual head at once, instead of by doubling. */
        if (guard->limits->max_head_bytes >= USUAL_HEAD_BYTES)
            buffer_reserve(&guard->head.text, USUAL_HEAD_BYTES);
        return 0;
    }
    if (take_line(guard, &guard->head, bytes, &empty, &taken))
        guard->leading_bytes = 2;
    return taken;
}

/* ---- header lines, RFC 9112 section 5 ---- */

static size_t end_head(struct guard *guard, size_t taken, struct guard_step *step)
{
    enum guard_reason reason = head_check_whole(guard);

    if (reason != GUARD_NONE) {
        guard_refuse(guard, reason);
        return taken;
    }
    commit(guard, taken);
    guard->state = GUARD_STATE_BODY;
    step->event = GUARD_EVENT_HEAD;
    return taken;
}

static struct line_rule field_rule(const struct guard *guard, const struct fields *fields)
{
    size_t used = fields->bytes + 2, whole = guard->limits->max_head_bytes;
    size_t room = whole > used ? whole - used : 0;
    size_t line = guard->limits->max_line_bytes;

    return (struct line_rule){SYNTAX_VALUE, room < line ? room : line, GUARD_HEADER_VALUE,
                              GUARD_HEAD_TOO_LARGE};
}

static size_t scan_header_line(struct guard *guard, struct view bytes, struct guard_step *step)
{
    struct line_rule rule = field_rule(guard, &guard->head);
    enum guard_reason reason;
    struct view line;
    size_t taken;

    if (!take_line(guard, &guard->head, bytes, &rule, &taken))
        return taken;
    line = fields_line(&guard->head);
    if (line.length == 0)
        return end_head(guard, taken, step);
    reason = head_check_field(guard, line);
    fields_end_line(&guard->head);
    if (reason != GUARD_NONE)
        guard_refuse(guard, reason);
    return taken;
}

/* ---- bodies, RFC 9112 sections 6 and 7 ---- */

static size_t complete(struct guard *guard, size_t taken, struct guard_step *step)
{
    commit(guard, taken);
    guard->state = GUARD_STATE_COMPLETE;
    step->event = GUARD_EVENT_END;
    return taken;
}

static size_t scan_body(struct guard *guard, struct view bytes, struct guard_step *step)
{
    (void)bytes;
    if (guard->has_coding) {
        guard->state = GUARD_STATE_CHUNK_SIZE;
        guard->length = 0;
    } else if (guard->length > 0) {
        guard->state = GUARD_STATE_LENGTH_DATA;
        guard->left = guard->length;
    } else {
        return complete(guard, 0, step);
    }
    return 0;
}

static size_t take_data(struct guard *guard, struct view bytes, struct guard_step *step)
{
    size_t taken = bytes.length < guard->left ? bytes.length : (size_t)guard->left;

    if (taken) {
        guard->left -= taken;
        guard->body_bytes += taken;
        step->event = GUARD_EVENT_BODY;
        step->piece = view_from(bytes.data, taken);
        commit(guard, taken);
    }
    return taken;
}

static size_t scan_length_data(struct guard *guard, struct view bytes, struct guard_step *step)
{
    if (guard->left == 0)
        return complete(guard, 0, step);
    return take_data(guard, bytes, step);
}

static size_t scan_chunk_data(struct guard *guard, struct view bytes, struct guard_step *step)
{
    if (guard->left == 0) {
        guard->state = GUARD_STATE_CHUNK_DATA_END;
        return 0;
    }
    return take_data(guard, bytes, step);
}

static size_t scan_chunk_data_end(struct guard *guard, struct view bytes, struct guard_step *step)
{
    (void)step;
    if (bytes.length == 0)
        return 0;
    if (bytes.data[0] != (guard->after_cr ? '\n' : '\r')) {
        guard_refuse(guard, GUARD_CHUNK);
        return 0;
    }
    if (guard->after_cr) {
        commit(guard, 1);
        guard->state = GUARD_STATE_CHUNK_SIZE;
        guard->length = 0;
    }
    guard->after_cr = !guard->after_cr;
    return 1;
}

static unsigned hex_value(char digit)
{
    return digit <= '9' ? (unsigned)(digit - '0') : (unsigned)((digit | 0x20) - 'a') + 10;
}

static void end_chunk_size(struct guard *guard)
{
    guard->after_cr = false;
    guard->chunk_digits = 0;
    if (guard->length == 0) {
        guard->state = GUARD_STATE_TRAILER_LINE; /* committed with the very end */
    } else if (guard->length > guard->max_body_bytes - guard->body_bytes) {
        guard_refuse(guard, guard->over_limit);
    } else {
        guard->left = guard->length;
        guard->state = GUARD_STATE_CHUNK_DATA;
        commit(guard, 1);
    }
}

static size_t scan_chunk_size(struct guard *guard, struct view bytes, struct guard_step *step)
{
    char byte;

    (void)step;
    if (bytes.length == 0)
        return 0;
    byte = bytes.data[0];
    if (guard->after_cr && byte == '\n') {
        end_chunk_size(guard);
    } else if (!guard->after_cr && byte == '\r' && guard->chunk_digits) {
        guard->after_cr = true;
    } else if (!guard->after_cr && syntax_run(&byte, 1, SYNTAX_HEX) &&
               guard->chunk_digits < CHUNK_MAX_DIGITS) {
        guard->length = guard->length * 16 + hex_value(byte);
        guard->chunk_digits++;
    } else {
        guard_refuse(guard, GUARD_CHUNK);
        return 0;
    }
    return 1;
}

static enum guard_reason check_trailer_line(struct guard *guard, struct view line)
{
    struct view name, value;

    if (!guard->limits->allow_trailers || head_split_field(line, &name, &value) != GUARD_NONE ||
        head_is_framing_field(name))
        return GUARD_TRAILER;
    if (guard->trailer.count >= guard->limits->max_headers)
        return GUARD_TOO_MANY_HEADERS;
    return fields_add(&guard->trailer, name, value) ? GUARD_NONE : GUARD_HEAD_TOO_LARGE;
}

static size_t scan_trailer_line(struct guard *guard, struct view bytes, struct guard_step *step)
{
    struct line_rule rule = field_rule(guard, &guard->trailer);
    enum guard_reason reason;
    struct view line;
    size_t taken;

    rule.illegal = GUARD_TRAILER;
    if (!guard->limits->allow_trailers) {
        rule.max_bytes = 0;
        rule.too_long = GUARD_TRAILER;
    }
    if (!take_line(guard, &guard->trailer, bytes, &rule, &taken))
        return taken;
    line = fields_line(&guard->trailer);
    if (line.length == 0)
        return complete(guard, taken, step);
    reason = check_trailer_line(guard, line);
    fields_end_line(&guard->trailer);
    if (reason != GUARD_NONE)
        guard_refuse(guard, reason);
    return taken;
}

/* ---- feeding ---- */

static size_t scan_complete(struct guard *guard, struct view bytes, struct guard_step *step)
{
    (void)guard;
    (void)bytes;
    step->event = GUARD_EVENT_END;
    return 0;
}

static size_t scan_refused(struct guard *guard, struct view bytes, struct guard_step *step)
{
    (void)guard;
    (void)bytes;
    step->event = GUARD_EVENT_REFUSED;
    return 0;
}

/* A scanner takes what it can use of the bytes; nothing taken and no new state: it needs more. */
typedef size_t (*scanner)(struct guard *guard, struct view bytes, struct guard_step *step);
static const scanner scanners[] = {
    [GUARD_STATE_START] = scan_start,
    [GUARD_STATE_REQUEST_LINE] = scan_request_line,
    [GUARD_STATE_HEADER_LINE] = scan_header_line,
    [GUARD_STATE_BODY] = scan_body,
    [GUARD_STATE_LENGTH_DATA] = scan_length_data,
    [GUARD_STATE_CHUNK_SIZE] = scan_chunk_size,
    [GUARD_STATE_CHUNK_DATA] = scan_chunk_data,
    [GUARD_STATE_CHUNK_DATA_END] = scan_chunk_data_end,
    [GUARD_STATE_TRAILER_LINE] = scan_trailer_line,
    [GUARD_STATE_COMPLETE] = scan_complete,
    [GUARD_STATE_REFUSED] = scan_refused,
};

size_t guard_feed(struct guard *guard, struct view bytes, struct guard_step *step)
{
    size_t all = bytes.length;

    *step = (struct guard_step){.event = GUARD_EVENT_MORE};
    for (;;) {
        enum guard_state before = guard->state;
        size_t taken = scanners[before](guard, bytes, step);

        guard->scanned += taken;
        bytes = view_slice(bytes, taken, SIZE_MAX);
        if (step->event != GUARD_EVENT_MORE || (taken == 0 && guard->state == before))
            return all - bytes.length;
    }
}

uint64_t guard_opaque(const struct guard *guard)
{
    bool data = guard->state == GUARD_STATE_LENGTH_DATA || guard->state == GUARD_STATE_CHUNK_DATA;

    return data ? guard->left : 0;
}

bool guard_restrict_body(struct guard *guard, uint64_t max_bytes)
{
    REQUIRE(guard->state == GUARD_STATE_BODY);
    if (max_bytes < guard->max_body_bytes)
        guard->max_body_bytes = max_bytes;
    /* A chunked body is a body, though its size is not known: with a ceiling of 0 none is taken. */
    if (guard->length > guard->max_body_bytes ||
        (guard->has_coding && guard->max_body_bytes == 0)) {
        guard->committed = 0;
        guard_refuse(guard, guard->over_limit);
        return false;
    }
    return true;
}

uint64_t guard_committed(const struct guard *guard)
{
    return guard->committed;
}

/* ---- reading ---- */

struct view guard_method(const struct guard *guard)
{
    return view_slice(buffer_view(&guard->head.text), 0, guard->method_length);
}

struct view guard_target(const struct guard *guard)
{
    return view_slice(buffer_view(&guard->head.text), guard->target_offset, guard->target_length);
}

struct view guard_host(const struct guard *guard)
{
    struct view name, value = {0};

    if (guard->has_host)
        fields_at(&guard->head, guard->host_index, &name, &value);
    return value;
}

bool guard_header(const struct guard *guard, const char *name, struct view *value)
{
    return fields_find(&guard->head, name, value);
}

bool guard_header_at(const struct guard *guard, size_t index, struct view *name, struct view *value)
{
    return fields_at(&guard->head, index, name, value);
}

bool guard_trailer(const struct guard *guard, const char *name, struct view *value)
{
    return fields_find(&guard->trailer, name, value);
}

bool guard_chunked(const struct guard *guard)
{
    return guard->has_coding;
}

uint64_t guard_content_length(const struct guard *guard)
{
    return guard->has_coding ? UINT64_MAX : guard->length;
}

bool guard_has_body(const struct guard *guard)
{
    return guard->has_coding || guard->length > 0;
}

bool guard_keeps_alive(const struct guard *guard)
{
    return !guard->http_1_0 && !guard->says_close;
}
