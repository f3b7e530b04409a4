/* Tells the time, and writes and reads dates in the forms that HTTP, AWS and logs use. */
#include "common/base/clock.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

static _Atomic bool frozen;
static _Atomic int64_t frozen_wall_ms;
static _Atomic uint64_t frozen_monotonic_us;

static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char day_names[] = "SunMonTueWedThuFriSat";

uint64_t clock_monotonic_us(void)
{
    struct timespec now;

    if (atomic_load_explicit(&frozen, memory_order_relaxed))
        return atomic_load(&frozen_monotonic_us);
    REQUIRE(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

int64_t clock_wall_ms(void)
{
    struct timespec now;

    if (atomic_load_explicit(&frozen, memory_order_relaxed))
        return atomic_load(&frozen_wall_ms);
    REQUIRE(clock_gettime(CLOCK_REALTIME, &now) == 0);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

uint64_t clock_thread_us(void)
{
    struct timespec now;

    REQUIRE(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void clock_freeze(int64_t wall_ms, uint64_t monotonic_us)
{
    atomic_store(&frozen_wall_ms, wall_ms);
    atomic_store(&frozen_monotonic_us, monotonic_us);
    atomic_store(&frozen, true);
}

void clock_advance_ms(int64_t ms)
{
    REQUIRE(atomic_load(&frozen));
    atomic_fetch_add(&frozen_wall_ms, ms);
    atomic_fetch_add(&frozen_monotonic_us, (uint64_t)ms * 1000);
}

void clock_thaw(void)
{
    atomic_store(&frozen, false);
}

struct date {
    int64_t year;
    unsigned month, day; /* from 1 */
    unsigned hour, minute, second, millisecond;
    unsigned weekday; /* 0: Sunday */
};

/* Days since 1970-01-01 in the proleptic Gregorian calendar; years begin in March here, so that the
 * leap day is the last. */
static int64_t days_from_date(int64_t year, unsigned month, unsigned day)
{
    int64_t era, year_of_era, day_of_year;

    year -= month <= 2;
    era = (year >= 0 ? year : year - 399) / 400;
    year_of_era = year - era * 400;
    day_of_year = (153 * (month > 2 ? (int64_t)month - 3 : (int64_t)month + 9) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

static void date_from_days(int64_t days, struct date *date)
{
    int64_t era, day_of_era, year_of_era, day_of_year, month;

    date->weekday = (unsigned)(((days + 4) % 7 + 7) % 7);
    days += 719468;
    era = (days >= 0 ? days : days - 146096) / 146097;
    day_of_era = days - era * 146097;
    year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    month = (5 * day_of_year + 2) / 153;
    date->day = (unsigned)(day_of_year - (153 * month + 2) / 5 + 1);
    date->month = (unsigned)(month < 10 ? month + 3 : month - 9);
    date->year = year_of_era + era * 400 + (date->month <= 2);
}

/* Four digits are all the forms have room for: years 0000 to 9999. */
#define WALL_MS_LEAST INT64_C(-62167219200000)
#define WALL_MS_MOST  INT64_C(253402300799999)
#define DAY_MS        INT64_C(86400000)

static struct date date_from_ms(int64_t wall_ms)
{
    struct date date = {0};
    int64_t days, rest;

    if (wall_ms < WALL_MS_LEAST)
        wall_ms = WALL_MS_LEAST;
    if (wall_ms > WALL_MS_MOST)
        wall_ms = WALL_MS_MOST;
    days = wall_ms / DAY_MS;
    rest = wall_ms % DAY_MS;
    if (rest < 0) {
        rest += DAY_MS;
        days--;
    }
    date_from_days(days, &date);
    date.hour = (unsigned)(rest / 3600000);
    date.minute = (unsigned)(rest / 60000 % 60);
    date.second = (unsigned)(rest / 1000 % 60);
    date.millisecond = (unsigned)(rest % 1000);
    return date;
}

static char *put_digits(char *to, unsigned value, unsigned digits)
{
    for (unsigned i = digits; i > 0; i--) {
        to[i - 1] = (char)('0' + value % 10);
        value /= 10;
    }
    return to + digits;
}

static char *put_text(char *to, const char *text)
{
    while (*text)
        *to++ = *text++;
    return to;
}

/* One of a row of three-letter names. */
static char *put_name(char *to, const char *names, unsigned place)
{
    memcpy(to, names + (size_t)place * 3, 3);
    return to + 3;
}

static char *put_time(char *to, const struct date *date, const char *separator)
{
    to = put_text(put_digits(to, date->hour, 2), separator);
    to = put_text(put_digits(to, date->minute, 2), separator);
    return put_digits(to, date->second, 2);
}

void clock_format_rfc3339(int64_t wall_ms, char out[CLOCK_RFC3339_SIZE])
{
    struct date date = date_from_ms(wall_ms);
    char *to = put_digits(out, (unsigned)date.year, 4);

    to = put_digits(put_text(to, "-"), date.month, 2);
    to = put_digits(put_text(to, "-"), date.day, 2);
    to = put_time(put_text(to, "T"), &date, ":");
    to = put_digits(put_text(to, "."), date.millisecond, 3);
    *put_text(to, "Z") = '\0';
}

void clock_format_amz(int64_t wall_ms, char out[CLOCK_AMZ_SIZE])
{
    struct date date = date_from_ms(wall_ms);
    char *to = put_digits(out, (unsigned)date.year, 4);

    to = put_digits(to, date.month, 2);
    to = put_digits(to, date.day, 2);
    to = put_time(put_text(to, "T"), &date, "");
    *put_text(to, "Z") = '\0';
}

void clock_format_http(int64_t wall_ms, char out[CLOCK_HTTP_SIZE])
{
    struct date date = date_from_ms(wall_ms);
    char *to = put_text(put_name(out, day_names, date.weekday), ", ");

    to = put_text(put_digits(to, date.day, 2), " ");
    to = put_text(put_name(to, month_names, date.month - 1), " ");
    to = put_text(put_digits(to, (unsigned)date.year, 4), " ");
    *put_text(put_time(to, &date, ":"), " GMT") = '\0';
}

void clock_format_clf(int64_t wall_ms, char out[CLOCK_CLF_SIZE])
{
    struct date date = date_from_ms(wall_ms);
    char *to = put_text(put_digits(out, date.day, 2), "/");

    to = put_text(put_name(to, month_names, date.month - 1), "/");
    to = put_text(put_digits(to, (unsigned)date.year, 4), ":");
    *put_text(put_time(to, &date, ":"), " +0000") = '\0';
}

/* A text that is eaten from the front; once `bad`, it stays so. */
struct reader {
    struct view rest;
    bool bad;
};

static unsigned take_digits(struct reader *reader, unsigned digits)
{
    unsigned value = 0;

    if (reader->rest.length < digits)
        reader->bad = true;
    for (unsigned i = 0; i < digits && !reader->bad; i++) {
        unsigned digit = (unsigned char)reader->rest.data[i] - (unsigned)'0';

        reader->bad = digit > 9;
        value = value * 10 + digit;
    }
    if (reader->bad)
        return 0;
    reader->rest = view_slice(reader->rest, digits, SIZE_MAX);
    return value;
}

static bool take_one_of(struct reader *reader, const char *bytes)
{
    if (reader->bad || !reader->rest.length || !reader->rest.data[0] ||
        !strchr(bytes, reader->rest.data[0]))
        return false;
    reader->rest = view_slice(reader->rest, 1, SIZE_MAX);
    return true;
}

static void take_exactly(struct reader *reader, const char *text)
{
    if (!reader->bad && view_starts_with(reader->rest, view_of(text)))
        reader->rest = view_slice(reader->rest, strlen(text), SIZE_MAX);
    else
        reader->bad = true;
}

/* The place in a row of three-letter names, from 0. */
static unsigned take_name(struct reader *reader, const char *names)
{
    for (unsigned i = 0; !reader->bad && names[(size_t)i * 3]; i++) {
        struct view name = {names + (size_t)i * 3, 3};

        if (view_starts_with(reader->rest, name)) {
            reader->rest = view_slice(reader->rest, 3, SIZE_MAX);
            return i;
        }
    }
    reader->bad = true;
    return 0;
}

static void take_time(struct reader *reader, struct date *date, const char *separator)
{
    date->hour = take_digits(reader, 2);
    take_exactly(reader, separator);
    date->minute = take_digits(reader, 2);
    take_exactly(reader, separator);
    date->second = take_digits(reader, 2);
}

/* Checks the fields and gives the milliseconds. Second 60 is a leap second and counts as the next
 * second. */
static enum error finish_date(const struct reader *reader, const struct date *date,
                              int64_t *wall_ms)
{
    static const unsigned char month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = date->year % 4 == 0 && (date->year % 100 != 0 || date->year % 400 == 0);

    if (reader->bad || reader->rest.length != 0)
        return ERROR_INVALID;
    if (date->month < 1 || date->month > 12 || date->day < 1 ||
        date->day > month_days[date->month - 1] + (unsigned)(leap && date->month == 2) ||
        date->hour > 23 || date->minute > 59 || date->second > 60)
        return ERROR_INVALID;
    *wall_ms = days_from_date(date->year, date->month, date->day) * DAY_MS +
               (int64_t)date->hour * 3600000 + (int64_t)date->minute * 60000 +
               (int64_t)date->second * 1000 + date->millisecond;
    return ERROR_NONE;
}

/* Any number of digits; what is finer than a millisecond is cut off. */
static unsigned take_fraction(struct reader *reader)
{
    unsigned millisecond = take_digits(reader, 1) * 100;
    unsigned weight = 10;

    while (!reader->bad && reader->rest.length && reader->rest.data[0] >= '0' &&
           reader->rest.data[0] <= '9') {
        millisecond += take_digits(reader, 1) * weight;
        weight /= 10;
    }
    return millisecond;
}

enum error clock_parse_rfc3339(struct view text, int64_t *wall_ms)
{
    struct reader reader = {text, false};
    struct date date = {0};
    int64_t offset_minutes = 0, value;

    date.year = take_digits(&reader, 4);
    take_exactly(&reader, "-");
    date.month = take_digits(&reader, 2);
    take_exactly(&reader, "-");
    date.day = take_digits(&reader, 2);
    if (!take_one_of(&reader, "Tt "))
        return ERROR_INVALID;
    take_time(&reader, &date, ":");
    if (take_one_of(&reader, "."))
        date.millisecond = take_fraction(&reader);
    if (!take_one_of(&reader, "Zz")) {
        bool west = reader.rest.length && reader.rest.data[0] == '-';
        unsigned hours, minutes;

        if (!take_one_of(&reader, "+-"))
            return ERROR_INVALID;
        hours = take_digits(&reader, 2);
        take_exactly(&reader, ":");
        minutes = take_digits(&reader, 2);
        if (hours > 23 || minutes > 59)
            return ERROR_INVALID;
        offset_minutes = (int64_t)(hours * 60 + minutes) * (west ? -1 : 1);
    }
    if (finish_date(&reader, &date, &value) != ERROR_NONE)
        return ERROR_INVALID;
    *wall_ms = value - offset_minutes * 60000;
    return ERROR_NONE;
}

enum error clock_parse_amz(struct view text, int64_t *wall_ms)
{
    struct reader reader = {text, false};
    struct date date = {0};

    date.year = take_digits(&reader, 4);
    date.month = take_digits(&reader, 2);
    date.day = take_digits(&reader, 2);
    take_exactly(&reader, "T");
    take_time(&reader, &date, "");
    take_exactly(&reader, "Z");
    return finish_date(&reader, &date, wall_ms);
}

enum error clock_parse_http(struct view text, int64_t *wall_ms)
{
    struct reader reader = {text, false};
    struct date date = {0};

    take_name(&reader, day_names);
    take_exactly(&reader, ", ");
    date.day = take_digits(&reader, 2);
    take_exactly(&reader, " ");
    date.month = take_name(&reader, month_names) + 1;
    take_exactly(&reader, " ");
    date.year = take_digits(&reader, 4);
    take_exactly(&reader, " ");
    take_time(&reader, &date, ":");
    take_exactly(&reader, " GMT");
    return finish_date(&reader, &date, wall_ms);
}
