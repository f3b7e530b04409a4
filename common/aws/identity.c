/* Finds out which credentials are configured, in the SDKs' order. */
#include "common/aws/identity.h"

#include "common/aws/credentials.h"
#include "common/base/clock.h"
#include "common/base/crypto.h"
#include "common/base/file.h"

#define MOST_PROFILES 16 /* in a row of source_profile */

#define PART_MAX_BYTES 16384 /* session tokens have a few thousand */

/* What botocore waits for, and how often it asks. */
#define CONTAINER_TIMEOUT_MS 2000
#define CONTAINER_ATTEMPTS   3
#define CONTAINER_ADDRESS    "http://169.254.170.2"
#define INSTANCE_ADDRESS     "http://169.254.169.254"
#define INSTANCE_ADDRESS_V6  "http://[fd00:ec2::254]"

struct chooser {
    const char *(*variable)(const char *name);
    const struct shared_files *files;
    struct arena *arena;
    struct buffer *problem;
    struct view visited[MOST_PROFILES];
    size_t visited_count;
};

/* A step of the row: the identity, or NULL with ERROR_NONE when it is not configured. */
typedef enum error chooser_step(struct chooser *chooser, struct view profile,
                                struct identity **identity);

static enum error choose_from_source(struct chooser *chooser, struct view name,
                                     struct identity **identity);
static enum error choose_from_profile(struct chooser *chooser, struct view profile,
                                      bool use_variables, struct identity **identity);

/* One sentence of what is wrong with the configuration. */
#define WRONG(chooser, ...) (buffer_append_format((chooser)->problem, __VA_ARGS__), ERROR_INVALID)

static struct view setting(struct chooser *chooser, const char *name)
{
    return view_of(chooser->variable(name));
}

static bool is_true(struct view text)
{
    return view_equal_nocase(text, VIEW("true"));
}

static bool profile_get(struct chooser *chooser, struct view profile, const char *key,
                        struct view *value)
{
    *value = VIEW("");
    return shared_files_get(chooser->files, profile, key, value);
}

static enum error add(struct chooser *chooser, enum identity_kind kind, const char *provider,
                      struct identity **identity)
{
    *identity = arena_alloc(chooser->arena, sizeof **identity);
    if (!*identity)
        return chooser->arena->error;
    (*identity)->kind = kind;
    (*identity)->provider = provider;
    (*identity)->expires_at_ms = INT64_MAX;
    return ERROR_NONE;
}

/* ---- keys that stand somewhere ---- */

/* The variable, or what is in the file that NAME_FILE names, without the line end at its end. */
static enum error setting_or_file(struct chooser *chooser, const char *name, struct view *value)
{
    const char *file_name = arena_format(chooser->arena, "%s_FILE", name);
    const char *path = file_name ? chooser->variable(file_name) : NULL;
    struct buffer text;

    *value = setting(chooser, name);
    if (value->length || !path || !path[0])
        return chooser->arena->error;
    buffer_init(&text, PART_MAX_BYTES);
    enum error error = file_read(path, &text);
    if (error != ERROR_NONE)
        buffer_append_format(chooser->problem, "%s names the file %s, which cannot be used: %s.",
                             file_name, path, error_text(error));
    while (text.length && strchr("\r\n", text.data[text.length - 1]))
        text.length--;
    *value = arena_copy(chooser->arena, buffer_view(&text));
    if (text.data)
        wipe(text.data, text.capacity);
    buffer_release(&text);
    return error == ERROR_NONE ? chooser->arena->error : error;
}

static bool sendable(const struct identity *identity)
{
    return credentials_well_formed(identity->access_key_id, identity->secret_access_key,
                                   identity->session_token);
}

static enum error from_environment(struct chooser *chooser, struct view profile,
                                   struct identity **identity)
{
    struct view expiration = setting(chooser, "AWS_CREDENTIAL_EXPIRATION");
    struct view key, secret, token, old_token;

    (void)profile;
    enum error error = setting_or_file(chooser, "AWS_ACCESS_KEY_ID", &key);
    if (error == ERROR_NONE)
        error = setting_or_file(chooser, "AWS_SECRET_ACCESS_KEY", &secret);
    if (error == ERROR_NONE)
        error = setting_or_file(chooser, "AWS_SESSION_TOKEN", &token);
    if (error == ERROR_NONE)
        error = setting_or_file(chooser, "AWS_SECURITY_TOKEN", &old_token);
    if (error != ERROR_NONE || !key.length)
        return error;
    if (!secret.length)
        return WRONG(chooser,
                     "AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not: AWS credentials "
                     "need both.%.*s",
                     VIEW_FORMAT(VIEW("")));
    error = add(chooser, IDENTITY_STATIC, "environment", identity);
    if (error != ERROR_NONE)
        return error;
    (*identity)->access_key_id = key;
    (*identity)->secret_access_key = secret;
    /* the name of old counts first, as in botocore */
    (*identity)->session_token = old_token.length ? old_token : token;
    if (!sendable(*identity))
        return WRONG(chooser,
                     "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or AWS_SESSION_TOKEN holds a blank, "
                     "a line end or another byte that no key has.");
    if (expiration.length &&
        clock_parse_rfc3339(expiration, &(*identity)->expires_at_ms) != ERROR_NONE)
        return WRONG(chooser,
                     "AWS_CREDENTIAL_EXPIRATION \"%.*s\" is not a time as RFC 3339 has it.",
                     VIEW_FORMAT(expiration));
    return ERROR_NONE;
}

static enum error static_keys(struct chooser *chooser, struct view profile, const struct ini *ini,
                              const struct ini_section *section, const char *provider,
                              struct identity **identity)
{
    struct view key, secret, token = VIEW("");

    if (!ini_get(ini, section, "aws_access_key_id", &key))
        return ERROR_NONE;
    if (!ini_get(ini, section, "aws_secret_access_key", &secret))
        return WRONG(chooser,
                     "The profile \"%.*s\" has aws_access_key_id, but no aws_secret_access_key.",
                     VIEW_FORMAT(profile));
    enum error error = add(chooser, IDENTITY_STATIC, provider, identity);
    if (error != ERROR_NONE)
        return error;
    if (!ini_get(ini, section, "aws_security_token", &token))
        ini_get(ini, section, "aws_session_token", &token);
    (*identity)->access_key_id = key;
    (*identity)->secret_access_key = secret;
    (*identity)->session_token = token;
    if (!sendable(*identity))
        return WRONG(
            chooser,
            "The keys of the profile \"%.*s\" hold a blank, a line end or another byte that "
            "no key has.",
            VIEW_FORMAT(profile));
    return ERROR_NONE;
}

static enum error from_credentials_file(struct chooser *chooser, struct view profile,
                                        struct identity **identity)
{
    return static_keys(chooser, profile, &chooser->files->credentials,
                       shared_files_credentials(chooser->files, profile), "shared-credentials-file",
                       identity);
}

static enum error from_config_file(struct chooser *chooser, struct view profile,
                                   struct identity **identity)
{
    return static_keys(chooser, profile, &chooser->files->config,
                       shared_files_config(chooser->files, profile), "config-file", identity);
}

/* ---- what somebody gives ---- */

static enum error from_process(struct chooser *chooser, struct view profile,
                               struct identity **identity)
{
    struct view command;
    size_t count;

    if (!profile_get(chooser, profile, "credential_process", &command))
        return ERROR_NONE;
    enum error error = add(chooser, IDENTITY_PROCESS, "process", identity);
    if (error == ERROR_NONE)
        error = ini_words(command, chooser->arena, &(*identity)->command, &count);
    if (error == ERROR_INVALID || (error == ERROR_NONE && count == 0))
        return WRONG(chooser, "The credential_process of the profile \"%.*s\" is no command line.",
                     VIEW_FORMAT(profile));
    return error;
}

static enum error from_sign_on(struct chooser *chooser, struct view profile,
                               struct identity **identity)
{
    struct view value;

    (void)identity;
    if (!profile_get(chooser, profile, "sso_account_id", &value) &&
        !profile_get(chooser, profile, "sso_session", &value) &&
        !profile_get(chooser, profile, "sso_start_url", &value))
        return ERROR_NONE;
    (void)WRONG(chooser,
                "The profile \"%.*s\" signs on in a browser (SSO), which no daemon can do.",
                VIEW_FORMAT(profile));
    return ERROR_UNSUPPORTED;
}

/* Absolute, and to nobody else's machine unless over TLS: the answer is a secret. */
static bool container_url_allowed(struct view url)
{
    static const char *const hosts[] = {"localhost",     "127.0.0.1",      "[::1]",
                                        "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};
    struct view rest = view_slice(url, strlen("http://"), SIZE_MAX), host;
    size_t end = 0;

    if (view_equal_nocase(view_slice(url, 0, strlen("https://")), VIEW("https://")))
        return url.length > strlen("https://");
    if (!view_equal_nocase(view_slice(url, 0, strlen("http://")), VIEW("http://")))
        return false;
    while (end < rest.length && !strchr("/?#", rest.data[end]))
        end++;
    host = view_slice(rest, 0, end);
    if (view_find(host, '@') != SIZE_MAX)
        return false;
    size_t close = view_find(host, ']');
    size_t colon = close == SIZE_MAX ? view_find(host, ':') : close + 1;
    host = view_slice(host, 0, colon);
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++)
        if (view_equal_nocase(host, view_of(hosts[i])))
            return true;
    /* all of 127.0.0.0/8 is this machine */
    return view_starts_with(host, VIEW("127.")) && strspn(host.data, "0123456789.") >= host.length;
}

static enum error from_container(struct chooser *chooser, struct view profile,
                                 struct identity **identity)
{
    struct view relative = setting(chooser, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    struct view full = setting(chooser, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    struct identity *found;

    (void)profile;
    if (!relative.length && !full.length)
        return ERROR_NONE;
    enum error error = add(chooser, IDENTITY_CONTAINER, "container", &found);
    if (error != ERROR_NONE)
        return error;
    if (relative.length && relative.data[0] != '/')
        return WRONG(chooser,
                     "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI \"%.*s\" does not begin with a slash.",
                     VIEW_FORMAT(relative));
    if (!relative.length && !container_url_allowed(full))
        return WRONG(chooser,
                     "AWS_CONTAINER_CREDENTIALS_FULL_URI \"%.*s\" is neither over https nor on "
                     "this machine's "
                     "loopback or container addresses.",
                     VIEW_FORMAT(full));
    found->url = relative.length ? view_of(arena_format(chooser->arena, "%s%.*s", CONTAINER_ADDRESS,
                                                        VIEW_FORMAT(relative)))
                                 : full;
    found->authorization_file = setting(chooser, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    found->authorization = setting(chooser, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
    found->timeout_ms = CONTAINER_TIMEOUT_MS;
    found->attempts = CONTAINER_ATTEMPTS;
    *identity = found;
    return chooser->arena->error;
}

/* The variable, else what the profile in force says. */
static struct view setting_or_key(struct chooser *chooser, const char *name, const char *key)
{
    struct view value = setting(chooser, name);

    if (!value.length)
        profile_get(chooser, chooser->files->profile, key, &value);
    return value;
}

static enum error small_number(struct chooser *chooser, const char *name, const char *key,
                               uint64_t most, int64_t *number)
{
    struct view text = setting_or_key(chooser, name, key);
    uint64_t value;

    if (!text.length)
        return ERROR_NONE;
    if (view_to_u64(text, most, &value) != ERROR_NONE || value == 0) {
        buffer_append_format(chooser->problem, "%s \"%.*s\" is not a number from 1 to %d.", name,
                             VIEW_FORMAT(text), (int)most);
        return ERROR_INVALID;
    }
    *number = (int64_t)value;
    return ERROR_NONE;
}

static enum error instance_address(struct chooser *chooser, struct view *url)
{
    struct view mode = setting_or_key(chooser, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
                                      "ec2_metadata_service_endpoint_mode");
    bool v6 = view_equal_nocase(mode, VIEW("ipv6"));

    if (mode.length && !v6 && !view_equal_nocase(mode, VIEW("ipv4")))
        return WRONG(chooser,
                     "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE \"%.*s\" is neither IPv4 nor IPv6.",
                     VIEW_FORMAT(mode));
    if (!mode.length)
        v6 = is_true(setting_or_key(chooser, "AWS_IMDS_USE_IPV6", "imds_use_ipv6"));
    *url = setting_or_key(chooser, "AWS_EC2_METADATA_SERVICE_ENDPOINT",
                          "ec2_metadata_service_endpoint");
    if (!url->length)
        *url = v6 ? VIEW(INSTANCE_ADDRESS_V6) : VIEW(INSTANCE_ADDRESS);
    if (!view_starts_with(*url, VIEW("http://")) && !view_starts_with(*url, VIEW("https://")))
        return WRONG(
            chooser,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT \"%.*s\" does not begin with http:// or https://.",
            VIEW_FORMAT(*url));
    while (url->length && url->data[url->length - 1] == '/')
        url->length--;
    return ERROR_NONE;
}

static enum error from_instance(struct chooser *chooser, struct view profile,
                                struct identity **identity)
{
    struct identity *found;
    int64_t seconds = 1;

    (void)profile;
    if (is_true(setting(chooser, "AWS_EC2_METADATA_DISABLED")))
        return ERROR_NONE;
    enum error error = add(chooser, IDENTITY_INSTANCE, "instance", &found);
    if (error != ERROR_NONE)
        return error;
    found->attempts = 1;
    found->v1_disabled = is_true(
        setting_or_key(chooser, "AWS_EC2_METADATA_V1_DISABLED", "ec2_metadata_v1_disabled"));
    error = instance_address(chooser, &found->url);
    if (error == ERROR_NONE)
        error = small_number(chooser, "AWS_METADATA_SERVICE_TIMEOUT", "metadata_service_timeout",
                             60, &seconds);
    if (error == ERROR_NONE)
        error = small_number(chooser, "AWS_METADATA_SERVICE_NUM_ATTEMPTS",
                             "metadata_service_num_attempts", 10, &found->attempts);
    found->timeout_ms = seconds * 1000;
    *identity = found;
    return error;
}

/* ---- roles ---- */

static enum error set_role(struct chooser *chooser, struct view profile, struct identity *identity,
                           struct view session_name)
{
    struct view duration;
    uint64_t seconds = 0;

    identity->session_name = session_name.length ? session_name : VIEW(IDENTITY_SESSION_NAME);
    if (profile_get(chooser, profile, "duration_seconds", &duration) &&
        view_to_u64(duration, 43200, &seconds) != ERROR_NONE)
        return WRONG(chooser,
                     "duration_seconds of the profile \"%.*s\" is not a number of at most 43200.",
                     VIEW_FORMAT(profile));
    identity->duration_s = (int64_t)seconds;
    return ERROR_NONE;
}

/* The variable when there is one and variables count, else the profile's. */
static struct view web_setting(struct chooser *chooser, struct view profile, bool use_variables,
                               const char *name, const char *key)
{
    struct view value = use_variables ? setting(chooser, name) : VIEW("");

    if (!value.length)
        profile_get(chooser, profile, key, &value);
    return value;
}

static enum error from_web_identity(struct chooser *chooser, struct view profile,
                                    bool use_variables, struct identity **identity)
{
    struct view file = web_setting(chooser, profile, use_variables, "AWS_WEB_IDENTITY_TOKEN_FILE",
                                   "web_identity_token_file");
    struct view role = web_setting(chooser, profile, use_variables, "AWS_ROLE_ARN", "role_arn");

    if (!file.length)
        return ERROR_NONE;
    if (!role.length)
        return WRONG(
            chooser,
            "The web identity token file %.*s is configured, but no role: set AWS_ROLE_ARN or the "
            "profile's role_arn.",
            VIEW_FORMAT(file));
    enum error error = add(chooser, IDENTITY_WEB_IDENTITY, "web-identity", identity);
    if (error != ERROR_NONE)
        return error;
    (*identity)->token_file = file;
    (*identity)->role_arn = role;
    return set_role(
        chooser, profile, *identity,
        web_setting(chooser, profile, use_variables, "AWS_ROLE_SESSION_NAME", "role_session_name"));
}

static bool assumes_role(struct chooser *chooser, struct view profile)
{
    struct view value;

    return profile_get(chooser, profile, "role_arn", &value) &&
           !profile_get(chooser, profile, "web_identity_token_file", &value);
}

static bool has_keys(struct chooser *chooser, struct view profile)
{
    struct view value;

    return profile_get(chooser, profile, "aws_access_key_id", &value) ||
           profile_get(chooser, profile, "aws_secret_access_key", &value);
}

static bool was_visited(const struct chooser *chooser, struct view profile)
{
    for (size_t i = 0; i < chooser->visited_count; i++)
        if (view_equal(chooser->visited[i], profile))
            return true;
    return false;
}

/* A profile may name itself when it has keys, too; any other way round is a loop. */
static enum error check_source(struct chooser *chooser, struct view profile, struct view source)
{
    if (!shared_files_has(chooser->files, source))
        return WRONG(chooser, "The source_profile \"%.*s\" does not exist.", VIEW_FORMAT(source));
    if (was_visited(chooser, source) &&
        (!view_equal(source, profile) || !has_keys(chooser, source)))
        return WRONG(chooser, "The source_profile \"%.*s\" leads back to where it came from.",
                     VIEW_FORMAT(source));
    if (chooser->visited_count == MOST_PROFILES)
        return WRONG(chooser, "The row of source_profile is too long at \"%.*s\".",
                     VIEW_FORMAT(source));
    chooser->visited[chooser->visited_count++] = source;
    return ERROR_NONE;
}

static enum error choose_assumed(struct chooser *chooser, struct view profile,
                                 struct identity **identity);

/* What signs the call, when another profile says so. */
static enum error source_of_profile(struct chooser *chooser, struct view profile,
                                    struct view source, struct identity **identity)
{
    enum error error = check_source(chooser, profile, source);

    if (error != ERROR_NONE)
        return error;
    if (!has_keys(chooser, source) && assumes_role(chooser, source))
        return choose_assumed(chooser, source, identity);
    error = choose_from_profile(chooser, source, false, identity);
    if (error == ERROR_NONE && !*identity)
        return WRONG(chooser, "The source_profile \"%.*s\" has no credentials.",
                     VIEW_FORMAT(source));
    return error;
}

static enum error choose_assumed(struct chooser *chooser, struct view profile,
                                 struct identity **identity)
{
    struct view source_profile, credential_source, session_name, value;
    struct identity *found, *source = NULL;
    bool by_profile = profile_get(chooser, profile, "source_profile", &source_profile);
    bool by_name = profile_get(chooser, profile, "credential_source", &credential_source);

    if (by_profile == by_name)
        return WRONG(chooser,
                     "The profile \"%.*s\" assumes a role, so it needs either source_profile or "
                     "credential_source.",
                     VIEW_FORMAT(profile));
    if (profile_get(chooser, profile, "mfa_serial", &value)) {
        (void)WRONG(
            chooser,
            "The role of the profile \"%.*s\" asks for a code (mfa_serial), which no daemon has.",
            VIEW_FORMAT(profile));
        return ERROR_UNSUPPORTED;
    }
    enum error error = by_profile ? source_of_profile(chooser, profile, source_profile, &source)
                                  : choose_from_source(chooser, credential_source, &source);
    if (error == ERROR_NONE)
        error = add(chooser, IDENTITY_ASSUME_ROLE, "assume-role", &found);
    if (error != ERROR_NONE)
        return error;
    *identity = found;
    found->source = source;
    profile_get(chooser, profile, "role_arn", &found->role_arn);
    profile_get(chooser, profile, "external_id", &found->external_id);
    profile_get(chooser, profile, "role_session_name", &session_name);
    return set_role(chooser, profile, found, session_name);
}

static enum error choose_from_source(struct chooser *chooser, struct view name,
                                     struct identity **identity)
{
    enum error error;

    if (view_equal(name, VIEW("Environment")))
        error = from_environment(chooser, VIEW(""), identity);
    else if (view_equal(name, VIEW("EcsContainer")))
        error = from_container(chooser, VIEW(""), identity);
    else if (view_equal(name, VIEW("Ec2InstanceMetadata")))
        error = from_instance(chooser, VIEW(""), identity);
    else
        return WRONG(chooser,
                     "The credential_source \"%.*s\" is none of Environment, EcsContainer and "
                     "Ec2InstanceMetadata.",
                     VIEW_FORMAT(name));
    if (error == ERROR_NONE && !*identity)
        return WRONG(chooser,
                     "The credential_source \"%.*s\" gives no credentials: it is not configured.",
                     VIEW_FORMAT(name));
    return error;
}

/* ---- the row ---- */

static enum error choose_from_profile(struct chooser *chooser, struct view profile,
                                      bool use_variables, struct identity **identity)
{
    static chooser_step *const steps[] = {from_sign_on, from_credentials_file, from_process,
                                          from_config_file};
    enum error error = from_web_identity(chooser, profile, use_variables, identity);

    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && error == ERROR_NONE && !*identity; i++)
        error = steps[i](chooser, profile, identity);
    return error;
}

static enum error choose(struct chooser *chooser, struct identity **identity)
{
    struct view profile = chooser->files->profile;
    enum error error = from_environment(chooser, profile, identity);

    if (error == ERROR_NONE && !*identity && assumes_role(chooser, profile)) {
        chooser->visited[chooser->visited_count++] = profile;
        return choose_assumed(chooser, profile, identity);
    }
    if (error == ERROR_NONE && !*identity)
        error = choose_from_profile(chooser, profile, true, identity);
    if (error == ERROR_NONE && !*identity)
        error = from_container(chooser, profile, identity);
    if (error == ERROR_NONE && !*identity) {
        error = from_instance(chooser, profile, identity);
        if (error == ERROR_NONE && *identity)
            (*identity)->unasked_for = true;
    }
    return error;
}

static enum error nothing_configured(struct chooser *chooser)
{
    if (setting(chooser, "AWS_SECRET_ACCESS_KEY").length)
        return WRONG(chooser, "AWS_SECRET_ACCESS_KEY is set, but AWS_ACCESS_KEY_ID is not: AWS "
                              "credentials need both.");
    buffer_append_string(chooser->problem,
                         "There are no AWS credentials: set AWS_ACCESS_KEY_ID and "
                         "AWS_SECRET_ACCESS_KEY, or another provider of the SDKs.");
    return ERROR_NOT_FOUND;
}

enum error identity_choose(const char *(*variable)(const char *name),
                           const struct shared_files *files, struct arena *arena,
                           struct identity **identity, struct buffer *problem)
{
    struct chooser chooser = {
        .variable = variable, .files = files, .arena = arena, .problem = problem};

    *identity = NULL;
    enum error error = choose(&chooser, identity);
    if (error == ERROR_NONE && !*identity)
        error = nothing_configured(&chooser);
    if (error != ERROR_NONE)
        *identity = NULL;
    return error;
}
