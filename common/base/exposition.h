/* The Prometheus text format 0.0.4: families of samples, escaped as the format asks. Knows no
 * metric. */
#ifndef COMMON_BASE_EXPOSITION_H
#define COMMON_BASE_EXPOSITION_H

#include "common/base/bytes.h"

#define EXPOSITION_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct exposition_label {
    const char *name;
    struct view value;
};

/* HELP and TYPE lines; type is "counter", "gauge" or "histogram". Once per family, its samples
 * right after it. */
void exposition_family(struct buffer *out, const char *name, const char *type, const char *help);
void exposition_sample(struct buffer *out, const char *name, const struct exposition_label *labels,
                       size_t label_count, double value);
void exposition_count(struct buffer *out, const char *name, const struct exposition_label *labels,
                      size_t label_count, uint64_t value);
/* A whole histogram: `bounds` rising (seconds), `counts` one longer (the last is beyond the last
 * bound), not cumulative. */
void exposition_histogram(struct buffer *out, const char *name,
                          const struct exposition_label *labels, size_t label_count,
                          const double *bounds, const uint64_t *counts, size_t bound_count,
                          double sum);

#endif
