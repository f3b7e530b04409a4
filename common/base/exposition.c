/* Writes metrics in the Prometheus text format. */
#include "common/base/exposition.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/escape.h"

/* Bytes that are not UTF-8 become "?", since one of them would make the whole page unreadable. */
static void append_escaped(struct buffer *out, struct view text, bool quote)
{
    bool valid = utf8_valid(text);

    for (size_t i = 0; i < text.length; i++) {
        char byte = text.data[i];

        if (byte == '\\')
            buffer_append_string(out, "\\\\");
        else if (byte == '\n')
            buffer_append_string(out, "\\n");
        else if (byte == '"' && quote)
            buffer_append_string(out, "\\\"");
        else if (!valid && (unsigned char)byte >= 0x80)
            buffer_append_byte(out, '?');
        else
            buffer_append_byte(out, byte);
    }
}

/* The shortest of two lengths that reads back as the same number. */
static void append_number(struct buffer *out, double value)
{
    char text[40];

    if (isnan(value)) {
        buffer_append_string(out, "NaN");
    } else if (isinf(value)) {
        buffer_append_string(out, value > 0 ? "+Inf" : "-Inf");
    } else {
        snprintf(text, sizeof(text), "%.15g", value);
        if (strtod(text, NULL) < value || strtod(text, NULL) > value)
            snprintf(text, sizeof(text), "%.17g", value);
        buffer_append_string(out, text);
    }
}

static void append_label(struct buffer *out, const char *name, bool first)
{
    buffer_append_byte(out, first ? '{' : ',');
    buffer_append_string(out, name);
    buffer_append_string(out, "=\"");
}

/* Everything of a sample but its value; `bound` (may be NULL) becomes the label le. */
static void append_head(struct buffer *out, const char *name, const char *suffix,
                        const struct exposition_label *labels, size_t label_count,
                        const double *bound)
{
    buffer_append_string(out, name);
    buffer_append_string(out, suffix);
    for (size_t i = 0; i < label_count; i++) {
        append_label(out, labels[i].name, i == 0);
        append_escaped(out, labels[i].value, true);
        buffer_append_byte(out, '"');
    }
    if (bound) {
        append_label(out, "le", label_count == 0);
        append_number(out, *bound);
        buffer_append_byte(out, '"');
    }
    buffer_append_string(out, label_count || bound ? "} " : " ");
}

void exposition_family(struct buffer *out, const char *name, const char *type, const char *help)
{
    buffer_append_string(out, "# HELP ");
    buffer_append_string(out, name);
    buffer_append_byte(out, ' ');
    append_escaped(out, view_of(help), false);
    buffer_append_string(out, "\n# TYPE ");
    buffer_append_string(out, name);
    buffer_append_byte(out, ' ');
    buffer_append_string(out, type);
    buffer_append_byte(out, '\n');
}

void exposition_sample(struct buffer *out, const char *name, const struct exposition_label *labels,
                       size_t label_count, double value)
{
    append_head(out, name, "", labels, label_count, NULL);
    append_number(out, value);
    buffer_append_byte(out, '\n');
}

static void append_count(struct buffer *out, const char *name, const char *suffix,
                         const struct exposition_label *labels, size_t label_count,
                         const double *bound, uint64_t value)
{
    append_head(out, name, suffix, labels, label_count, bound);
    buffer_append_u64(out, value);
    buffer_append_byte(out, '\n');
}

void exposition_count(struct buffer *out, const char *name, const struct exposition_label *labels,
                      size_t label_count, uint64_t value)
{
    append_count(out, name, "", labels, label_count, NULL, value);
}

void exposition_histogram(struct buffer *out, const char *name,
                          const struct exposition_label *labels, size_t label_count,
                          const double *bounds, const uint64_t *counts, size_t bound_count,
                          double sum)
{
    uint64_t total = 0;

    for (size_t i = 0; i <= bound_count; i++) {
        double bound = i < bound_count ? bounds[i] : INFINITY;

        total += counts[i];
        append_count(out, name, "_bucket", labels, label_count, &bound, total);
    }
    append_head(out, name, "_sum", labels, label_count, NULL);
    append_number(out, sum);
    buffer_append_byte(out, '\n');
    append_count(out, name, "_count", labels, label_count, NULL, total);
}
