/* Traffic: which versions serve with what shares. Pure: JSON of the API in, JSON of the API out. */
#ifndef MANAGERD_TRAFFIC_H
#define MANAGERD_TRAFFIC_H

#include "managerd/shape.h"

/* Percent to parts of 10,000; -1 when it has more than two decimals or is out of range. */
int traffic_weight(double percent);
/* One version takes all. */
struct json *traffic_all(int64_t version, struct view sticky);
/* `percent` for a new version, the rest shared as before; all when nothing served before. */
struct json *traffic_split(const struct json *present, int64_t version, double percent);
/* The same without versions that have no share: nothing holds those, so they may be deleted. */
struct json *traffic_without_zeros(const struct json *traffic);
/* The share of a version in parts of 10,000. */
int traffic_share(const struct json *traffic, int64_t version);
/* Whether any version has a share. */
bool traffic_any(const struct json *traffic);
/* The version with the largest share, the first of several; 0: none has any. */
int64_t traffic_largest(const struct json *traffic);
/* Repeated versions, sums other than 100 (or none at all), too many decimals. */
void traffic_check(const struct json *traffic, struct faults *faults);
/* Whether both mean the same, whatever their order. */
bool traffic_equal(const struct json *a, const struct json *b);

#endif
