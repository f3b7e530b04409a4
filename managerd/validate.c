/* Checks what a call brings before anything is done: query, headers, body. */
#include "managerd/validate.h"

#include "common/base/clock.h"
#include "common/base/escape.h"
#include "common/contract/host.h"
#include "managerd/body_cut.h"
#include "managerd/credential.h"
#include "managerd/digest.h"
#include "managerd/domains.h"
#include "managerd/event_cut.h"
#include "managerd/idempotency.h"
#include "managerd/intake.h"
#include "managerd/jobs.h"
#include "managerd/upload.h"

#include <stdlib.h>
#include <string.h>

#define INLINE_BODY_BYTES 65536
#define MAX_JSON_DEPTH    32
#define MAX_WAIT_S        600
#define MAX_PARAMETERS    64

bool request_id_valid(struct view id)
{
    for (size_t i = 0; i < id.length; i++) {
        char c = id.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c && strchr("._-", c))))
            return false;
    }
    return id.length >= 1 && id.length <= 128;
}

int64_t prefer_wait_s(struct view prefer)
{
    struct view part, parameter;
    while (view_split(&prefer, ',', &part)) {
        view_split(&part, ';', &parameter);
        size_t equals = view_find(parameter, '=');
        uint64_t seconds;
        if (equals == SIZE_MAX ||
            !view_equal_nocase(view_trim(view_slice(parameter, 0, equals)), VIEW("wait")))
            continue;
        struct view value = view_trim(view_slice(parameter, equals + 1, SIZE_MAX));
        /* A word, or the same as a quoted string. */
        if (value.length > 2 && value.data[0] == '"' && value.data[value.length - 1] == '"')
            value = view_slice(value, 1, value.length - 2);
        if (!view_to_u64(value, UINT32_MAX, &seconds))
            return seconds > MAX_WAIT_S ? MAX_WAIT_S : (int64_t)seconds;
    }
    return -1;
}

/* Preferences may come in several lines, which are one list (RFC 7240 section 2). */
static void read_preferences(struct call *call)
{
    struct view name, value;
    for (size_t i = 0; incoming_header_at(call->incoming, i, &name, &value); i++) {
        if (!view_equal_nocase(name, VIEW("Prefer")))
            continue;
        int64_t wait_s = prefer_wait_s(value);
        if (wait_s >= 0 && call->wait_ms < 0)
            call->wait_ms = 1000 * wait_s;
    }
}

bool media_type_is(struct view content_type, const char *wanted)
{
    struct view type = view_trim(view_slice(content_type, 0, view_find(content_type, ';')));
    return view_equal_nocase(type, view_of(wanted));
}

bool if_match_holds(struct view list, uint64_t revision)
{
    struct view part;
    while (view_split(&list, ',', &part)) {
        uint64_t number;
        part = view_trim(part);
        if (view_equal(part, VIEW("*")))
            return revision != 0;
        if (part.length > 2 && part.data[0] == '"' && part.data[part.length - 1] == '"' &&
            !view_to_u64(view_slice(part, 1, part.length - 2), UINT64_MAX, &number) &&
            revision != 0 && number == revision)
            return true;
    }
    return false;
}

static bool word_in(const char *words, struct view word)
{
    struct view rest = view_of(words), one;
    while (view_split(&rest, ' ', &one))
        if (view_equal(one, word))
            return true;
    return false;
}

static bool seen_before(const struct view *seen, size_t count, struct view name)
{
    for (size_t i = 0; i < count; i++)
        if (view_equal(seen[i], name))
            return true;
    return false;
}

/* Unknown and repeated parameters; those of "*" are looked at by their handler. */
static void check_query(struct call *call)
{
    const char *lawful = call->endpoint->query ? call->endpoint->query : "";
    struct view rest = call->query, pair, seen[MAX_PARAMETERS];
    size_t count = 0;
    while (call->query.length && view_split(&rest, '&', &pair)) {
        struct buffer decoded;
        buffer_init(&decoded, 8192);
        bool bad = percent_decode(&decoded, pair, true, true); /* its value too */
        buffer_clear(&decoded);
        bad =
            bad || percent_decode(&decoded, view_slice(pair, 0, view_find(pair, '=')), true, true);
        struct view name = arena_copy(&call->arena, buffer_view(&decoded));
        buffer_release(&decoded);
        if (bad || !utf8_valid(name))
            fault_parameter(&call->faults, "query", "is not well-formed percent-encoded UTF-8");
        else if (name.length == 0)
            continue;
        else if (strcmp(lawful, "*") != 0 && !word_in(lawful, name))
            fault_parameter(&call->faults, arena_string(&call->arena, name),
                            "is not a parameter of this call");
        else if (view_equal(name, VIEW("header"))) /* a list, where it is lawful */
            continue;
        else if (seen_before(seen, count, name))
            fault_parameter(&call->faults, arena_string(&call->arena, name),
                            "is there more than once");
        else if (count < MAX_PARAMETERS)
            seen[count++] = name;
        if (call->faults.count == FAULTS_MAX)
            return;
    }
}

/* The host is normalised here, so that all spellings are one resource. */
static void check_host(struct call *call)
{
    struct buffer decoded, host;
    buffer_init(&decoded, 4 * DOMAIN_HOST_MAX_BYTES);
    buffer_init(&host, DOMAIN_HOST_MAX_BYTES);
    if (percent_decode(&decoded, call->parameters.values[0], false, true) ||
        domain_normalize_host(buffer_view(&decoded), &host))
        fault_parameter(&call->faults, "host",
                        "must be a host name (internationalised ones in their xn-- form), or *. "
                        "and one of two labels at least");
    else
        call->parameters.values[0] = arena_copy(&call->arena, buffer_view(&host));
    buffer_release(&decoded);
    buffer_release(&host);
}

static enum progress check_path(struct call *call)
{
    struct view name = call->parameters.count ? call->parameters.values[0] : VIEW("");
    if (strstr(call->endpoint->pattern, "/{host}"))
        check_host(call);
    if (!strstr(call->endpoint->pattern, "/{name}") || app_name_valid(name))
        return PROGRESS_NEXT;
    if (call->endpoint->flags & ENDPOINT_FIRST_API) /* it knew 200 and 404 only */
        return call_fail(call, PROBLEM_APP_NOT_FOUND, "No app can have this name.");
    fault_parameter(&call->faults, "name",
                    "must be a DNS label in lower case, beginning with a letter, without --");
    return PROGRESS_NEXT;
}

/* Reading the body: hash and JSON, in the pool when it is large. */
struct reading {
    struct call *call;
    struct view body;
    bool parse, hash;
    bool cut;        /* its packages stay where they lie, */
    size_t max_rest; /* and the rest is not larger */
    bool cut_event;  /* its event stays as it is written */
    struct view event;
    struct body_cuts cuts;
    char fingerprint[65];
    struct json *json;
    enum error error;
    size_t offset;
};

static void cut_and_parse(struct reading *reading)
{
    struct buffer rest;
    buffer_init(&rest, reading->max_rest);
    reading->error = body_cut(reading->body, &rest, &reading->cuts);
    if (!reading->error)
        reading->error =
            json_parse(buffer_view(&rest), MAX_JSON_DEPTH, &reading->json, &reading->offset);
    reading->offset = body_cuts_place(&reading->cuts, reading->body, reading->offset);
    buffer_release(&rest);
}

static void cut_event_and_parse(struct reading *reading)
{
    struct buffer rest;
    buffer_init(&rest, reading->body.length + 16);
    reading->error = event_cut(reading->body, &rest, &reading->event, &reading->offset);
    if (!reading->error)
        reading->error =
            json_parse(buffer_view(&rest), MAX_JSON_DEPTH, &reading->json, &reading->offset);
    buffer_release(&rest);
}

static void run_reading(void *context)
{
    struct reading *reading = context;
    if (reading->hash)
        credential_hash(reading->body, reading->fingerprint);
    if (reading->cut)
        cut_and_parse(reading);
    else if (reading->cut_event)
        cut_event_and_parse(reading);
    else if (reading->parse)
        reading->error =
            json_parse(reading->body, MAX_JSON_DEPTH, &reading->json, &reading->offset);
}

/* False: the problem or a fault is set. */
static bool check_digest(struct call *call, const char *name, const char *sha256_hex)
{
    struct view field;
    if (!incoming_header(call->incoming, name, &field))
        return true;
    switch (digest_compare(field, sha256_hex)) {
    case DIGEST_ABSENT:
    case DIGEST_SAME:
        return true;
    case DIGEST_OTHER:
        call_fail(call, PROBLEM_DIGEST_MISMATCH,
                  "The SHA-256 in %s is not that of the body, which came as %s.", name, sha256_hex);
        return false;
    case DIGEST_MALFORMED:
        break;
    }
    fault_parameter(&call->faults, name, "must be like sha-256=:BASE64: (RFC 9530)");
    call_fail_faults(call);
    return false;
}

/* An empty object is as good as no body: many clients send one with every POST. */
static const struct shape no_members = {.name = "this call, which takes none"};

static enum progress after_reading(struct reading *reading)
{
    struct call *call = reading->call;
    const struct endpoint *endpoint = call->endpoint;
    call->body = reading->json;
    call->cuts = reading->cuts;
    call->event = reading->event;
    if (!check_digest(call, "Content-Digest", reading->fingerprint) ||
        !check_digest(call, "Repr-Digest", reading->fingerprint))
        return PROGRESS_FAIL;
    if (reading->error == ERROR_TOO_BIG && reading->cut_event)
        return call_fail(call, PROBLEM_TOO_LARGE, "There may be %d values beside the event.",
                         EVENT_CUT_MAX_VALUES);
    if (reading->error == ERROR_TOO_BIG)
        return call_fail(call, PROBLEM_TOO_LARGE,
                         "What is no package may have %u bytes in all; a package is the string zip "
                         "of package (or archive), without escapes in these names.",
                         (unsigned)reading->max_rest);
    if (reading->error)
        return call_fail(call, PROBLEM_UNREADABLE, "The body is no JSON text near byte %zu.",
                         reading->offset);
    memcpy(call->fingerprint, reading->fingerprint, sizeof call->fingerprint);
    if (call->body && json_type_of(call->body) != JSON_OBJECT)
        fault_pointer(&call->faults, "", "must be of type object, not %s",
                      json_type_name(json_type_of(call->body)));
    else if (call->body && !(endpoint->flags & ENDPOINT_MERGE_PATCH))
        shape_check(endpoint->takes ? endpoint->takes : &no_members, call->body, "", &call->faults);
    if (call->faults.count)
        return call_fail_faults(call);
    return idempotency_begin(call);
}

static void on_read(void *context)
{
    struct reading *reading = context;
    enum progress verdict = after_reading(reading);
    struct call *call = reading->call;
    free(reading);
    if (verdict != PROGRESS_WAIT)
        call_resume(call, verdict);
}

static enum progress read_body(struct call *call, struct view body, bool parse)
{
    struct view key;
    struct reading *reading = calloc(1, sizeof *reading);
    REQUIRE(reading);
    reading->call = call;
    reading->body = body;
    reading->parse = parse;
    reading->cut_event = parse && call->endpoint->flags & ENDPOINT_EVENT;
    reading->hash = incoming_header(call->incoming, "Idempotency-Key", &key) ||
                    incoming_header(call->incoming, "Content-Digest", &key) ||
                    incoming_header(call->incoming, "Repr-Digest", &key);
    if (call->upload) { /* hashed while it came */
        reading->hash = false;
        reading->cut = parse;
        reading->max_rest = call->endpoint->flags & ENDPOINT_DOCUMENT ? INTAKE_MAX_DOCUMENT_BYTES
                                                                      : INTAKE_MAX_BODY_BYTES;
        memcpy(reading->fingerprint, upload_sha256(call->upload), sizeof reading->fingerprint);
    }
    if (parse && body.length > INLINE_BODY_BYTES) {
        jobs_submit(call->server->pool, run_reading, on_read, reading);
        return PROGRESS_WAIT;
    }
    run_reading(reading);
    enum progress verdict = after_reading(reading);
    free(reading);
    return verdict;
}

static enum progress wrong_type(struct call *call)
{
    unsigned flags = call->endpoint->flags;
    return call_fail(call, PROBLEM_MEDIA_TYPE, "This call takes application/json%s%s.",
                     flags & ENDPOINT_MERGE_PATCH ? " or application/merge-patch+json" : "",
                     flags & ENDPOINT_PACKAGE && call->endpoint->query ? " or application/zip"
                                                                       : "");
}

static enum progress take_body(struct call *call, struct view body)
{
    const struct endpoint *endpoint = call->endpoint;
    struct view type = VIEW("");
    bool typed = incoming_header(call->incoming, "Content-Type", &type);
    bool may_be_zip = endpoint->flags & ENDPOINT_PACKAGE && endpoint->query;
    if (may_be_zip && media_type_is(type, "application/zip")) {
        /* A package of no bytes is an empty archive, which is told by the one who takes it. */
        call->package = body;
        return read_body(call, body, false);
    }
    if (body.length == 0) {
        if (endpoint->flags & ENDPOINT_BODY)
            fault_pointer(&call->faults, "", "a JSON object is required");
        return read_body(call, body, false);
    }
    bool patch = endpoint->flags & ENDPOINT_MERGE_PATCH &&
                 media_type_is(type, "application/merge-patch+json");
    if (typed && !patch && !media_type_is(type, "application/json"))
        return wrong_type(call);
    return read_body(call, body, true);
}

static void on_uploaded(enum error error, void *context)
{
    struct call *call = context;
    enum progress verdict =
        error ? call_fail_error(call, error) : take_body(call, upload_bytes(call->upload));
    if (verdict != PROGRESS_WAIT)
        call_resume(call, verdict);
}

enum progress validate_call(struct call *call)
{
    if (check_path(call) == PROGRESS_FAIL)
        return PROGRESS_FAIL;
    check_query(call);
    read_preferences(call);
    call->upload = upload_of(incoming_take_spool(call->incoming));
    if (!call->upload)
        return take_body(call, incoming_body(call->incoming));
    upload_finish(call->upload, on_uploaded, call);
    return PROGRESS_WAIT;
}

struct package_source call_package(const struct call *call)
{
    return (struct package_source){.bytes = call->package, .upload = call->upload};
}

struct package_source call_package_in(const struct call *call, struct view base64)
{
    struct view text = base64;
    if (call->upload)
        body_cuts_find(&call->cuts, base64, &text);
    return (struct package_source){.bytes = text, .base64 = true};
}
