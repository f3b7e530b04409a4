/* Tells which logged lines were seen before, of which invocation they are, and since when is meant. */
#include "managerd/log_lines.h"

#include "common/base/clock.h"
#include "common/base/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAX_AGO       UINT64_C(100000000)
#define MAX_JSON_LINE 65536 /* longer ones are not read for their invocation's id */

/* FNV-1a; never 0, which is an empty place. */
static uint64_t hash_of(struct view text)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < text.length; i++)
        hash = (hash ^ (unsigned char)text.data[i]) * UINT64_C(1099511628211);
    return hash ? hash : 1;
}

/* ---- seen before ---- */

bool log_seen_add(struct log_seen *seen, struct view id, int64_t time_ms, bool again)
{
    uint64_t hash = hash_of(id);
    uint64_t *chain = &seen->chains[hash % LOG_SEEN_CHAINS];
    /* A chain goes on into what has been overwritten since. */
    for (uint64_t number = *chain; number && number + LOG_SEEN_MAX > seen->count;
         number = seen->lines[number % LOG_SEEN_MAX].before)
        if (seen->lines[number % LOG_SEEN_MAX].hash == hash)
            return false;
    if (again && time_ms <= seen->forgotten_ms)
        return false;
    uint64_t number = ++seen->count;
    int64_t oldest_ms = seen->lines[number % LOG_SEEN_MAX].time_ms;
    if (number > LOG_SEEN_MAX && oldest_ms > seen->forgotten_ms)
        seen->forgotten_ms = oldest_ms;
    seen->lines[number % LOG_SEEN_MAX].hash = hash;
    seen->lines[number % LOG_SEEN_MAX].time_ms = time_ms;
    seen->lines[number % LOG_SEEN_MAX].before = *chain;
    *chain = number;
    return true;
}

/* ---- whose ---- */

/* The stream's place; a new one takes that of the stream unused for longest. */
static char *place_of(struct log_streams *streams, struct view stream)
{
    uint64_t hash = hash_of(stream);
    size_t chosen = 0;
    for (size_t i = 0; i < LOG_STREAMS_KEPT; i++) {
        if (streams->places[i].stream == hash) {
            chosen = i;
            break;
        }
        if (streams->places[i].used < streams->places[chosen].used)
            chosen = i;
    }
    if (streams->places[chosen].stream != hash)
        streams->places[chosen].request[0] = 0;
    streams->places[chosen].stream = hash;
    streams->places[chosen].used = ++streams->clock;
    return streams->places[chosen].request;
}

static void keep(char *place, struct view id)
{
    snprintf(place, LOG_REQUEST_SIZE, "%.*s", VIEW_FORMAT(view_slice(id, 0, LOG_REQUEST_SIZE - 1)));
}

/* What follows "START RequestId: ", up to the blank. */
static bool named_after(struct view message, const char *start, struct view *id)
{
    if (!view_starts_with(message, view_of(start)))
        return false;
    message = view_slice(message, strlen(start), SIZE_MAX);
    size_t end = 0;
    while (end < message.length && message.data[end] != ' ' && message.data[end] != '\t' &&
           message.data[end] != '\n')
        end++;
    *id = view_slice(message, 0, end);
    return true;
}

static bool is_uuid(struct view text)
{
    for (size_t i = 0; i < text.length; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        char c = text.data[i];
        bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        if (dash ? c != '-' : !hex)
            return false;
    }
    return text.length == 36;
}

/* "2026-01-02T03:04:05.678Z<TAB>REQUEST<TAB>INFO<TAB>text", as Node.js prints. */
static bool named_in_columns(struct view message, struct view *id)
{
    struct view time;
    return view_split(&message, '\t', &time) && time.length <= 32 &&
           view_split(&message, '\t', id) && is_uuid(*id);
}

/* A line in JSON names its invocation, and whether that begins or ends with it. */
static void take_json(char *place, struct view message)
{
    struct json *json = NULL;
    struct view id;
    if (!view_starts_with(message, VIEW("{")) || message.length > MAX_JSON_LINE ||
        json_parse(message, 20, &json, NULL))
        return;
    if (json_get_string(json_get(json, "record"), "requestId", &id) ||
        json_get_string(json, "requestId", &id) || json_get_string(json, "AWSRequestId", &id))
        keep(place, id);
    json_free(json);
}

struct view log_streams_request(struct log_streams *streams, struct view stream,
                                struct view message)
{
    char *place = place_of(streams, stream);
    struct view id;
    if (named_after(message, "START RequestId: ", &id) ||
        named_after(message, "END RequestId: ", &id) ||
        named_after(message, "REPORT RequestId: ", &id) || named_in_columns(message, &id))
        keep(place, id);
    else
        take_json(place, message);
    return view_of(place);
}

struct view log_stream_version(struct view stream)
{
    size_t open = view_find(stream, '['), close = view_find(stream, ']');
    if (open == SIZE_MAX || close == SIZE_MAX || close < open)
        return VIEW("");
    return view_slice(stream, open + 1, close - open - 1);
}

/* ---- where to go on ---- */

static bool is_event_id(struct view id)
{
    for (size_t i = 0; i < id.length; i++) {
        char c = id.data[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              c == '-' || c == '_' || c == '.' || c == ':' || c == '/' || c == '='))
            return false;
    }
    return id.length > 0 && id.length <= LOG_CURSOR_MAX_ID;
}

bool log_cursor_write(char out[LOG_CURSOR_SIZE], int64_t time_ms, struct view id)
{
    if (time_ms < 0 || !is_event_id(id))
        return false;
    snprintf(out, LOG_CURSOR_SIZE, "%" PRId64 "-%.*s", time_ms, VIEW_FORMAT(id));
    return true;
}

bool log_cursor_read(struct view text, int64_t *time_ms, struct view *id)
{
    size_t dash = view_find(text, '-');
    uint64_t time;
    if (dash == SIZE_MAX || view_to_u64(view_slice(text, 0, dash), INT64_MAX, &time))
        return false;
    *id = view_slice(text, dash + 1, SIZE_MAX);
    *time_ms = (int64_t)time;
    return is_event_id(*id);
}

/* ---- since when ---- */

static bool read_ago(struct view text, int64_t now_ms, int64_t *time_ms)
{
    static const struct {
        char unit;
        int64_t ms;
    } units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}};
    uint64_t count;
    for (size_t i = 0; text.length > 1 && i < sizeof units / sizeof units[0]; i++)
        if (text.data[text.length - 1] == units[i].unit &&
            view_to_u64(view_slice(text, 0, text.length - 1), MAX_AGO, &count) == ERROR_NONE) {
            *time_ms = now_ms - (int64_t)count * units[i].ms;
            return true;
        }
    return false;
}

bool log_since_read(struct view text, int64_t now_ms, int64_t *time_ms)
{
    if (!read_ago(text, now_ms, time_ms) && clock_parse_rfc3339(text, time_ms))
        return false;
    if (*time_ms < 0)
        *time_ms = 0;
    return true;
}
