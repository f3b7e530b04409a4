/*
 * The certificates of domains, for proxyd: secrets/tls/FINGERPRINT.pem, a projection of state.
 *
 * What counts is sealed in state; a file is written, whole, before state names it, and goes some
 * seconds after the last domain has stopped naming it. At the start, and again and again, the folder is
 * compared with state: what is missing or differs is written, what nobody names goes. Files of other
 * names belong to the operator and are left alone. Loop thread only.
 */
#ifndef MANAGERD_CERTIFICATES_H
#define MANAGERD_CERTIFICATES_H

#include "managerd/state.h"

#define CERTIFICATES_FOLDER "secrets/tls"
#define CERTIFICATES_LOOK_S 2 /* a file that nobody names stays so long at least */
#define CERTIFICATES_SOON_S                                                                        \
    (14 * 24 * 3600) /* before its end a certificate is warned of each day */

struct event_base;
struct jobs;
struct secrets;
struct certificates;

/* Compares folder and state before it returns; what cannot be written is tried again. `folder` exists
 * and is copied. */
struct certificates *certificates_new(struct event_base *base, struct state *state,
                                      const struct secrets *secrets, struct jobs *store_thread,
                                      const char *folder);
/* Nothing may be under way. NULL is fine. */
void certificates_free(struct certificates *certificates);

/* Writes the file of a certificate that state is to name soon; on_done from the loop, when it is on the
 * disk. It stays until certificates_let_go at least, which is to be called once, also on failure. */
void certificates_write(struct certificates *certificates, const char *fingerprint, struct view pem,
                        void (*on_done)(enum error error, void *context), void *context);
void certificates_let_go(struct certificates *certificates, const char *fingerprint);
/* What state named may have changed: the folder is compared soon. */
void certificates_changed(struct certificates *certificates);

/* The record of a host's certificate for state: sealed. */
struct json *certificates_record(const struct certificates *certificates, struct view host,
                                 const char *fingerprint, int64_t not_after_s, struct view pem);

/* Whether there is room for one more domain's: proxyd loads no more than TLS_MAX_CERTIFICATES, of which
 * some are left to the operator. Another one of a domain that has one always fits. */
#define CERTIFICATES_MAX 4000
bool certificates_full(const struct certificates *certificates);
/* Whether every file that can be there is there. */
bool certificates_healthy(const struct certificates *certificates);
/* Domains whose certificate neither state nor the folder can give: to be given again. Appends their
 * hosts, the first few. */
size_t certificates_lost(const struct certificates *certificates, struct buffer *hosts);
void certificates_each(const struct certificates *certificates,
                       void (*visit)(struct view host, struct view fingerprint, int64_t not_after_s,
                                     void *context),
                       void *context);

#endif
