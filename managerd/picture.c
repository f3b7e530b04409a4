/* Takes pictures of functions, as they were deployed and as AWS has them. */
#include "managerd/picture.h"

#include "common/base/escape.h"
#include "managerd/lambda_settings.h"
#include "managerd/records.h"

static struct json *show_environment(const struct secrets *secrets, struct view app,
                                     const struct json *variables)
{
    char fingerprint[SECRETS_FINGERPRINT_SIZE];
    struct json *shown = json_new_object(), *names = json_new_array();
    for (const struct json *one = json_first(variables); one; one = json_next(one))
        json_append(names, json_new_string(json_name(one)));
    secrets_fingerprint(secrets, app, variables, fingerprint);
    json_set(shown, "names", names);
    json_set_string(shown, "fingerprint", view_of(fingerprint));
    return shown;
}

/* A package's SHA-256 as AWS writes it. */
static struct json *code_of(const struct json *version)
{
    struct buffer bytes, text;
    struct json *code = NULL;
    struct view known = text_of(version, "codeSha256");
    if (known.length)
        return json_new_string(known);
    buffer_init(&bytes, 64);
    buffer_init(&text, 128);
    if (!hex_decode(&bytes, text_of(json_get(version, "package"), "sha256")) && bytes.length) {
        base64_encode(&text, bytes.data, bytes.length);
        code = json_new_string(buffer_view(&text));
    }
    buffer_release(&bytes);
    buffer_release(&text);
    return code;
}

static void copy(struct json *to, const char *name, const struct json *from, const char *member)
{
    const struct json *value = json_get(from, member);
    if (value && json_type_of(value) != JSON_NULL)
        json_set(to, name, json_copy(value));
}

struct json *picture_of_version(const struct secrets *secrets, struct view app,
                                const struct json *version)
{
    static const char *const members[] = {"runtime", "handler", "architecture", "memoryMb",
                                          "timeoutSeconds"};
    struct json *picture = json_new_object(), *variables = NULL, *code = code_of(version);
    if (code)
        json_set(picture, "code", code);
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        copy(picture, members[i], version, members[i]);
    copy(picture, "role", json_get(version, "function"), "role");
    lambda_settings_of_version(picture, version);
    if (json_get(version, "environment") &&
        !secrets_unseal(secrets, app, json_get(version, "environment"), &variables))
        json_set(picture, "environment", show_environment(secrets, app, variables));
    json_free(variables);
    return picture;
}

struct json *picture_of_configuration(const struct secrets *secrets, struct view app,
                                      const struct json *configuration)
{
    static const char *const members[][2] = {
        {"code", "CodeSha256"},     {"runtime", "Runtime"},        {"handler", "Handler"},
        {"memoryMb", "MemorySize"}, {"timeoutSeconds", "Timeout"}, {"role", "Role"}};
    const struct json *environment = json_get(configuration, "Environment");
    struct json *picture = json_new_object();
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        copy(picture, members[i][0], configuration, members[i][1]);
    const struct json *architecture = json_first(json_get(configuration, "Architectures"));
    if (architecture)
        json_set(picture, "architecture", json_copy(architecture));
    lambda_settings_of_configuration(picture, configuration);
    if (json_type_of(json_get(environment, "Error")) != JSON_OBJECT)
        json_set(picture, "environment",
                 show_environment(secrets, app, json_get(environment, "Variables")));
    return picture;
}
