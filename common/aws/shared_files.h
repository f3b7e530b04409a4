/*
 * The SDKs' shared files: AWS_CONFIG_FILE (~/.aws/config) and AWS_SHARED_CREDENTIALS_FILE
 * (~/.aws/credentials), and the profile that is in force (AWS_DEFAULT_PROFILE, then AWS_PROFILE, as
 * botocore has it; else "default"). Where a profile is in both, the credentials file's keys count.
 */
#ifndef COMMON_AWS_SHARED_FILES_H
#define COMMON_AWS_SHARED_FILES_H

#include "common/aws/ini.h"

#define SHARED_FILE_MAX_BYTES (1u << 20)

struct shared_files {
    struct ini config, credentials; /* empty: no such file */
    struct view profile;            /* the one in force */
    const char *config_path, *credentials_path;
};

/* A file that is not there counts as empty, as does a default one that may not be read. `variable`
 * gives the environment (getenv). ERROR_INVALID, or a file's own error: one sentence that never shows
 * what is in a file. A profile that was asked for and that no file has is ERROR_NOT_FOUND. All of it
 * is in `arena`. */
enum error shared_files_read(const char *(*variable)(const char *name), struct arena *arena,
                             struct shared_files *files, struct buffer *problem) MUST_CHECK;

/* The profile's section in either file; NULL: it has none. */
const struct ini_section *shared_files_config(const struct shared_files *files,
                                              struct view profile);
const struct ini_section *shared_files_credentials(const struct shared_files *files,
                                                   struct view profile);
bool shared_files_has(const struct shared_files *files, struct view profile);
/* A profile's value: the credentials file's, else the configuration's. */
bool shared_files_get(const struct shared_files *files, struct view profile, const char *key,
                      struct view *value);

#endif
