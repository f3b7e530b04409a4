/* The folder of the route store. What is in it is made from state, so damage is no reason not to start. */
#ifndef MANAGERD_ROUTES_FOLDER_H
#define MANAGERD_ROUTES_FOLDER_H

#include "common/base/bytes.h"

/* Before the store is opened: when its file is damaged it is put aside as data.mdb.damaged, so that a new one
 * is made; proxies take that up by themselves, as they do when the file is gone. One sentence in `problem` when that cannot be done. */
enum error routes_folder_heal(const char *folder, struct buffer *problem) MUST_CHECK;

#endif
