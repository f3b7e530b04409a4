/* Lists the audit, the latest first, and verifies its chain. */
#include "managerd/audit.h"
#include "managerd/authorize.h"
#include "managerd/endpoints/endpoints.h"
#include "managerd/tokens.h"
#include "managerd/state_record.h"
#include "managerd/validate.h"

#include "common/base/clock.h"
#include "common/base/json_text.h"
#include "common/contract/host.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LOOKED_AT  1000 /* records for one page; a page may end before it is full */
#define MAX_DEPTH      100
#define VERIFY_AT_ONCE 250

#define READ_ONLY(NAME, KIND, TEXT)                                                                \
    {                                                                                              \
        .name = (NAME), .kind = (KIND), .flags = SHAPE_READ_ONLY, .description = (TEXT)            \
    }
#define READ_ONLY_OR_NULL(NAME, KIND, TEXT)                                                        \
    {                                                                                              \
        .name = (NAME), .kind = (KIND), .flags = SHAPE_READ_ONLY | SHAPE_NULLABLE,                 \
        .description = (TEXT)                                                                      \
    }

static const struct shape_field member_fields[] = {
    READ_ONLY("pointer", SHAPE_STRING, "JSON pointer (RFC 6901) of the member."),
    {.name = "before",
     .kind = SHAPE_ANY,
     .flags = SHAPE_READ_ONLY | SHAPE_SOMETIMES,
     .schema_json = "{}",
     .description = "What it was; of secrets a fingerprint."},
    {.name = "after",
     .kind = SHAPE_ANY,
     .flags = SHAPE_READ_ONLY | SHAPE_SOMETIMES,
     .schema_json = "{}",
     .description = "What it became."},
    {.name = "more",
     .kind = SHAPE_INTEGER,
     .flags = SHAPE_READ_ONLY | SHAPE_SOMETIMES,
     .description = "How many members more were changed, when they are too many to tell."},
};
static const struct shape member_shape = {.name = "AuditedMember",
                                          .fields = member_fields,
                                          .count = sizeof member_fields / sizeof member_fields[0]};
static const struct shape_field change_fields[] = {
    READ_ONLY("record", SHAPE_STRING, "Which record of the state."),
    READ_ONLY_OR_NULL("before", SHAPE_STRING, "Its fingerprint before; null: it was not there."),
    READ_ONLY_OR_NULL("after", SHAPE_STRING, "Its fingerprint now; null: it is gone."),
    {.name = "members",
     .kind = SHAPE_LIST,
     .flags = SHAPE_READ_ONLY,
     .of = &member_shape,
     .description = "Its members that were changed."},
};
static const struct shape change_shape = {.name = "AuditedChange",
                                          .fields = change_fields,
                                          .count = sizeof change_fields / sizeof change_fields[0]};

static const struct shape_field audit_fields[] = {
    READ_ONLY("sequence", SHAPE_INTEGER, "Its place in the chain, from 1 on."),
    READ_ONLY("previous", SHAPE_STRING, "The hash of the record before; of the first: 64 zeros."),
    READ_ONLY("time", SHAPE_STRING, "RFC 3339."),
    READ_ONLY("actor", SHAPE_OBJECT, "Who: id, name and role of the token."),
    READ_ONLY_OR_NULL("from", SHAPE_STRING, "The address it came from."),
    {.name = "certificate",
     .kind = SHAPE_OBJECT,
     .flags = SHAPE_READ_ONLY | SHAPE_SOMETIMES,
     .description = "What the client showed: subject (RFC 2253) and fingerprint (SHA-256)."},
    READ_ONLY_OR_NULL("requestId", SHAPE_STRING, "As in the answer and in the log."),
    READ_ONLY("endpoint", SHAPE_STRING,
              "The call's operationId; operation: what a step of an operation has changed; "
              "authentication: tokens that nobody knows; audit: records that were lost."),
    READ_ONLY_OR_NULL("method", SHAPE_STRING, "Of the call; of an operation its type."),
    READ_ONLY_OR_NULL("path", SHAPE_STRING, "Without a query."),
    READ_ONLY_OR_NULL("app", SHAPE_STRING, "The app that it was about."),
    READ_ONLY_OR_NULL("status", SHAPE_INTEGER, "How it was answered, or how the operation ended."),
    READ_ONLY_OR_NULL("problem", SHAPE_STRING, "Why it was refused."),
    READ_ONLY_OR_NULL("operation", SHAPE_STRING, "The operation that it started or belongs to."),
    {.name = "changes",
     .kind = SHAPE_LIST,
     .flags = SHAPE_READ_ONLY,
     .of = &change_shape,
     .description = "What was changed."},
    {.name = "details",
     .kind = SHAPE_OBJECT,
     .flags = SHAPE_READ_ONLY | SHAPE_SOMETIMES,
     .description = "Of authentication and audit: how many."},
    READ_ONLY("hash", SHAPE_STRING, "The SHA-256 of this object's text without this member."),
};
const struct shape audit_shape = {.name = "AuditRecord",
                                  .description = "Who did what, from where, with which result.",
                                  .fields = audit_fields,
                                  .count = sizeof audit_fields / sizeof audit_fields[0]};

static const struct shape_field verification_fields[] = {
    READ_ONLY("whole", SHAPE_BOOL, "Whether each record follows the one before it, unchanged."),
    READ_ONLY("records", SHAPE_INTEGER, "How many were looked at."),
    READ_ONLY("anchor", SHAPE_OBJECT,
              "sequence and hash of the last record that was let go of; 0: none was."),
    READ_ONLY("head", SHAPE_OBJECT, "sequence and hash of the last record."),
    READ_ONLY_OR_NULL("brokenAt", SHAPE_INTEGER, "The first record that does not fit."),
    READ_ONLY_OR_NULL("problem", SHAPE_STRING, "What is wrong with it."),
};
const struct shape audit_verification_shape = {
    .name = "AuditVerification",
    .description = "Whether the audit is as it was written.",
    .fields = verification_fields,
    .count = sizeof verification_fields / sizeof verification_fields[0]};

/* list */

struct filter {
    struct view app, actor, request_id; /* empty: any */
    int64_t since_ms, until_ms;
};

static bool is_sequence(struct view text)
{
    uint64_t number = 0;
    return view_to_u64(text, INT64_MAX, &number) == ERROR_NONE && number > 0;
}

static void read_time(struct call *call, const char *name, int64_t *time_ms)
{
    struct view text;
    if (call_query(call, name, &text) && clock_parse_rfc3339(text, time_ms))
        fault_parameter(&call->faults, name, "must be a time by RFC 3339");
}

static void read_filter(struct call *call, struct filter *filter)
{
    *filter = (struct filter){VIEW(""), VIEW(""), VIEW(""), INT64_MIN, INT64_MAX};
    if (call_query(call, "app", &filter->app) && !app_name_valid(filter->app))
        fault_parameter(&call->faults, "app", "must be the name of an app");
    if (call_query(call, "actor", &filter->actor) && filter->actor.length == 0)
        fault_parameter(&call->faults, "actor", "must be the id of a token");
    if (call_query(call, "requestId", &filter->request_id) && !request_id_valid(filter->request_id))
        fault_parameter(&call->faults, "requestId", "must be the id of a request");
    read_time(call, "since", &filter->since_ms);
    read_time(call, "until", &filter->until_ms);
}

/* Whoever is limited to some apps sees what was done to them, and what he did himself. */
static bool is_visible(const struct call *call, struct view app, struct view actor)
{
    return !principal_scope(&call->principal) || view_equal_string(actor, call->principal.id) ||
           (app.length && call_may_see(call, app));
}

/* What is asked of a record; most are judged by their text alone. */
struct glance {
    struct view text;
    struct json *document; /* when it had to be parsed */
};

static struct view glance_at(struct glance *glance, const char *object, const char *member)
{
    struct view whole = glance->text, value;
    if ((!object || record_peek(glance->text, object, &whole)) &&
        record_peek(whole, member, &value))
        return value;
    if (!glance->document && record_parse(glance->text, &glance->document))
        return VIEW("");
    return text_of(object ? json_get(glance->document, object) : glance->document, member);
}

/* Whether to show it; `over`: what is older need not be looked at. */
static bool wants(const struct call *call, const struct filter *filter, struct view text,
                  bool *over)
{
    struct glance glance = {text, NULL};
    struct view app = glance_at(&glance, NULL, "app");
    struct view actor = glance_at(&glance, "actor", "id");
    int64_t time_ms = 0;
    bool dated = clock_parse_rfc3339(glance_at(&glance, NULL, "time"), &time_ms) == ERROR_NONE;
    *over = dated && time_ms < filter->since_ms;
    bool wanted = dated && !*over && time_ms < filter->until_ms &&
                  (!filter->app.length || view_equal(filter->app, app)) &&
                  (!filter->actor.length || view_equal(filter->actor, actor)) &&
                  (!filter->request_id.length ||
                   view_equal(filter->request_id, glance_at(&glance, NULL, "requestId"))) &&
                  is_visible(call, app, actor);
    json_free(glance.document);
    return wanted;
}

enum progress audit_list(struct call *call)
{
    struct chain_place anchor, head;
    struct filter filter;
    struct page page;
    char next[24] = "";
    bool over = false;
    read_filter(call, &filter);
    if (!call_page(call, &page, is_sequence))
        return PROGRESS_FAIL;
    enum error error = audit_bounds(call->server->state, &anchor, &head);
    if (error)
        return call_fail_error(call, error);
    uint64_t sequence = head.sequence, before = 0;
    if (page.after.length && view_to_u64(page.after, INT64_MAX, &before) == ERROR_NONE &&
        before <= sequence)
        sequence = before - 1;
    struct buffer text;
    unsigned count = 0;
    buffer_init(&text, STATE_MAX_VALUE + STATE_RECORD_OVERHEAD);
    for (unsigned looked = 0; sequence > anchor.sequence && !over; sequence--) {
        size_t damaged_at;
        struct key key = key_audit(sequence);
        if (count == page.limit || looked++ == MAX_LOOKED_AT) {
            snprintf(next, sizeof next, "%" PRIu64, sequence + 1);
            break;
        }
        /* What cannot be read is told of by verifying. */
        if (!state_get(call->server->state, view_of(key.text), &text, NULL) &&
            wants(call, &filter, buffer_view(&text), &over) &&
            json_text_good(buffer_view(&text), MAX_DEPTH, &damaged_at))
            count = call_add_text(call, buffer_view(&text)) ? count + 1 : page.limit;
    }
    buffer_release(&text);
    return call_answer_items(call, arena_copy(&call->arena, view_of(next)));
}

/* verification: a bounded number of records in each turn of the loop */

struct verification {
    struct call *call;
    struct chain_place anchor, at;
    int64_t records;
    unsigned now;
    bool begun;
    const char *problem;
};

static bool follow(struct view key, struct view value, uint64_t revision, void *context)
{
    struct verification *verification = context;
    (void)key, (void)revision;
    if (verification->now == VERIFY_AT_ONCE)
        return false;
    verification->now++;
    verification->records++;
    verification->problem = chain_follow(&verification->at, value);
    return !verification->problem;
}

static struct json *place_document(const struct chain_place *place)
{
    struct json *document = json_new_object();
    json_set_integer(document, "sequence", (int64_t)place->sequence);
    json_set_string(document, "hash", view_of(place->hash));
    return document;
}

static enum progress answer(struct verification *verification, const struct chain_place *head)
{
    struct json *result = json_new_object();
    const char *problem = verification->problem;
    json_set_bool(result, "whole", !problem);
    json_set_integer(result, "records", verification->records);
    json_set(result, "anchor", place_document(&verification->anchor));
    json_set(result, "head", place_document(head));
    json_set_null(result, "brokenAt");
    json_set_null(result, "problem");
    if (problem) {
        json_set_integer(result, "brokenAt", (int64_t)verification->at.sequence + 1);
        json_set_string(result, "problem", view_of(problem));
    }
    return call_answer(verification->call, 200, result);
}

/* What was let go of while it was looked at is no fault. */
static void mind_the_sweep(struct verification *verification)
{
    struct chain_place anchor, head;
    if (audit_bounds(verification->call->server->state, &anchor, &head) ||
        anchor.sequence <= verification->at.sequence)
        return;
    verification->at = verification->anchor = anchor;
    verification->problem = NULL;
}

/* One turn; WAIT: there is more. Each look at state may see more than the one before: the chain is at
 * its end when a look finds nothing after the end that was read before it. */
static enum progress go_on(struct verification *verification)
{
    static const struct timeval at_once = {0, 0};
    struct call *call = verification->call;
    struct chain_place anchor, head;
    enum error error = audit_bounds(call->server->state, &anchor, &head);
    if (!error && (!verification->begun || anchor.sequence > verification->at.sequence))
        verification->at = verification->anchor = anchor;
    verification->begun = true;
    verification->now = 0;
    struct key first = key_audit(verification->at.sequence + 1);
    if (!error)
        error = state_range(call->server->state, VIEW(AUDIT_FOLDER), view_of(first.text), follow,
                            verification);
    if (error)
        return call_fail_error(call, error);
    bool swept = false;
    if (verification->problem) {
        mind_the_sweep(verification);
        swept = !verification->problem;
    }
    bool further = verification->at.sequence > head.sequence && verification->now > 0;
    if (!verification->problem && (swept || further || verification->now == VERIFY_AT_ONCE)) {
        evtimer_add(call->timer, &at_once); /* an event made active would come before the sockets */
        return PROGRESS_WAIT;
    }
    if (!verification->problem && (verification->at.sequence != head.sequence ||
                                   strcmp(verification->at.hash, head.hash) != 0))
        verification->problem = "The chain does not end where it should: the last records, or "
                                "the note of its end, are missing or were changed.";
    return answer(verification, &head);
}

static void on_turn(evutil_socket_t fd, short what, void *context)
{
    struct verification *verification = context;
    struct call *call = verification->call;
    (void)fd, (void)what;
    meter_enter(&call->meter);
    enum progress verdict = go_on(verification);
    if (verdict != PROGRESS_WAIT)
        call_resume(call, verdict);
    meter_leave();
}

enum progress audit_verify(struct call *call)
{
    struct verification *verification = calloc(1, sizeof *verification);
    REQUIRE(verification);
    verification->call = call;
    call->data = verification;
    call->free_data = free;
    call->timer = evtimer_new(call->server->base, on_turn, verification);
    REQUIRE(call->timer);
    return go_on(verification);
}
