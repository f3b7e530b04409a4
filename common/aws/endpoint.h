/* Region and endpoint of an AWS service, from the SDKs' own variables and the profile in force
 * (shared_files.h). The variables come by callback (getenv in the programs). */
#ifndef COMMON_AWS_ENDPOINT_H
#define COMMON_AWS_ENDPOINT_H

#include "common/base/arena.h"
#include "common/base/bytes.h"

/* How buckets are told from one another: s3's addressing_style in the profile. */
enum endpoint_addressing {
    ENDPOINT_ADDRESSING_AUTO,    /* by host name where that can be */
    ENDPOINT_ADDRESSING_PATH,    /* the bucket is the first part of the path */
    ENDPOINT_ADDRESSING_VIRTUAL, /* the bucket is the first part of the host's name */
};

struct endpoint {
    struct view url;    /* "https://lambda.us-east-1.amazonaws.com", no trailing slash; a custom
                           endpoint's path prefix is kept; NUL behind */
    struct view host;   /* for Host and the signature: port only when not the default */
    struct view path;   /* "" or "/prefix" */
    struct view region; /* AWS_REGION, AWS_DEFAULT_REGION, the profile's region */
    bool tls;
    bool custom;                         /* somebody configured the URL; else it is AWS's own */
    enum endpoint_addressing addressing; /* AUTO but for s3 */
    const char
        *ca_file; /* whom TLS trusts: AWS_CA_BUNDLE, the profile's ca_bundle; NULL: the system's */
};

/* `service` is "lambda", "s3", "sts", "logs". Order: AWS_ENDPOINT_URL_<SERVICE>, AWS_ENDPOINT_URL,
 * the service's endpoint_url in the profile's services section, the profile's endpoint_url, the service's
 * own address (China regions: .amazonaws.com.cn); AWS_IGNORE_CONFIGURED_ENDPOINT_URLS,
 * AWS_USE_FIPS_ENDPOINT, AWS_USE_DUALSTACK_ENDPOINT and the profile's keys for them honoured.
 * ERROR_NOT_FOUND: no region; ERROR_INVALID: a URL that is none. One sentence in `problem`. */
enum error endpoint_resolve(const char *service, const char *(*variable)(const char *name),
                            struct arena *arena, struct endpoint *endpoint,
                            struct buffer *problem) MUST_CHECK;

/* The ca_file alone, without a region; in the arena. */
enum error endpoint_ca_file(const char *(*variable)(const char *name), struct arena *arena,
                            const char **path, struct buffer *problem) MUST_CHECK;

#endif
