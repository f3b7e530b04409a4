/* The OpenAPI 3.1 document, generated from the endpoint table and the shapes, so that it cannot
 * drift. */
#ifndef MANAGERD_OPENAPI_H
#define MANAGERD_OPENAPI_H

#include "common/base/bytes.h"

#define OPENAPI_MAX_BYTES (4u << 20)

void openapi_write(struct buffer *out);

#endif
