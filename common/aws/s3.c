/* Keeps what all calls to S3 share: the endpoint, connections, and where each bucket is. */
#include "common/aws/s3_parts.h"

#include "common/base/clock.h"

#include <stdlib.h>
#include <string.h>

#define MAX_CONNECTIONS 16

enum error s3_new(struct event_base *base, const struct s3_options *options, struct s3 **out,
                  struct buffer *problem)
{
    struct s3 *s3 = calloc(1, sizeof *s3);

    REQUIRE(s3 != NULL);
    s3->base = base;
    s3->credentials = options->credentials;
    s3->budget.tokens = RETRY_TOKENS;
    TAILQ_INIT(&s3->homes);
    TAILQ_INIT(&s3->calls);
    arena_init(&s3->arena, 65536);
    enum error error =
        endpoint_resolve("s3", options->variable, &s3->arena, &s3->endpoint, problem);
    if (!error && options->region.length && !s3_region_lawful(options->region)) {
        buffer_append_format(problem, "\"%.*s\" is not the name of a region.",
                             VIEW_FORMAT(view_slice(options->region, 0, 64)));
        error = ERROR_INVALID;
    }
    if (error) {
        s3_free(s3);
        return error;
    }
    struct outgoing_options outgoing = {
        .max_connections = options->max_connections ? options->max_connections : MAX_CONNECTIONS,
        .connect_timeout_ms = 3000,
        .max_idle_ms = 5000, /* S3 closes what is idle soon */
        .max_lifetime_ms = 600000,
        .ca_file = s3->endpoint.ca_file,
        .user_agent = "app-orchestrator/" RELEASE_VERSION};
    s3->outgoing = outgoing_new(base, &outgoing);
    s3->region =
        arena_copy(&s3->arena, options->region.length ? options->region : s3->endpoint.region);
    s3->expected_owner = arena_copy(&s3->arena, options->expected_owner);
    const char *checksums = options->variable("AWS_REQUEST_CHECKSUM_CALCULATION");
    s3->checksums = !checksums || strcasecmp(checksums, "when_required") != 0;
    REQUIRE(s3->arena.error == ERROR_NONE);
    *out = s3;
    return ERROR_NONE;
}

static void home_free(struct s3 *s3, struct s3_home *home)
{
    TAILQ_REMOVE(&s3->homes, home, all);
    s3->home_count--;
    sigv4_signer_free(home->signer);
    free((char *)(uintptr_t)home->bucket.data);
    free((char *)(uintptr_t)home->region.data);
    free(home);
}

void s3_free(struct s3 *s3)
{
    struct s3_call *call, *next;

    if (!s3)
        return;
    for (call = TAILQ_FIRST(&s3->calls); call; call = next) {
        next = TAILQ_NEXT(call, all);
        if (call->over) { /* we are inside its on_done */
            TAILQ_REMOVE(&s3->calls, call, all);
            call->s3 = NULL;
        } else {
            s3_cancel(call);
        }
    }
    if (s3->outgoing)
        outgoing_free(s3->outgoing);
    while (!TAILQ_EMPTY(&s3->homes))
        home_free(s3, TAILQ_FIRST(&s3->homes));
    arena_release(&s3->arena);
    free(s3);
}

static struct s3_home *home_make(struct s3 *s3, struct view bucket, struct view region)
{
    struct s3_home *home = calloc(1, sizeof *home);

    REQUIRE(home != NULL);
    if (s3->home_count == S3_MAX_HOMES)
        home_free(s3, TAILQ_FIRST(&s3->homes));
    home->bucket = view_of(view_duplicate(bucket));
    home->region = view_of(view_duplicate(region));
    home->signer = sigv4_signer_new(region, VIEW("s3"));
    TAILQ_INSERT_TAIL(&s3->homes, home, all);
    s3->home_count++;
    return home;
}

struct s3_home *s3_home_of(struct s3 *s3, struct view bucket)
{
    struct s3_home *home;

    TAILQ_FOREACH(home, &s3->homes, all)
    if (view_equal(home->bucket, bucket))
        return home;
    return home_make(s3, bucket, s3->region);
}

void s3_home_move(struct s3 *s3, struct view bucket, struct view region)
{
    home_free(s3, s3_home_of(s3, bucket));
    home_make(s3, bucket, region);
}

enum error s3_presign(struct s3 *s3, const struct s3_presign *wish, struct buffer *url)
{
    struct credentials *credentials;
    struct s3_home *home;
    struct s3_place place;
    struct buffer query;
    struct arena arena;

    if (!s3_bucket_lawful(wish->bucket) || wish->key.length == 0 || wish->key.length > S3_MAX_KEY ||
        wish->expires_s < 1 || wish->expires_s > S3_MAX_EXPIRY_S)
        return ERROR_INVALID;
    credentials = credentials_get(s3->credentials, NULL, &arena);
    if (!credentials) {
        credentials_forget(s3->credentials, &arena);
        return ERROR_NOT_FOUND;
    }
    arena_init(&arena, (size_t)1 << 16);
    buffer_init(&query, S3_MAX_QUERY);
    home = s3_home_of(s3, wish->bucket);
    s3_place(&s3->endpoint, home->region, wish->bucket, wish->key, &arena, &place);
    if (wish->upload_id.length) {
        buffer_append_format(&query, "partNumber=%u", wish->part);
        s3_query(&query, "uploadId", wish->upload_id);
    }
    if (wish->version.length)
        s3_query(&query, "versionId", wish->version);
    struct sigv4_request request = {.method = view_of(wish->method),
                                    .path = place.path,
                                    .query = buffer_view(&query),
                                    .host = place.host,
                                    .headers = wish->headers,
                                    .header_count = wish->header_count,
                                    .region = home->region,
                                    .service = VIEW("s3"),
                                    .s3 = true};
    int64_t now_ms = clock_wall_ms() + credentials_clock_offset_ms(s3->credentials);
    buffer_append_view(url, place.url);
    buffer_append_view(url, place.path);
    buffer_append_byte(url, '?');
    enum error error = query.error ? query.error : arena.error;
    if (!error)
        error = sigv4_presign(home->signer, &request, credentials, now_ms, wish->expires_s, url);
    buffer_release(&query);
    arena_release(&arena);
    credentials_release(credentials);
    return error ? error : url->error;
}

const char *s3_endpoint(const struct s3 *s3)
{
    return s3->endpoint.url.data;
}

const char *s3_region(const struct s3 *s3)
{
    return s3->region.data;
}

uint64_t s3_attempts(const struct s3 *s3, enum s3_operation operation)
{
    return s3->attempts[operation];
}

uint64_t s3_failures(const struct s3 *s3, enum s3_operation operation)
{
    return s3->failures[operation];
}
