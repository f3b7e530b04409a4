/* Finds the address of an AWS service, from variables, the SDKs' files, or AWS's own naming. */
#include "common/aws/endpoint.h"

#include "common/aws/shared_files.h"

#include <string.h>

#define FILES_ARENA_MAX ((size_t)8 << 20)
#define URL_MAX         2048
#define HOST_MAX        255
#define REGION_MAX      63

/* How each service's variable is called, and its lines in a services section ("service id" of botocore). */
static const struct service {
    const char *name, *variable, *key;
} services[] = {
    {"lambda", "AWS_ENDPOINT_URL_LAMBDA", "lambda"},
    {"s3", "AWS_ENDPOINT_URL_S3", "s3"},
    {"sts", "AWS_ENDPOINT_URL_STS", "sts"},
    {"logs", "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", "cloudwatch_logs"},
};

/* Partitions by the start of the region's name; the last row fits all. Source: botocore's
 * endpoints.json and partitions.json. */
static const struct partition {
    const char *start, *suffix, *dualstack_suffix;
} partitions[] = {
    {"cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"},
    {"us-iso-", "c2s.ic.gov", NULL},
    {"us-isob-", "sc2s.sgov.gov", NULL},
    {"us-isof-", "csp.hci.ic.gov", NULL},
    {"eu-isoe-", "cloud.adc-e.uk", NULL},
    {"", "amazonaws.com", "api.aws"},
};

struct authority {
    struct view host, port;
};

struct settings;
static enum error find_region(const struct settings *settings, struct view *region,
                              struct buffer *problem);
static enum error own_address(const char *service, const struct settings *settings,
                              struct view region, struct buffer *url, struct buffer *problem);
static enum error parse_url(struct view url, const char *name, struct arena *arena,
                            struct endpoint *endpoint, struct buffer *problem);
static bool parse_authority(struct view text, struct authority *out);
static bool path_lawful(struct view path);
static struct view lower(struct arena *arena, struct view text);

/* What the administrator says: variables first, then the profile in force. */
struct settings {
    const char *(*variable)(const char *name);
    struct shared_files files;
};

static struct view variable_of(const struct settings *settings, const char *name)
{
    return view_trim(view_of(settings->variable(name)));
}

static struct view profile_key(const struct settings *settings, const char *key)
{
    struct view value;

    return shared_files_get(&settings->files, settings->files.profile, key, &value) ? value
                                                                                    : VIEW("");
}

static struct view setting(const struct settings *settings, const char *name, const char *key)
{
    struct view value = variable_of(settings, name);

    return value.length ? value : profile_key(settings, key);
}

static bool is_true(struct view text)
{
    return view_equal_nocase(text, VIEW("true"));
}

/* "services = NAME" of the profile leads to [services NAME], where the service has lines of its own. */
static struct view services_section(const struct settings *settings, const char *key,
                                    struct arena *arena)
{
    struct view name = profile_key(settings, "services"), value, nested;
    const char *header = arena_format(arena, "services %.*s", VIEW_FORMAT(name));

    if (name.length && header &&
        ini_get(&settings->files.config, ini_section(&settings->files.config, view_of(header)), key,
                &value) &&
        ini_nested(value, "endpoint_url", &nested))
        return nested;
    return VIEW("");
}

/* The SDKs' order: the variable of the service, that of all, the same two in the profile. */
static struct view configured_url(const struct settings *settings, const struct service *service,
                                  struct arena *arena, const char **name)
{
    struct view url;

    if (is_true(setting(settings, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
                        "ignore_configured_endpoint_urls")))
        return VIEW("");
    url = variable_of(settings, *name = service->variable);
    if (!url.length)
        url = variable_of(settings, *name = "AWS_ENDPOINT_URL");
    if (!url.length) {
        *name = "The endpoint_url of the profile";
        url = services_section(settings, service->key, arena);
    }
    return url.length ? url : profile_key(settings, "endpoint_url");
}

static const char *ca_file(const struct settings *settings, struct arena *arena)
{
    struct view file = setting(settings, "AWS_CA_BUNDLE", "ca_bundle");

    return file.length ? arena_string(arena, file) : NULL;
}

/* Lines below "s3 =" of the profile. */
static enum error find_addressing(const struct settings *settings, struct endpoint *endpoint,
                                  struct buffer *problem)
{
    struct view style;

    endpoint->addressing = ENDPOINT_ADDRESSING_AUTO;
    if (!ini_nested(profile_key(settings, "s3"), "addressing_style", &style) ||
        view_equal(style, VIEW("auto")))
        return ERROR_NONE;
    if (view_equal(style, VIEW("path"))) {
        endpoint->addressing = ENDPOINT_ADDRESSING_PATH;
    } else if (view_equal(style, VIEW("virtual"))) {
        endpoint->addressing = ENDPOINT_ADDRESSING_VIRTUAL;
    } else {
        buffer_append_string(problem,
                             "The addressing_style of the profile's s3 is not auto, path or "
                             "virtual.");
        return ERROR_INVALID;
    }
    return ERROR_NONE;
}

static enum error resolve(const struct settings *settings, const struct service *service,
                          struct arena *arena, struct endpoint *endpoint, struct buffer *problem)
{
    const char *name = service->variable;
    struct view region;
    struct buffer url;
    enum error error = find_region(settings, &region, problem);

    if (error != ERROR_NONE)
        return error;
    buffer_init(&url, URL_MAX);
    struct view custom = configured_url(settings, service, arena, &name);
    if (custom.length)
        buffer_append_view(&url, custom);
    else
        error = own_address(service->name, settings, region, &url, problem);
    if (error == ERROR_NONE && url.error != ERROR_NONE) {
        buffer_append_format(problem, "%s is longer than %d bytes.", name, URL_MAX);
        error = ERROR_INVALID;
    }
    if (error == ERROR_NONE)
        error = parse_url(buffer_view(&url), name, arena, endpoint, problem);
    if (error == ERROR_NONE && strcmp(service->name, "s3") == 0)
        error = find_addressing(settings, endpoint, problem);
    if (error == ERROR_NONE) {
        endpoint->custom = custom.length > 0;
        endpoint->region = arena_copy(arena, region);
        endpoint->ca_file = ca_file(settings, arena);
        error = arena->error;
    }
    buffer_release(&url);
    return error;
}

enum error endpoint_resolve(const char *service, const char *(*variable)(const char *name),
                            struct arena *arena, struct endpoint *endpoint, struct buffer *problem)
{
    struct settings settings = {.variable = variable};
    const struct service *found = NULL;
    struct arena of_files;

    *endpoint = (struct endpoint){0};
    for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++)
        if (strcmp(services[i].name, service) == 0)
            found = &services[i];
    REQUIRE(found != NULL);
    arena_init(&of_files, FILES_ARENA_MAX);
    enum error error = shared_files_read(variable, &of_files, &settings.files, problem);
    if (error == ERROR_NONE)
        error = resolve(&settings, found, arena, endpoint, problem);
    arena_release(&of_files);
    return error;
}

enum error endpoint_ca_file(const char *(*variable)(const char *name), struct arena *arena,
                            const char **path, struct buffer *problem)
{
    struct settings settings = {.variable = variable};
    struct arena of_files;

    *path = NULL;
    arena_init(&of_files, FILES_ARENA_MAX);
    enum error error = shared_files_read(variable, &of_files, &settings.files, problem);
    if (error == ERROR_NONE) {
        *path = ca_file(&settings, arena);
    }
    arena_release(&of_files);
    return error;
}

/* The region becomes part of a host name and of the signature's scope. */
static enum error find_region(const struct settings *settings, struct view *region,
                              struct buffer *problem)
{
    *region = variable_of(settings, "AWS_REGION");
    if (!region->length)
        *region = setting(settings, "AWS_DEFAULT_REGION", "region");
    if (!region->length) {
        buffer_append_string(problem, "There is no AWS region: set AWS_REGION.");
        return ERROR_NOT_FOUND;
    }
    for (size_t i = 0; i < region->length; i++) {
        char c = region->data[i];

        if (i >= REGION_MAX || (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
                                (c != '-' || i == 0 || i + 1 == region->length))) {
            buffer_append_format(problem, "AWS_REGION \"%.*s\" is not the name of a region.",
                                 VIEW_FORMAT(view_slice(*region, 0, REGION_MAX)));
            return ERROR_INVALID;
        }
    }
    return ERROR_NONE;
}

/* s3 names its dual-stack hosts otherwise than the others. */
static enum error own_address(const char *service, const struct settings *settings,
                              struct view region, struct buffer *url, struct buffer *problem)
{
    bool fips = is_true(setting(settings, "AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint"));
    bool dualstack =
        is_true(setting(settings, "AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint"));
    bool s3 = strcmp(service, "s3") == 0;
    const struct partition *partition = partitions;

    while (!view_starts_with(region, view_of(partition->start)))
        partition++;
    if (dualstack && !partition->dualstack_suffix) {
        buffer_append_format(problem,
                             "AWS_USE_DUALSTACK_ENDPOINT is set, but region %.*s has no "
                             "dual-stack endpoints.",
                             VIEW_FORMAT(region));
        return ERROR_INVALID;
    }
    buffer_append_string(url, "https://");
    buffer_append_string(url, service);
    buffer_append_string(url, fips ? "-fips" : "");
    buffer_append_string(url, s3 && dualstack ? ".dualstack." : ".");
    buffer_append_view(url, region);
    buffer_append_byte(url, '.');
    buffer_append_string(url, dualstack && !s3 ? partition->dualstack_suffix : partition->suffix);
    return ERROR_NONE;
}

static enum error parse_url(struct view url, const char *name, struct arena *arena,
                            struct endpoint *endpoint, struct buffer *problem)
{
    struct view rest = url;
    struct authority authority;
    struct view host, path;
    bool tls, standard;
    size_t slash;

    tls = view_equal_nocase(view_slice(url, 0, 8), VIEW("https://"));
    if (!tls && !view_equal_nocase(view_slice(url, 0, 7), VIEW("http://"))) {
        buffer_append_format(problem, "%s does not begin with http:// or https://.", name);
        return ERROR_INVALID;
    }
    rest = view_slice(rest, tls ? 8 : 7, SIZE_MAX);
    slash = view_find(rest, '/');
    path = slash == SIZE_MAX ? VIEW("") : view_slice(rest, slash, SIZE_MAX);
    while (path.length && path.data[path.length - 1] == '/')
        path.length--;
    if (!parse_authority(view_slice(rest, 0, slash), &authority) || !path_lawful(path)) {
        buffer_append_format(problem,
                             "%s is not a URL of the form https://host[:port][/path] without user, "
                             "query and fragment.",
                             name);
        return ERROR_INVALID;
    }
    standard = !authority.port.length || view_equal(authority.port, tls ? VIEW("443") : VIEW("80"));
    host = lower(arena, authority.host);
    if (!standard && host.data)
        host = view_of(
            arena_format(arena, "%.*s:%.*s", VIEW_FORMAT(host), VIEW_FORMAT(authority.port)));
    endpoint->tls = tls;
    endpoint->host = host;
    endpoint->path = arena_copy(arena, path);
    endpoint->url = view_of(arena_format(arena, "%s://%.*s%.*s", tls ? "https" : "http",
                                         VIEW_FORMAT(host), VIEW_FORMAT(path)));
    return arena->error;
}

/* host, or host:port, or [v6], or [v6]:port */
static bool parse_authority(struct view text, struct authority *out)
{
    bool bracketed = text.length && text.data[0] == '[';
    size_t end = bracketed ? view_find(text, ']') : view_find(text, ':');
    uint64_t port;

    if (bracketed && end == SIZE_MAX)
        return false;
    out->host = view_slice(text, 0, bracketed ? end + 1 : end);
    text = view_slice(text, out->host.length, SIZE_MAX);
    out->port = view_slice(text, 1, SIZE_MAX);
    if (text.length && (text.data[0] != ':' || view_to_u64(out->port, 65535, &port) != ERROR_NONE ||
                        port == 0 || out->port.data[0] == '0'))
        return false;
    for (size_t i = 0; i < out->host.length; i++) {
        char c = out->host.data[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            !memchr("-._", c, 3) && !(bracketed && memchr("[]:", c, 3)))
            return false;
    }
    return out->host.length > (bracketed ? 2 : 0) && out->host.length <= HOST_MAX;
}

static bool path_lawful(struct view path)
{
    for (size_t i = 0; i < path.length; i++)
        if (path.data[i] <= ' ' || path.data[i] > '~' || strchr("?#\"<>\\^`{|}", path.data[i]))
            return false;
    return true;
}

static struct view lower(struct arena *arena, struct view text)
{
    char *copy = arena_string(arena, text);

    for (size_t i = 0; copy && i < text.length; i++)
        if (copy[i] >= 'A' && copy[i] <= 'Z')
            copy[i] |= 0x20;
    return view_from(copy, copy ? text.length : 0);
}
