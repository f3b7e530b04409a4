/*
 * The body of an AWS call that carries a package: before + base64(package) + after, made from the file
 * while it goes out, so that it never lies in memory. The file stays open: a package that is removed
 * meanwhile still goes out whole.
 */
#ifndef MANAGERD_PACKAGE_BODY_H
#define MANAGERD_PACKAGE_BODY_H

#include "managerd/lambda_control.h"

/* Opens the file, and reads all of it once for the hash: blocks. `before` and `after` are copied. The
 * stream is freed by its own function. */
enum error package_body_open(const char *path, struct view before, struct view after,
                             struct lambda_stream **stream) MUST_CHECK;

#endif
