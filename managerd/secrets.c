/* Seals the environment variables of apps, and the certificates of domains, before they are stored. */
#include "managerd/secrets.h"

#include "common/base/crypto.h"
#include "common/base/escape.h"
#include "common/base/file.h"
#include "common/base/log.h"

#include <stdlib.h>
#include <string.h>

#define KEY_BYTES       32
#define MAX_ENVIRONMENT (256u * 1024)

#define MAX_KEYS  2
#define ID_BYTES  4
#define ID_DIGITS (2 * ID_BYTES)

/* The first one seals. What was sealed says by which: "ID.BASE64"; without an id it is older than ids. */
struct secrets {
    struct {
        uint8_t key[KEY_BYTES];
        char id[ID_DIGITS + 1];
    } keys[MAX_KEYS];
    size_t count;
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

/* One line of the file: 64 hex digits. */
static bool add_key(struct secrets *secrets, struct view digits)
{
    struct buffer key;
    uint8_t digest[SHA256_BYTES];
    buffer_init(&key, 1024);
    bool good = secrets->count < MAX_KEYS && hex_decode(&key, digits) == ERROR_NONE &&
                key.length == KEY_BYTES;
    if (good) {
        memcpy(secrets->keys[secrets->count].key, key.data, KEY_BYTES);
        hmac_sha256(buffer_view(&key), VIEW("the id of this key"), digest);
        hex_write(secrets->keys[secrets->count].id, digest, ID_BYTES);
        secrets->count++;
    }
    if (key.data)
        wipe(key.data, key.length);
    buffer_release(&key);
    return good;
}

static enum error read_keys(struct secrets *secrets, const char *path)
{
    struct buffer text;
    buffer_init(&text, 1024);
    enum error error = file_read(path, &text);
    struct view rest = buffer_view(&text), line;
    while (!error && view_split(&rest, '\n', &line)) {
        line = view_trim(line);
        while (line.length && line.data[line.length - 1] == '\r')
            line.length--;
        if (line.length && !add_key(secrets, line))
            error = ERROR_INVALID;
    }
    if (!error && secrets->count == 0)
        error = ERROR_INVALID;
    if (text.data)
        wipe(text.data, text.length);
    buffer_release(&text);
    return error;
}

/* Half a key may lie beside it, of a process that was killed. */
static void sweep_folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = view_duplicate(view_from(path, slash ? (size_t)(slash - path) : 0));
    enum error error = slash ? folder_sweep(folder) : ERROR_NONE;
    if (error)
        log_write(LOG_ERROR, "keys-not-listed", LOG_STRING("error", error_name(error)));
    free(folder);
}

enum error secrets_open(const char *key_file, const char *made_at, struct secrets **out,
                        struct buffer *problem)
{
    const char *path = key_file ? key_file : made_at;
    enum error error = ERROR_NONE;
    if (!key_file)
        sweep_folder_of(made_at);
    if (!key_file && !file_exists(made_at))
        error = make_key(made_at, problem);
    if (error)
        return error;
    struct secrets *secrets = calloc(1, sizeof *secrets);
    REQUIRE(secrets);
    error = read_keys(secrets, path);
    if (error) {
        buffer_append_format(problem,
                             "the key for environment variables, %s, cannot be used (%s): it must "
                             "hold 64 hex digits, and perhaps the key before it on a second line.",
                             path, error_text(error));
        secrets_free(secrets);
        return error;
    }
    *out = secrets;
    return ERROR_NONE;
}

const char *secrets_key_id(const struct secrets *secrets)
{
    return secrets->keys[0].id;
}

size_t secrets_key_count(const struct secrets *secrets)
{
    return secrets->count;
}

void secrets_free(struct secrets *secrets)
{
    if (!secrets)
        return;
    wipe(secrets, sizeof *secrets);
    free(secrets);
}

/* Appends plain, sealed by the first key, as text. `earlier`: what it was sealed to before; empty: it is
 * new. */
static void seal_text(const struct secrets *secrets, struct view plain, struct view bound_to,
                      struct view earlier, struct buffer *out)
{
    struct buffer sealed;
    buffer_init(&sealed, plain.length + 64);
    if (earlier.length)
        seal_again(&sealed, secrets->keys[0].key, plain, bound_to, earlier);
    else
        seal(&sealed, secrets->keys[0].key, plain, bound_to);
    buffer_append_format(out, "%s.", secrets->keys[0].id);
    base64_encode(out, sealed.data, sealed.length);
    buffer_release(&sealed);
}

/* And back, by the key that it names, or by any. */
static enum error unseal_text(const struct secrets *secrets, struct view text, struct view bound_to,
                              struct buffer *plain)
{
    struct buffer sealed;
    size_t dot = view_find(text, '.');
    struct view id = dot == SIZE_MAX ? VIEW("") : view_slice(text, 0, dot);
    buffer_init(&sealed, text.length + 64);
    enum error error =
        base64_decode(&sealed, dot == SIZE_MAX ? text : view_slice(text, dot + 1, SIZE_MAX));
    bool opened = false;
    for (size_t i = 0; i < secrets->count && !error && !opened; i++)
        if (!id.length || view_equal_string(id, secrets->keys[i].id))
            opened =
                unseal(plain, secrets->keys[i].key, buffer_view(&sealed), bound_to) == ERROR_NONE;
    buffer_release(&sealed);
    return opened ? ERROR_NONE : ERROR_DAMAGED;
}

static bool is_current(const struct secrets *secrets, struct view text)
{
    return view_starts_with(text, view_of(secrets->keys[0].id)) && text.length > ID_DIGITS &&
           text.data[ID_DIGITS] == '.';
}

static void reseal_member(const struct secrets *secrets, struct view bound_to, struct json *object,
                          struct resealed *count)
{
    struct view text;
    struct buffer plain, sealed;
    if (!json_get_string(object, "sealed", &text) || is_current(secrets, text))
        return;
    buffer_init(&plain, text.length + 64);
    buffer_init(&sealed, 2 * text.length + 256);
    if (unseal_text(secrets, text, bound_to, &plain)) {
        count->unreadable++;
    } else {
        seal_text(secrets, buffer_view(&plain), bound_to, text, &sealed);
        json_set_string(object, "sealed", buffer_view(&sealed));
        count->done++;
    }
    if (plain.data)
        wipe(plain.data, plain.length);
    buffer_release(&plain);
    buffer_release(&sealed);
}

void secrets_reseal(const struct secrets *secrets, struct view bound_to, struct json *tree,
                    struct resealed *count)
{
    reseal_member(secrets, bound_to, tree, count);
    for (const struct json *one = json_first(tree); one; one = json_next(one))
        secrets_reseal(secrets, bound_to, (struct json *)(uintptr_t)one, count);
}

struct json *secrets_seal(const struct secrets *secrets, struct view app,
                          const struct json *variables)
{
    struct buffer plain, text;
    buffer_init(&plain, MAX_ENVIRONMENT * 8);
    buffer_init(&text, MAX_ENVIRONMENT * 13);
    struct json *environment = json_new_object(), *names = json_new_array();
    for (const struct json *one = json_first(variables); one; one = json_next(one))
        json_append(names, json_new_string(json_name(one)));
    json_set(environment, "names", names);
    json_print(&plain, variables);
    seal_text(secrets, buffer_view(&plain), app, VIEW(""), &text);
    json_set_string(environment, "sealed", buffer_view(&text));
    if (plain.data)
        wipe(plain.data, plain.length);
    buffer_release(&plain);
    buffer_release(&text);
    return environment;
}

enum error secrets_unseal(const struct secrets *secrets, struct view app,
                          const struct json *environment, struct json **variables)
{
    struct view text;
    struct buffer plain;
    if (!json_get_string(environment, "sealed", &text)) {
        *variables = json_new_object();
        return ERROR_NONE;
    }
    buffer_init(&plain, MAX_ENVIRONMENT * 8);
    enum error error = unseal_text(secrets, text, app, &plain);
    if (!error)
        error = json_parse(buffer_view(&plain), 3, variables, NULL);
    if (plain.data)
        wipe(plain.data, plain.length);
    buffer_release(&plain);
    return error ? ERROR_DAMAGED : ERROR_NONE;
}

static int compare_names(const void *a, const void *b)
{
    return view_compare(json_name(*(const struct json *const *)a),
                        json_name(*(const struct json *const *)b));
}

static void append_hash(struct buffer *out, const uint8_t key[KEY_BYTES], struct view text)
{
    uint8_t digest[SHA256_BYTES];
    hmac_sha256(view_from((const char *)key, KEY_BYTES), text, digest);
    buffer_append(out, digest, sizeof digest);
}

/* Of names and values only hashes stand side by side: no borders to be mistaken. */
void secrets_fingerprint(const struct secrets *secrets, struct view app,
                         const struct json *variables, char out[SECRETS_FINGERPRINT_SIZE])
{
    const uint8_t *key = secrets->keys[0].key;
    size_t count = json_count(variables), i = 0;
    const struct json **sorted = calloc(count + 1, sizeof *sorted);
    struct buffer hashes, sum;
    REQUIRE(sorted);
    for (const struct json *one = json_first(variables); one; one = json_next(one))
        sorted[i++] = one;
    qsort(sorted, count, sizeof *sorted, compare_names);
    buffer_init(&hashes, (2 * count + 2) * SHA256_BYTES);
    buffer_init(&sum, SHA256_BYTES);
    append_hash(&hashes, key, VIEW("the fingerprint of variables"));
    append_hash(&hashes, key, app);
    for (i = 0; i < count; i++) {
        append_hash(&hashes, key, json_name(sorted[i]));
        append_hash(&hashes, key, json_string(sorted[i]));
    }
    append_hash(&sum, key, buffer_view(&hashes));
    REQUIRE(!hashes.error && !sum.error);
    hex_write(out, sum.data, (SECRETS_FINGERPRINT_SIZE - 1) / 2);
    out[SECRETS_FINGERPRINT_SIZE - 1] = 0;
    buffer_release(&hashes);
    buffer_release(&sum);
    free(sorted);
}

/* What something is bound to beside an app: no app's name has a colon. */
static void bind_to(struct buffer *out, const char *kind, struct view name)
{
    buffer_init(out, 1024);
    buffer_append_format(out, "%s:%.*s", kind, VIEW_FORMAT(name));
    REQUIRE(!out->error);
}

static void seal_bound(const struct secrets *secrets, const char *kind, struct view name,
                       struct view text, struct buffer *sealed)
{
    struct buffer bound_to;
    bind_to(&bound_to, kind, name);
    seal_text(secrets, text, buffer_view(&bound_to), VIEW(""), sealed);
    buffer_release(&bound_to);
}

static enum error unseal_bound(const struct secrets *secrets, const char *kind, struct view name,
                               struct view sealed, struct buffer *text)
{
    struct buffer bound_to;
    bind_to(&bound_to, kind, name);
    enum error error = unseal_text(secrets, sealed, buffer_view(&bound_to), text);
    buffer_release(&bound_to);
    return error;
}

void secrets_seal_certificate(const struct secrets *secrets, struct view host, struct view pem,
                              struct buffer *sealed)
{
    seal_bound(secrets, "certificate", host, pem, sealed);
}

enum error secrets_unseal_certificate(const struct secrets *secrets, struct view host,
                                      struct view sealed, struct buffer *pem)
{
    return unseal_bound(secrets, "certificate", host, sealed, pem);
}

void secrets_seal_answer(const struct secrets *secrets, const char *hash, struct view text,
                         struct buffer *sealed)
{
    seal_bound(secrets, "answer", view_of(hash), text, sealed);
}

enum error secrets_unseal_answer(const struct secrets *secrets, const char *hash,
                                 struct view sealed, struct buffer *text)
{
    return unseal_bound(secrets, "answer", view_of(hash), sealed, text);
}
