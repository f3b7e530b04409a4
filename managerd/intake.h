/*
 * What a call may bring, decided at the end of its head, before a byte of its body is taken: who may
 * send how much, and whether it is spooled to a file (upload.h) instead of lying in memory.
 */
#ifndef MANAGERD_INTAKE_H
#define MANAGERD_INTAKE_H

#include "common/net/incoming.h"
#include "managerd/server.h"

#define INTAKE_MAX_BODY_BYTES     (1u << 20) /* what is no package, nor beside one */
#define INTAKE_MAX_DOCUMENT_BYTES (4u << 20) /* the same of a document to be applied */

/* For incoming_limits: the largest body of all. */
uint64_t intake_max_bytes(const struct server *server);
/* For incoming_handlers; `context` is the server. */
uint64_t intake_limit(const struct incoming_head *head, enum guard_reason *over, void *context);
struct incoming_spool *intake_spool(const struct incoming_head *head, enum guard_reason *over,
                                    void *context);
void intake_refusal(const struct incoming_refusal *refusal, struct buffer *body, void *context);

#endif
