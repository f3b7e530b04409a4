/* The JSON Schemas of events and replies (managerd/schemas), as they are served. */
#ifndef MANAGERD_SCHEMAS_H
#define MANAGERD_SCHEMAS_H

#include "common/base/bytes.h"

/* The text of "event-2.0.json" and the like; false when there is none of that name. Static. */
bool schema_find(struct view file, struct view *text);
/* The names, one by one: index from 0; NULL past the end. */
const char *schema_name(size_t index);

#endif
