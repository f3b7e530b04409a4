/* Holds credentials as shared snapshots, and takes them from the environment. */
#include "common/aws/credentials.h"

#include "common/base/crypto.h"
#include "common/base/file.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PART_MAX_BYTES 16384 /* session tokens have a few thousand */

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

/* One part: of the variable, or of the file that NAME_FILE names, without the line end at its end. */
static enum error read_part(const char *name, struct buffer *text, struct buffer *problem)
{
    char file_variable[64];
    const char *value = getenv(name), *path;

    buffer_init(text, PART_MAX_BYTES);
    snprintf(file_variable, sizeof(file_variable), "%s_FILE", name);
    path = getenv(file_variable);
    if ((value && value[0]) || !path || !path[0]) {
        buffer_append_string(text, value ? value : "");
        return text->error;
    }
    enum error error = file_read(path, text);
    if (error != ERROR_NONE)
        buffer_append_format(problem, "%s names the file %s, which cannot be used: %s.",
                             file_variable, path, error_text(error));
    while (text->length && strchr("\r\n", text->data[text->length - 1]))
        text->length--;
    return error;
}

static enum error make_snapshot(struct view key, struct view secret, struct view token,
                                struct credentials **snapshot, struct buffer *problem)
{
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
    *snapshot = credentials_new(key, secret, token, INT64_MAX);
    return ERROR_NONE;
}

enum error credentials_provider_new(struct event_base *base, struct credentials_provider **provider,
                                    struct buffer *problem)
{
    static const char *const names[] = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
                                        "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"};
    struct buffer parts[4] = {0};
    struct credentials *snapshot = NULL;
    enum error error = ERROR_NONE;

    (void)base; /* the environment answers at once */
    *provider = NULL;
    for (size_t i = 0; i < 4 && error == ERROR_NONE; i++)
        error = read_part(names[i], &parts[i], problem);
    if (error == ERROR_NONE) /* the last is the token's name of old */
        error = make_snapshot(buffer_view(&parts[0]), buffer_view(&parts[1]),
                              buffer_view(&parts[parts[2].length ? 2 : 3]), &snapshot, problem);
    if (error == ERROR_NONE) {
        *provider = calloc(1, sizeof(**provider));
        REQUIRE(*provider != NULL);
        (*provider)->snapshot = snapshot;
    }
    for (size_t i = 0; i < 4; i++) {
        if (parts[i].data)
            wipe(parts[i].data, parts[i].capacity);
        buffer_release(&parts[i]);
    }
    return error;
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

/* They go into header lines: a line end would begin another one. */
static bool well_formed(struct view text, const char *forbidden)
{
    for (size_t i = 0; i < text.length; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~' || strchr(forbidden, text.data[i]))
            return false;
    return true;
}
