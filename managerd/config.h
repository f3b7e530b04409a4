/* The options of managerd: one table, filled in before anything else starts, never changed after. */
#ifndef MANAGERD_CONFIG_H
#define MANAGERD_CONFIG_H

#include "common/base/bytes.h"
#include "common/base/log.h"
#include "common/base/option.h"

#define CONFIG_MAX_BASE_DOMAINS 16

struct config {
    char *listen;
    char *health_listen;        /* NULL: none */
    char *tls_certificate_file; /* NULL: no TLS */
    char *tls_key_file;         /* with TLS never NULL */
    char *tls_client_ca_file;   /* NULL: clients are asked for nothing */
    char *tls_client_certificates;
    char *token; /* secret */
    char *data_dir;
    char *base_domain; /* a list, separated by commas */
    char *public_url;
    bool path_routing;
    char *function_prefix;
    char *role; /* NULL: none */
    int64_t max_package_bytes;
    int64_t max_uploads;
    int64_t max_upload_bytes; /* of disk, of all of them together */
    int64_t upload_free_bytes;
    char *secret_key_file;
    int64_t drain_ms; /* -1: the longest deadline */
    int64_t max_operations;
    int64_t aws_control_rate, aws_get_rate; /* calls per second */
    int64_t map_bytes;
    int64_t keep_versions;
    int64_t keep_versions_ms;
    char *proxies; /* a list, or "none" */
    int64_t status_max_age_ms;
    int64_t jwks_interval_ms;
    int64_t jwks_max_age_ms;
    char *jwks_ca_file; /* NULL: the system's */
    char *jwks_allow;   /* a list */
    int64_t audit_max_age_ms;
    int64_t audit_max_records;
    char *backup, *verify, *rescue; /* folders; NULL: managerd serves */
    char *log_level;

    /* Made from the above. */
    bool jwks_allow_loopback, jwks_allow_link_local;
    bool tls_clients_required;
    bool loopback; /* listens for this machine alone */
    enum log_level level;
    const char *base_domains[CONFIG_MAX_BASE_DOMAINS];
    size_t base_domain_count;
    int argc;
    char **argv;
};

extern const struct option_table config_options;

/* Reads options and environment. On OPTION_WRONG one sentence is in `problem`. */
enum option_action config_read(int argc, char **argv, struct config *config,
                               struct buffer *problem);
/* Reads the files of secrets again; what fails leaves the old value. */
enum error config_reread_secrets(struct config *config, struct buffer *problem) MUST_CHECK;
void config_release(struct config *config);

#endif
