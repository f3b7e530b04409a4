/* Holds credentials as shared snapshots, and takes them from the environment. */
#include "common/aws/credentials.h"

#include "common/base/crypto.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* A snapshot with its count; the strings follow the struct in the same allocation. */
struct held {
    struct credentials credentials;
    atomic_uint references;
    size_t text_bytes;
    char text[];
};

struct credentials_provider {
    struct credentials *snapshot;
};

static struct view place(char **at, struct view text);
static struct view variable(const char *name);
static bool well_formed(struct view text, const char *forbidden);

struct credentials *credentials_new(struct view access_key_id, struct view secret_access_key,
                                    struct view session_token, int64_t expires_at_ms)
{
    static atomic_uint_fast64_t last_serial;
    size_t bytes = access_key_id.length + secret_access_key.length + session_token.length + 3;
    struct held *held = calloc(1, sizeof(*held) + bytes);
    char *at;

    REQUIRE(held != NULL);
    at = held->text;
    held->text_bytes = bytes;
    atomic_init(&held->references, 1);
    held->credentials.access_key_id = place(&at, access_key_id);
    held->credentials.secret_access_key = place(&at, secret_access_key);
    held->credentials.session_token = place(&at, session_token);
    held->credentials.expires_at_ms = expires_at_ms;
    held->credentials.serial = atomic_fetch_add(&last_serial, 1) + 1;
    return &held->credentials;
}

struct credentials *credentials_hold(struct credentials *credentials)
{
    struct held *held = (struct held *)credentials;

    REQUIRE(atomic_fetch_add_explicit(&held->references, 1, memory_order_relaxed) > 0);
    return credentials;
}

void credentials_release(struct credentials *credentials)
{
    struct held *held = (struct held *)credentials;

    if (!held || atomic_fetch_sub_explicit(&held->references, 1, memory_order_acq_rel) != 1)
        return;
    wipe(held->text, held->text_bytes);
    free(held);
}

enum error credentials_provider_new(struct event_base *base, struct credentials_provider **provider,
                                    struct buffer *problem)
{
    struct view key = variable("AWS_ACCESS_KEY_ID");
    struct view secret = variable("AWS_SECRET_ACCESS_KEY");
    struct view token = variable("AWS_SESSION_TOKEN");

    (void)base; /* the environment answers at once */
    *provider = NULL;
    if (!token.length)
        token = variable("AWS_SECURITY_TOKEN"); /* its name of old */
    if (!key.length && !secret.length) {
        buffer_append_string(problem, "There are no AWS credentials: set AWS_ACCESS_KEY_ID and "
                                      "AWS_SECRET_ACCESS_KEY.");
        return ERROR_NOT_FOUND;
    }
    if (!key.length || !secret.length) {
        buffer_append_format(problem, "%s is set, but %s is not: AWS credentials need both.",
                             key.length ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
                             key.length ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
        return ERROR_INVALID;
    }
    if (!well_formed(key, ",") || !well_formed(secret, "") || !well_formed(token, "")) {
        buffer_append_string(problem,
                             "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or AWS_SESSION_TOKEN holds "
                             "a blank, a line end or another byte that no key has.");
        return ERROR_INVALID;
    }
    *provider = calloc(1, sizeof(**provider));
    REQUIRE(*provider != NULL);
    (*provider)->snapshot = credentials_new(key, secret, token, INT64_MAX);
    return ERROR_NONE;
}

void credentials_provider_free(struct credentials_provider *provider)
{
    if (!provider)
        return;
    credentials_release(provider->snapshot);
    free(provider);
}

const char *credentials_provider_name(const struct credentials_provider *provider)
{
    (void)provider;
    return "environment";
}

struct credentials *credentials_get(struct credentials_provider *provider,
                                    void (*on_ready)(struct credentials *credentials,
                                                     enum error error, void *context),
                                    void *context)
{
    (void)on_ready; /* never needed: the snapshot is there from the start */
    (void)context;
    return credentials_hold(provider->snapshot);
}

static struct view place(char **at, struct view text)
{
    struct view placed = {*at, text.length};

    if (text.length)
        memcpy(*at, text.data, text.length);
    *at += text.length + 1;
    return placed;
}

static struct view variable(const char *name)
{
    return view_of(getenv(name));
}

/* They go into header lines: a line end would begin another one. */
static bool well_formed(struct view text, const char *forbidden)
{
    for (size_t i = 0; i < text.length; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~' || strchr(forbidden, text.data[i]))
            return false;
    return true;
}
