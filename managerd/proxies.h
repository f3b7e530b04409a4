/*
 * The proxies, asked on their admin addresses what they have measured of a version.
 *
 * MANAGERD_PROXIES lists HOST:PORT; of a host name every IPv4 address is asked, or every IPv6 address
 * when it has none of the other kind, and the name is resolved again every few seconds, so proxies may
 * come and go behind it. All are asked at once, each for a bounded time. Loop thread only.
 */
#ifndef MANAGERD_PROXIES_H
#define MANAGERD_PROXIES_H

#include "managerd/measure.h"

struct event_base;
struct proxies;
struct proxies_question;

#define PROXIES_LISTED      64  /* in the option */
#define PROXIES_ADDRESSES   256 /* of one name */
#define PROXIES_DEADLINE_MS 2000

/* Whether the option's text is a list of HOST:PORT, or "none". */
bool proxies_valid(struct view list);

struct proxies *proxies_new(struct event_base *base, struct view list);
/* Ends what is under way: no on_done comes any more, and nothing may be asked. */
void proxies_stop(struct proxies *proxies);
/* After the questions are cancelled. NULL is fine. */
void proxies_free(struct proxies *proxies);

/* Asks all, as one round of `measure`, which must live until on_done (from the loop) or
 * proxies_cancel. */
struct proxies_question *proxies_ask(struct proxies *proxies, struct view app, int64_t version,
                                     struct measure *measure, void (*on_done)(void *context),
                                     void *context);
/* NULL is fine. */
void proxies_cancel(struct proxies_question *question);
/* How many are named. */
size_t proxies_count(const struct proxies *proxies);

#endif
