/* Seals the environment variables of apps, and the certificates of domains, before they are stored. */
#include "managerd/secrets.h"

#include "common/base/crypto.h"
#include "common/base/escape.h"
#include "common/base/file.h"

#include <stdlib.h>
#include <string.h>

#define KEY_BYTES       32
#define MAX_ENVIRONMENT (256u * 1024)

struct secrets {
    uint8_t key[KEY_BYTES];
};

static enum error make_key(const char *path, struct buffer *problem)
{
    uint8_t key[KEY_BYTES];
    char text[2 * KEY_BYTES + 1];
    random_bytes(key, sizeof key);
    hex_write(text, key, sizeof key);
    text[sizeof text - 1] = '\n';
    enum error error = file_write(path, view_from(text, sizeof text), 0600);
    if (error)
        buffer_append_format(problem, "the key %s cannot be made: %s.", path, error_text(error));
    wipe(key, sizeof key);
    wipe(text, sizeof text);
    return error;
}

enum error secrets_open(const char *key_file, const char *made_at, struct secrets **out,
                        struct buffer *problem)
{
    const char *path = key_file ? key_file : made_at;
    struct buffer text, key;
    buffer_init(&text, 1024);
    buffer_init(&key, 1024);
    enum error error = ERROR_NONE;
    if (!key_file && !file_exists(made_at))
        error = make_key(made_at, problem);
    if (error)
        goto out;
    error = file_read(path, &text);
    struct view digits = buffer_view(&text);
    while (digits.length && strchr("\r\n", digits.data[digits.length - 1]))
        digits.length--;
    if (!error)
        error = hex_decode(&key, digits);
    if (!error && key.length != KEY_BYTES)
        error = ERROR_INVALID;
    if (error) {
        buffer_append_format(problem,
                             "the key for environment variables, %s, cannot be used (%s): it must "
                             "hold 64 hex digits.",
                             path, error_text(error));
        goto out;
    }
    struct secrets *secrets = calloc(1, sizeof *secrets);
    REQUIRE(secrets);
    memcpy(secrets->key, key.data, KEY_BYTES);
    *out = secrets;
out:
    if (text.data)
        wipe(text.data, text.length);
    if (key.data)
        wipe(key.data, key.length);
    buffer_release(&text);
    buffer_release(&key);
    return error;
}

void secrets_free(struct secrets *secrets)
{
    if (!secrets)
        return;
    wipe(secrets->key, sizeof secrets->key);
    free(secrets);
}

struct json *secrets_seal(const struct secrets *secrets, struct view app,
                          const struct json *variables)
{
    struct buffer plain, sealed, text;
    buffer_init(&plain, MAX_ENVIRONMENT * 8);
    buffer_init(&sealed, MAX_ENVIRONMENT * 9);
    buffer_init(&text, MAX_ENVIRONMENT * 13);
    struct json *environment = json_new_object(), *names = json_new_array();
    for (const struct json *one = json_first(variables); one; one = json_next(one))
        json_append(names, json_new_string(json_name(one)));
    json_set(environment, "names", names);
    json_print(&plain, variables);
    seal(&sealed, secrets->key, buffer_view(&plain), app);
    base64_encode(&text, sealed.data, sealed.length);
    json_set_string(environment, "sealed", buffer_view(&text));
    if (plain.data)
        wipe(plain.data, plain.length);
    buffer_release(&plain);
    buffer_release(&sealed);
    buffer_release(&text);
    return environment;
}

enum error secrets_unseal(const struct secrets *secrets, struct view app,
                          const struct json *environment, struct json **variables)
{
    struct view text;
    struct buffer sealed, plain;
    if (!json_get_string(environment, "sealed", &text)) {
        *variables = json_new_object();
        return ERROR_NONE;
    }
    buffer_init(&sealed, MAX_ENVIRONMENT * 9);
    buffer_init(&plain, MAX_ENVIRONMENT * 8);
    enum error error = base64_decode(&sealed, text);
    if (!error)
        error = unseal(&plain, secrets->key, buffer_view(&sealed), app);
    if (!error)
        error = json_parse(buffer_view(&plain), 3, variables, NULL);
    if (plain.data)
        wipe(plain.data, plain.length);
    buffer_release(&sealed);
    buffer_release(&plain);
    return error ? ERROR_DAMAGED : ERROR_NONE;
}

/* What it is bound to: no app's name has a colon. */
static void bind_certificate(struct buffer *out, struct view host)
{
    buffer_init(out, 1024);
    buffer_append_format(out, "certificate:%.*s", VIEW_FORMAT(host));
    REQUIRE(!out->error);
}

void secrets_seal_certificate(const struct secrets *secrets, struct view host, struct view pem,
                              struct buffer *sealed)
{
    struct buffer bound_to, bytes;
    bind_certificate(&bound_to, host);
    buffer_init(&bytes, SECRETS_MAX_PEM + 64);
    seal(&bytes, secrets->key, pem, buffer_view(&bound_to));
    base64_encode(sealed, bytes.data, bytes.length);
    buffer_release(&bytes);
    buffer_release(&bound_to);
}

enum error secrets_unseal_certificate(const struct secrets *secrets, struct view host,
                                      struct view sealed, struct buffer *pem)
{
    struct buffer bound_to, bytes;
    bind_certificate(&bound_to, host);
    buffer_init(&bytes, SECRETS_MAX_PEM + 64);
    enum error error = base64_decode(&bytes, sealed);
    if (!error)
        error = unseal(pem, secrets->key, buffer_view(&bytes), buffer_view(&bound_to));
    buffer_release(&bytes);
    buffer_release(&bound_to);
    return error ? ERROR_DAMAGED : ERROR_NONE;
}
