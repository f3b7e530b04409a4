/*
 * TLS of the API itself: the certificate that managerd shows, and whose word counts for those of its
 * clients. The files are watched: what is put in their place is in force for the next connection within
 * a second or so, and open ones go on. What cannot be used is logged once; what was there before stays
 * in force.
 */
#ifndef MANAGERD_API_CERTIFICATE_H
#define MANAGERD_API_CERTIFICATE_H

#include "common/net/tls.h"
#include "managerd/config.h"

struct api_certificate;
struct event_base;

/* Reads the files. NULL and no sentence: TLS is off. NULL and one sentence in `problem`: they cannot be
 * used. `config` must live as long. */
struct api_certificate *api_certificate_open(const struct config *config, struct buffer *problem);
/* Tells the log what is served, and watches the files from now on. NULL is fine, here and below. */
void api_certificate_begin(struct api_certificate *certificate, struct event_base *base);
/* Reads the files anew. */
void api_certificate_reload(struct api_certificate *certificate);
/* Before the loop goes. */
void api_certificate_end(struct api_certificate *certificate);
/* All sessions must be gone. */
void api_certificate_free(struct api_certificate *certificate);
/* NULL without TLS. */
struct tls *api_certificate_tls(struct api_certificate *certificate);

#endif
