/* What operators do to state besides serving it: copy, check, and save what is left of it. */
#ifndef MANAGERD_STATE_BACKUP_H
#define MANAGERD_STATE_BACKUP_H

#include "managerd/config.h"

/* Whether the options ask for it. */
bool state_backup_wanted(const struct config *config);
/* Does what is asked for and tells on standard output what was done; or one sentence in `problem`. */
enum error state_backup_run(const struct config *config, struct buffer *problem) MUST_CHECK;

#endif
