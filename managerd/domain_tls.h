/*
 * The member tls of a domain, as a PUT brings it: absent or as it was read = what is there stays; null =
 * none; certificatePem and privateKeyPem = a new one, which is checked, and written for proxyd before
 * the domain names it. Both happen off the loop; the handler is run again behind each.
 */
#ifndef MANAGERD_DOMAIN_TLS_H
#define MANAGERD_DOMAIN_TLS_H

#include "managerd/call.h"

/* Checks what the body brings; faults go to the call's. PROGRESS_NEXT: go on; PROGRESS_WAIT: the handler
 * is run again when it is done. `present`: the domain's record, or NULL. */
enum progress domain_tls_check(struct call *call, const struct json *present);
/* Writes the file of a new certificate. PROGRESS_NEXT: there is nothing to write, or it is written. */
enum progress domain_tls_write(struct call *call);
/* Sets the member of the domain's record, and adds the record of the certificate to the change. */
void domain_tls_apply(struct call *call, const struct json *present, struct json *domain);
/* The domain goes, and its certificate with it. */
void domain_tls_remove(struct call *call, const struct json *present);

#endif
