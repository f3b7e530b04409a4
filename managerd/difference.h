/*
 * Differences between two JSON objects, member by member, and how to take them back. Pure.
 *
 * A difference is {"pointer" (RFC 6901), "before", "after"}; a side on which the member is not there has
 * no such member. Objects are looked into, but for those that `whole` names; lists are compared as
 * wholes.
 */
#ifndef MANAGERD_DIFFERENCE_H
#define MANAGERD_DIFFERENCE_H

#include "managerd/shape.h"

/* The differences, in the order of `after`, then what is gone. `whole`: pointers, NULL-terminated, or
 * NULL. Neither object may be NULL. */
struct json *difference_list(const struct json *before, const struct json *after,
                             const char *const *whole);
/* Sets in `object` each member that differs back to `before`. What is neither as it was after nor as it
 * was before has been changed since: a fault each, and then nothing may be done with the object. */
void difference_revert(struct json *object, const struct json *differences, struct faults *since);

#endif
