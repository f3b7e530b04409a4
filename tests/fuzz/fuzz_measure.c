/* Feeds any bytes to measure_read as a proxy's answer; what it accepts must add up and be judged. */
#include "managerd/measure.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct measure measure;
    static struct measure_answer answer;
    static const struct measure_limits limits = {0.02, 800, 10, 1000};
    char why[MEASURE_WHY];

    if (measure_read(view_from(data, size), 2, &answer))
        return 0;
    REQUIRE(answer.bound_count > 0 && answer.bound_count <= MEASURE_BOUNDS);
    REQUIRE(strlen(answer.start) > 0);
    measure_begin(&measure);
    for (int round = 0; round < 3; round++) {
        measure_begin_round(&measure);
        measure_take(&measure, "a:1", round ? &answer : NULL);
        if (round == 1) /* what comes since then counts */
            memset(&measure.processes[0].last, 0, sizeof measure.processes[0].last);
        measure_judge(&measure, &limits, 2000, why);
    }
    double p99 = measure_p99_ms(&measure);
    REQUIRE(p99 >= 0 && p99 <= answer.bounds_ms[answer.bound_count - 1]);
    json_free(measure_show(&measure, 2000));
    return 0;
}
