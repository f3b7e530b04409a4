/* Turns an app's route into bytes and back, and says what is lawful in it. */
#include "common/store/route_record.h"

#include "common/base/crypto.h"
#include "common/store/layout.h"
#include "common/store/record_parts.h"

#define SUM_BYTES     8
#define SUM_FIELD     (6 + SUM_BYTES) /* with its tag and length */
#define FUNCTION_MAX  256             /* an ARN has at most 140 characters today */
#define QUALIFIER_MAX 128
#define TIMEOUT_MAX_S 900

static void decode_route_field(struct codec_reader *reader, struct arena *arena, uint16_t tag,
                               struct view field, struct route_record *record);
static void decode_version(struct codec_reader *outer, struct view field,
                           struct route_version *version);
static enum error check_version(const struct route_record *record, size_t index,
                                struct buffer *problem);

static void encode_version(struct buffer *out, const struct route_version *version)
{
    size_t position = codec_open(out, ROUTE_VERSION);

    codec_put_u32(out, VERSION_NUMBER, version->number);
    codec_put_u16(out, VERSION_WEIGHT, version->weight);
    codec_put_text(out, VERSION_FUNCTION, version->function);
    codec_put_text(out, VERSION_QUALIFIER, version->qualifier);
    codec_put_u8(out, VERSION_PAYLOAD_FORMAT, (uint8_t)version->payload_format);
    codec_put_u8(out, VERSION_RESPONSE_MODE, (uint8_t)version->response_mode);
    codec_put_u8(out, VERSION_MULTI_VALUE, version->multi_value);
    codec_put_u32(out, VERSION_TIMEOUT_S, version->timeout_s);
    codec_close(out, position);
}

/* Were a byte of a rule's tag damaged, the rule would look like a field of a later release, which is
 * passed over, and the app would be open. */
static void encode_sum(struct buffer *out, size_t start)
{
    uint8_t digest[SHA256_BYTES];

    sha256(view_slice(buffer_view(out), start, SIZE_MAX), digest);
    codec_put_text(out, ROUTE_SUM, view_from(digest, SUM_BYTES));
}

static bool sum_good(struct view bytes, struct view sum)
{
    uint8_t digest[SHA256_BYTES];

    if (sum.length != SUM_BYTES)
        return false;
    sha256(view_slice(bytes, 0, bytes.length - SUM_FIELD), digest);
    return view_equal(sum, view_from(digest, SUM_BYTES));
}

static bool has_rules(const struct route_access *access)
{
    return access->api_key_header.length || access->jwt.issuer.length || access->cors;
}

void route_record_encode(struct buffer *out, const struct route_record *record)
{
    size_t start = out->length;

    codec_begin(out);
    codec_put_text(out, ROUTE_APP, record->app);
    codec_put_u32(out, ROUTE_SLOT, record->slot);
    codec_put_u8(out, ROUTE_ENABLED, record->enabled);
    for (size_t i = 0; i < record->version_count; i++)
        encode_version(out, &record->versions[i]);
    if (record->max_in_flight)
        codec_put_u32(out, ROUTE_MAX_IN_FLIGHT, record->max_in_flight);
    if (record->rate_milli)
        codec_put_u64(out, ROUTE_RATE_MILLI, record->rate_milli);
    if (record->burst)
        codec_put_u32(out, ROUTE_BURST, record->burst);
    if (record->deadline_ms)
        codec_put_u32(out, ROUTE_DEADLINE_MS, record->deadline_ms);
    if (record->max_body_bytes)
        codec_put_u64(out, ROUTE_MAX_BODY_BYTES, record->max_body_bytes);
    if (record->sticky != ROUTE_STICKY_NONE)
        codec_put_u8(out, ROUTE_STICKY, (uint8_t)record->sticky);
    /* Before a field that must be there, so that no cut record looks like one without rules. */
    record_access_encode(out, &record->access);
    codec_put_u64(out, ROUTE_REVISION, record->revision);
    if (record->previews)
        codec_put_u8(out, ROUTE_PREVIEWS, 1);
    if (record->version_header)
        codec_put_u8(out, ROUTE_VERSION_HEADER, 1);
    if (record->respond_async)
        codec_put_u8(out, ROUTE_RESPOND_ASYNC, 1);
    if (has_rules(&record->access))
        encode_sum(out, start);
}

enum error route_record_decode(struct arena *arena, struct view bytes, struct route_record *record)
{
    struct codec_reader reader;
    struct record_seen seen = {0};
    struct view field;
    enum error error;
    size_t versions;
    uint16_t tag;

    *record = (struct route_record){0};
    error = record_take(arena, bytes, &reader);
    if (error == ERROR_NONE)
        error = record_count(&reader, ROUTE_VERSION, &versions);
    if (error != ERROR_NONE)
        return error;
    if (versions > ROUTE_MAX_VERSIONS)
        return ERROR_DAMAGED;
    if (versions) {
        record->versions = arena_alloc(arena, versions * sizeof(*record->versions));
        if (!record->versions)
            return arena->error;
    }
    while (codec_next(&reader, &tag, &field)) {
        if (tag != ROUTE_VERSION && record_seen(&seen, tag))
            return ERROR_DAMAGED;
        if (tag == ROUTE_SUM && (reader.rest.length || !sum_good(bytes, field)))
            return ERROR_DAMAGED;
        decode_route_field(&reader, arena, tag, field, record);
    }
    if (reader.error != ERROR_NONE)
        return reader.error;
    if (!record_seen_all(&seen, RECORD_TAG(ROUTE_APP) | RECORD_TAG(ROUTE_SLOT) |
                                    RECORD_TAG(ROUTE_ENABLED) | RECORD_TAG(ROUTE_REVISION)))
        return ERROR_DAMAGED;
    return route_record_validate(record, NULL) == ERROR_NONE ? ERROR_NONE : ERROR_DAMAGED;
}

static void decode_route_field(struct codec_reader *reader, struct arena *arena, uint16_t tag,
                               struct view field, struct route_record *record)
{
    switch (tag) {
    case ROUTE_APP:
        record->app = field;
        break;
    case ROUTE_SLOT:
        record->slot = codec_u32(reader, field);
        break;
    case ROUTE_ENABLED:
        record->enabled = record_bool(reader, field);
        break;
    case ROUTE_VERSION:
        decode_version(reader, field, &record->versions[record->version_count++]);
        break;
    case ROUTE_MAX_IN_FLIGHT:
        record->max_in_flight = codec_u32(reader, field);
        break;
    case ROUTE_RATE_MILLI:
        record->rate_milli = codec_u64(reader, field);
        break;
    case ROUTE_BURST:
        record->burst = codec_u32(reader, field);
        break;
    case ROUTE_DEADLINE_MS:
        record->deadline_ms = codec_u32(reader, field);
        break;
    case ROUTE_MAX_BODY_BYTES:
        record->max_body_bytes = codec_u64(reader, field);
        break;
    case ROUTE_STICKY:
        record->sticky = record_choice(reader, field, ROUTE_STICKY_NONE, ROUTE_STICKY_ADDRESS);
        break;
    case ROUTE_REVISION:
        record->revision = codec_u64(reader, field);
        break;
    case ROUTE_PREVIEWS:
        record->previews = record_bool(reader, field);
        break;
    case ROUTE_VERSION_HEADER:
        record->version_header = record_bool(reader, field);
        break;
    case ROUTE_RESPOND_ASYNC:
        record->respond_async = record_bool(reader, field);
        break;
    case ROUTE_ACCESS:
        record_access_decode(reader, arena, field, &record->access);
        break;
    default:
        codec_unknown(reader, tag);
    }
}

static void decode_version(struct codec_reader *outer, struct view field,
                           struct route_version *version)
{
    const uint32_t wanted = RECORD_TAG(VERSION_NUMBER) | RECORD_TAG(VERSION_WEIGHT) |
                            RECORD_TAG(VERSION_FUNCTION) | RECORD_TAG(VERSION_QUALIFIER) |
                            RECORD_TAG(VERSION_PAYLOAD_FORMAT) | RECORD_TAG(VERSION_TIMEOUT_S);
    struct codec_reader reader;
    struct record_seen seen = {0};
    uint16_t tag;

    codec_read_nested(&reader, field);
    while (codec_next(&reader, &tag, &field)) {
        if (record_seen(&seen, tag)) {
            reader.error = ERROR_DAMAGED;
            break;
        }
        switch (tag) {
        case VERSION_NUMBER:
            version->number = codec_u32(&reader, field);
            break;
        case VERSION_WEIGHT:
            version->weight = codec_u16(&reader, field);
            break;
        case VERSION_FUNCTION:
            version->function = field;
            break;
        case VERSION_QUALIFIER:
            version->qualifier = field;
            break;
        case VERSION_PAYLOAD_FORMAT:
            version->payload_format =
                record_choice(&reader, field, ROUTE_PAYLOAD_1_0, ROUTE_PAYLOAD_ALB);
            break;
        case VERSION_RESPONSE_MODE:
            version->response_mode = record_choice(&reader, field, ROUTE_BUFFERED, ROUTE_AUTO);
            break;
        case VERSION_MULTI_VALUE:
            version->multi_value = record_bool(&reader, field);
            break;
        case VERSION_TIMEOUT_S:
            version->timeout_s = codec_u32(&reader, field);
            break;
        default:
            codec_unknown(&reader, tag);
        }
    }
    if (reader.error == ERROR_NONE && !record_seen_all(&seen, wanted))
        reader.error = ERROR_DAMAGED;
    if (outer->error == ERROR_NONE)
        outer->error = reader.error;
}

enum error route_record_validate(const struct route_record *record, struct buffer *problem)
{
    uint64_t total = 0;

    if (!record_app_lawful(record->app))
        return record_refuse(problem, "The app name \"%.*s\" is not a lower-case DNS label.",
                             VIEW_FORMAT(view_slice(record->app, 0, 100)));
    if (record->version_count > ROUTE_MAX_VERSIONS)
        return record_refuse(problem, "A route holds at most %d versions, this one has %zu.",
                             ROUTE_MAX_VERSIONS, record->version_count);
    if ((unsigned)record->sticky > ROUTE_STICKY_ADDRESS)
        return record_refuse(problem, "The route's kind of stickiness is unknown.");
    for (size_t i = 0; i < record->version_count; i++) {
        if (check_version(record, i, problem) != ERROR_NONE)
            return ERROR_INVALID;
        total += record->versions[i].weight;
    }
    if (record->version_count && total != ROUTE_WEIGHT_TOTAL)
        return record_refuse(problem, "The weights of the route's versions add up to %llu of %d.",
                             (unsigned long long)total, ROUTE_WEIGHT_TOTAL);
    return record_access_check(&record->access, problem);
}

static enum error check_version(const struct route_record *record, size_t index,
                                struct buffer *problem)
{
    const struct route_version *version = &record->versions[index];

    if (version->number == 0)
        return record_refuse(problem, "Version numbers of a route begin at 1.");
    for (size_t i = 0; i < index; i++)
        if (record->versions[i].number == version->number)
            return record_refuse(problem, "Version %u is in the route twice.", version->number);
    if (version->weight > ROUTE_WEIGHT_TOTAL)
        return record_refuse(problem, "The weight of version %u is above %d.", version->number,
                             ROUTE_WEIGHT_TOTAL);
    if (!record_made_of(version->function, FUNCTION_MAX, "-_:$"))
        return record_refuse(problem, "The function of version %u is no function name and no ARN.",
                             version->number);
    if (!record_made_of(version->qualifier, QUALIFIER_MAX, "-_$"))
        return record_refuse(problem, "The Lambda version of version %u is not lawful.",
                             version->number);
    if (version->payload_format < ROUTE_PAYLOAD_1_0 || version->payload_format > ROUTE_PAYLOAD_ALB)
        return record_refuse(problem, "The payload format of version %u is unknown.",
                             version->number);
    if ((unsigned)version->response_mode > ROUTE_AUTO)
        return record_refuse(problem, "The response mode of version %u is unknown.",
                             version->number);
    if (version->timeout_s == 0 || version->timeout_s > TIMEOUT_MAX_S)
        return record_refuse(problem, "The timeout of version %u is not between 1 and %d seconds.",
                             version->number, TIMEOUT_MAX_S);
    return ERROR_NONE;
}
