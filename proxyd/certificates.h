/*
 * Which certificates proxyd serves: the default one of the options, and every secrets/tls/NAME.pem in
 * the data folder (chain and key in one file), found by the host names in it. The files are watched:
 * what is put there, replaced or removed is in force within a second or so.
 */
#ifndef PROXYD_CERTIFICATES_H
#define PROXYD_CERTIFICATES_H

#include "common/net/tls.h"
#include "proxyd/config.h"

struct certificates;

/* Loads all of them. Gives NULL, and one sentence in `problem`, when the default one cannot be used, or,
 * with `all_good`, any; else a bad one in the folder is logged. Also NULL, and no sentence, when TLS is
 * off. `config` must live as long. */
struct certificates *certificates_open(const struct config *config, bool all_good,
                                       struct buffer *problem);
/* All sessions must be gone. NULL is fine, here and below. */
void certificates_free(struct certificates *certificates);
/* Each CERTIFICATES_TICK_MS, from one thread: loads what has changed. A bad file is logged once, and
 * what was loaded from it before stays in force; so does everything while the folder is not there. */
#define CERTIFICATES_TICK_MS 250
void certificates_tend(struct certificates *certificates);
/* Reads all of them anew, from the same thread. */
void certificates_reload(struct certificates *certificates);
/* One log line for each that is in force. */
void certificates_log(struct certificates *certificates);
/* What serves them; NULL without TLS. */
struct tls *certificates_tls(struct certificates *certificates);

#endif
