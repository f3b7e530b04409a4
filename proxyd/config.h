/*
 * What the administrator chose: read once from command line and environment, immutable after that.
 */
#ifndef PROXYD_CONFIG_H
#define PROXYD_CONFIG_H

#include "common/aws/endpoint.h"
#include "common/base/arena.h"
#include "common/base/log.h"
#include "common/base/option.h"
#include "common/contract/forwarded.h"
#include "common/contract/route.h"
#include "common/net/incoming.h"

struct config {
    /* the option table's fields */
    char *listen, *admin_listen;
    char *tls_listen, *tls_certificate_file, *tls_key_file; /* NULL: none */
    bool https_redirect;
    int64_t https_port, hsts_max_age_s;
    char *base_domain, *fallback_base_domain;
    char *path_routing_text;
    char *trusted_proxies_text; /* NULL: none */
    char *data_dir;
    char *log_level_text;
    int64_t workers;
    int64_t max_body_bytes, max_head_bytes, max_headers;
    int64_t max_connections, max_connections_per_address;
    int64_t max_in_flight, app_max_in_flight;
    int64_t queue_length, queue_wait_ms;
    int64_t max_memory_bytes; /* never 0: worked out when it was not given */
    int64_t attempts;
    int64_t breaker_failures, breaker_pause_ms, breaker_pause_most_ms;
    int64_t head_timeout_ms, idle_timeout_ms, body_timeout_ms, write_timeout_ms;
    int64_t stream_idle_timeout_ms;
    int64_t connect_timeout_ms, upstream_idle_ms, upstream_connections;
    int64_t drain_delay_ms, drain_timeout_ms, drain_idle_ms;
    char *takeover_socket; /* NULL: none */
    int64_t takeover_timeout_ms;
    bool upstream_http2;
    bool log_query;
    /* worked out from them */
    struct arena arena;
    struct endpoint endpoint;
    enum log_level log_level;
    char *routes_dir, *certificates_dir;
    struct view *base_domains; /* NULL: as published */
    size_t base_domain_count;
    struct view *fallback_base_domains;
    size_t fallback_base_domain_count;
    struct forwarded_network *trusted_proxies;
    size_t trusted_proxy_count;
    enum { PATH_ROUTING_PUBLISHED, PATH_ROUTING_ON, PATH_ROUTING_OFF } path_routing;
};

extern const struct option_table config_options;

/* Fills `config` (not initialised by the caller). OPTION_WRONG: one sentence in `problem`.
 * OPTION_EXIT: --help and the like have printed. */
enum option_action config_read(struct config *config, int argc, char **argv,
                               struct buffer *problem);
void config_release(struct config *config);

#endif
