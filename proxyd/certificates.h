/*
 * Which certificates proxyd serves: the default one of the options, and every secrets/tls/NAME.pem in
 * the data folder (chain and key in one file), found by the host names in it.
 */
#ifndef PROXYD_CERTIFICATES_H
#define PROXYD_CERTIFICATES_H

#include "common/net/tls.h"
#include "proxyd/config.h"

/* Loads all of them. Gives NULL, and one sentence in `problem`, when one cannot be used; also NULL,
 * and no sentence, when TLS is off. For tls_free. */
struct tls *certificates_open(const struct config *config, struct buffer *problem);
/* Loads them anew; a bad file is logged, and what was loaded from it before stays in force. */
void certificates_reload(struct tls *tls, const struct config *config);
/* One log line for each that is in force. NULL is fine. */
void certificates_log(struct tls *tls);

#endif
