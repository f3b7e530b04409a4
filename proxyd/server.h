/* The process: opens the routes, starts the workers and the admin thread, listens to signals, drains. */
#ifndef PROXYD_SERVER_H
#define PROXYD_SERVER_H

#include "proxyd/certificates.h"
#include "proxyd/worker.h"

/* Runs until a signal ended it; the certificates (NULL: no TLS) are borrowed. The exit code: 0, or 1
 * when it could not start. */
int server_run(const struct config *config, struct certificates *certificates);

#endif
