/*
 * Time: monotonic for durations, wall for dates. Tests can set both; the programs never do.
 * Thread-safe (tests set the clock before they start threads).
 */
#ifndef COMMON_BASE_CLOCK_H
#define COMMON_BASE_CLOCK_H

#include "common/base/bytes.h"

/* Microseconds of a clock that never jumps. */
uint64_t clock_monotonic_us(void);
/* Milliseconds since 1970-01-01 UTC. */
int64_t clock_wall_ms(void);
/* Microseconds of processor time that the calling thread has had; tests cannot set it. */
uint64_t clock_thread_us(void);

/* Tests: freezes both clocks at these values; clock_advance_ms moves both; clock_thaw undoes. */
void clock_freeze(int64_t wall_ms, uint64_t monotonic_us);
void clock_advance_ms(int64_t ms);
void clock_thaw(void);

/* "2026-01-02T03:04:05.678Z" (RFC 3339), 24 characters and NUL. */
#define CLOCK_RFC3339_SIZE 25
void clock_format_rfc3339(int64_t wall_ms, char out[CLOCK_RFC3339_SIZE]);
/* "20260102T030405Z" (SigV4), 16 characters and NUL. */
#define CLOCK_AMZ_SIZE 17
void clock_format_amz(int64_t wall_ms, char out[CLOCK_AMZ_SIZE]);
/* "Fri, 02 Jan 2026 03:04:05 GMT" (RFC 9110 section 5.6.7), 29 characters and NUL. */
#define CLOCK_HTTP_SIZE 30
void clock_format_http(int64_t wall_ms, char out[CLOCK_HTTP_SIZE]);
/* "02/Jan/2026:03:04:05 +0000" (AWS events), 26 characters and NUL. */
#define CLOCK_CLF_SIZE 27
void clock_format_clf(int64_t wall_ms, char out[CLOCK_CLF_SIZE]);
/* Readers of the above forms (RFC 3339 with any fraction and with Z or an offset). */
enum error clock_parse_rfc3339(struct view text, int64_t *wall_ms) MUST_CHECK;
enum error clock_parse_amz(struct view text, int64_t *wall_ms) MUST_CHECK;
enum error clock_parse_http(struct view text, int64_t *wall_ms) MUST_CHECK;

#endif
