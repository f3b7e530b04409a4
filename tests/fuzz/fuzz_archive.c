/* Feeds any bytes to archive_check; a refusal must say why, what is accepted must be in limits. */
#include "common/base/archive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct archive_limits limits = {.max_entries = 100, .max_unpacked_bytes = 1048576};
    struct archive_summary summary = {0};
    struct view zip = view_from(data, size);
    struct buffer problem;
    enum error error;

    buffer_init(&problem, 8192);
    error = archive_check(zip, &limits, &summary, &problem);
    if (error == ERROR_NONE) {
        REQUIRE(problem.length == 0);
        REQUIRE(summary.entries >= 1 && summary.entries <= limits.max_entries);
        REQUIRE(summary.unpacked_bytes <= limits.max_unpacked_bytes);
    } else {
        REQUIRE(problem.length > 0);
    }
    (void)archive_has(zip, "index.mjs");
    buffer_release(&problem);
    return 0;
}
