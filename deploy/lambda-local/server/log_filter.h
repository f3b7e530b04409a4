/*
 * Filter patterns of CloudWatch Logs for unstructured text: words and "phrases" that must all be
 * there, -words that must not, ?words of which one must. Exact case. Patterns for JSON ({…}), for
 * columns ([…]) and regular expressions (%…%) are not known here. Source: CloudWatch Logs user
 * guide, "Filter pattern syntax".
 */
#ifndef LAMBDA_LOCAL_SERVER_LOG_FILTER_H
#define LAMBDA_LOCAL_SERVER_LOG_FILTER_H

#include "common/base/bytes.h"

bool log_filter_valid(struct view pattern);
/* `pattern` is valid. */
bool log_filter_matches(struct view pattern, struct view message);

#endif
