/* Decides by the head of a call how much it may bring, and whether that goes to a file. */
#include "managerd/intake.h"

#include "common/base/escape.h"
#include "managerd/ask.h"
#include "managerd/problem.h"
#include "managerd/scope.h"
#include "managerd/tokens.h"
#include "managerd/upload.h"

#include <stdio.h>

#define APPS              "/v1/apps/"
#define SPOOLED_FROM      65536 /* what is smaller is soon read, and needs no file */
#define EVENT_SLACK_BYTES 65536 /* of what is around an event */

enum cargo {
    CARGO_NONE, /* JSON, at most INTAKE_MAX_BODY_BYTES */
    CARGO_ZIP,
    CARGO_JSON,     /* with a package in base64 */
    CARGO_DOCUMENT, /* with apps, domains, and packages in base64 */
    CARGO_EVENT,
};

/* The app whose call ends so, as the path names it; empty: none. */
static struct view app_before(struct view path, struct view end)
{
    struct view start = VIEW(APPS);
    if (!view_starts_with(path, start) || !view_ends_with(path, end) ||
        path.length < start.length + end.length)
        return VIEW("");
    return view_slice(path, start.length, path.length - start.length - end.length);
}

/* Nobody who may not deploy gets to fill our disk with packages. */
static enum cargo cargo_of(struct server *server, const struct incoming_head *head,
                           enum role *caller)
{
    struct view path = view_slice(head->target, 0, view_find(head->target, '?'));
    struct view deployed = app_before(path, VIEW("/deployments"));
    struct view invoked = app_before(path, VIEW("/invoke"));
    struct principal principal;
    enum cargo cargo = CARGO_NONE;
    tokens_authenticate(server, head->authorization, head->peer_address, &principal);
    *caller = principal.role;
    if (!view_equal(head->method, VIEW("POST")) || principal.role < ROLE_DEPLOYER)
        cargo = CARGO_NONE;
    else if (view_equal(path, VIEW("/apps/deploy")))
        cargo = CARGO_JSON;
    else if (view_equal(path, VIEW("/v1/apply")))
        cargo = principal.role == ROLE_ADMIN && scope_is_all(principal_scope(&principal))
                    ? CARGO_DOCUMENT
                    : CARGO_NONE;
    else if (invoked.length && scope_holds(principal_scope(&principal), invoked))
        cargo = CARGO_EVENT;
    else if (deployed.length && scope_holds(principal_scope(&principal), deployed))
        cargo =
            view_starts_with(head->content_type, VIEW("application/zip")) ? CARGO_ZIP : CARGO_JSON;
    principal_release(&principal);
    return cargo;
}

static uint64_t limit_of(const struct server *server, enum cargo cargo)
{
    size_t package = (size_t)server->config->max_package_bytes;
    switch (cargo) {
    case CARGO_NONE:
        break;
    case CARGO_ZIP:
        return package;
    case CARGO_JSON:
        return base64_encoded_length(package) + INTAKE_MAX_BODY_BYTES;
    case CARGO_DOCUMENT:
        return base64_encoded_length(package) + INTAKE_MAX_DOCUMENT_BYTES;
    case CARGO_EVENT:
        return ASK_MAX_EVENT_BYTES + EVENT_SLACK_BYTES;
    }
    return INTAKE_MAX_BODY_BYTES;
}

uint64_t intake_max_bytes(const struct server *server)
{
    uint64_t document = limit_of(server, CARGO_DOCUMENT), event = limit_of(server, CARGO_EVENT);
    return document > event ? document : event;
}

uint64_t intake_limit(const struct incoming_head *head, enum guard_reason *over, void *context)
{
    enum role caller;
    enum cargo cargo = cargo_of(context, head, &caller);
    if (caller == ROLE_NONE)
        *over = GUARD_UNAUTHORIZED;
    return limit_of(context, cargo);
}

struct incoming_spool *intake_spool(const struct incoming_head *head, enum guard_reason *over,
                                    void *context)
{
    struct server *server = context;
    enum role caller;
    enum cargo cargo = cargo_of(server, head, &caller);
    uint64_t bytes = limit_of(server, cargo);
    if (cargo == CARGO_NONE || cargo == CARGO_EVENT || head->content_length <= SPOOLED_FROM)
        return NULL;
    if (head->content_length < bytes)
        bytes = head->content_length;
    /* What is decoded lies beside the text for a while. */
    return upload_begin(server->uploads, cargo == CARGO_ZIP ? bytes : bytes + bytes / 4 * 3, over);
}

static void describe(const struct incoming_refusal *refusal, const struct server *server,
                     struct problem *problem, char *detail, size_t size)
{
    enum guard_reason reason = refusal->reason;
    snprintf(detail, size, "The message was refused: %s.", guard_reason_name(reason));
    problem->type = PROBLEM_UNREADABLE;
    problem->detail = detail;
    if (reason == GUARD_UNAUTHORIZED) {
        problem->type = PROBLEM_UNAUTHENTICATED;
        problem->detail = "Send Authorization: Bearer TOKEN with a token of this installation.";
    } else if (reason == GUARD_BODY_TOO_LARGE) {
        problem->type = PROBLEM_TOO_LARGE;
        snprintf(
            detail, size,
            "Packages may have %lld bytes when the token may deploy, events %zu, other bodies %u.",
            (long long)server->config->max_package_bytes, ASK_MAX_EVENT_BYTES,
            INTAKE_MAX_BODY_BYTES);
    } else if (reason == GUARD_BUSY) {
        problem->type = PROBLEM_TOO_MANY_UPLOADS;
        problem->detail = "Other packages are being uploaded; try again when they have come.";
    } else if (reason == GUARD_STORAGE_FULL) {
        problem->type = PROBLEM_STORAGE_FULL;
        problem->detail = "There is no space for the package on the disk.";
    } else if (reason == GUARD_STORAGE_FAILED) {
        problem->type = PROBLEM_STORAGE_FAILED;
        problem->detail = "The package cannot be written to the disk.";
    }
}

void intake_refusal(const struct incoming_refusal *refusal, struct buffer *body, void *context)
{
    char detail[160];
    struct problem problem = {.status = refusal->status};
    describe(refusal, context, &problem, detail, sizeof detail);
    struct json *document = problem_document(&problem, NULL, refusal->request_id);
    json_print(body, document);
    json_free(document);
}
