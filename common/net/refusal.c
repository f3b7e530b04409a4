/* Composes the answer to what was refused. */
#include "common/net/refusal.h"

#include "common/base/id.h"
#include "common/net/response.h"
#include "common/net/syntax.h"

#include <string.h>

#define PROBLEM_MAX_BYTES (64 * 1024)
#define HEAD_MAX_BYTES    1024
#define REQUEST_ID_SIZE   129 /* 1 to 128 of A-Za-z0-9._- */

/* The client's own request id when it came and is lawful, else ours. */
static void choose_request_id(const struct connection *connection, const char *own_id,
                              char id[REQUEST_ID_SIZE])
{
    struct view given;

    if (guard_header(connection->guard, "X-Request-Id", &given) && given.length > 0 &&
        given.length < REQUEST_ID_SIZE && syntax_is(given, SYNTAX_HOST) &&
        view_find(given, '~') == SIZE_MAX) {
        memcpy(id, given.data, given.length);
        id[given.length] = 0;
    } else {
        memcpy(id, own_id, ID_SIZE);
    }
}

void refusal_compose(struct connection *connection, struct buffer *head, struct buffer *body)
{
    struct connection_set *set = connection->set;
    enum guard_reason reason = connection->guard->reason;
    char own_id[ID_SIZE], request_id[REQUEST_ID_SIZE];
    struct incoming_header headers[4] = {{VIEW("Content-Type"), VIEW("application/problem+json")},
                                         {VIEW("X-Request-Id"), {NULL, 0}}};
    size_t count = 2;

    id_make(own_id);
    choose_request_id(connection, own_id, request_id);
    headers[1].value = view_of(request_id);
    if (reason == GUARD_UNAUTHORIZED)
        headers[count++] = (struct incoming_header){VIEW("WWW-Authenticate"), VIEW("Bearer")};
    if (reason == GUARD_BUSY)
        headers[count++] = (struct incoming_header){VIEW("Retry-After"), VIEW("1")};
    if (reason == GUARD_STORAGE_FULL)
        headers[count++] = (struct incoming_header){VIEW("Retry-After"), VIEW("30")};
    buffer_init(head, HEAD_MAX_BYTES);
    buffer_init(body, PROBLEM_MAX_BYTES);
    headers[count] = set->hooks.refuse(connection, request_id, own_id, body, set->context);
    count += headers[count].name.length > 0;
    response_write_head(head, guard_reason_status(reason), headers, count, RESPONSE_LENGTH,
                        body->length, true);
    REQUIRE(head->error == ERROR_NONE);
}
