/* Makes, reads and shows the records of state. */
#include "managerd/records.h"

#include "common/base/clock.h"
#include "managerd/resources.h"
#include "managerd/state_record.h"

#include <inttypes.h>
#include <stdio.h>

static struct key key_format(const char *folder, struct view first, const char *separator,
                             struct view second)
{
    struct key key;
    int length = snprintf(key.text, sizeof key.text, "%s/%.*s%s%.*s", folder, VIEW_FORMAT(first),
                          separator, VIEW_FORMAT(second));
    REQUIRE(length > 0 && length < (int)sizeof key.text);
    return key;
}

struct key key_app(struct view app)
{
    return key_format("apps", app, "", VIEW(""));
}

struct key key_certificate(struct view host)
{
    return key_format("certificates", host, "", VIEW(""));
}

struct key key_domain(struct view host)
{
    return key_format("domains", host, "", VIEW(""));
}

struct key key_version(struct view app, int64_t version)
{
    char number[24];
    snprintf(number, sizeof number, "%010" PRId64, version);
    return key_format("versions", app, "/", view_of(number));
}

struct key key_versions(struct view app)
{
    return key_format("versions", app, "/", VIEW(""));
}

struct key key_operation(struct view id)
{
    return key_format("operations", id, "", VIEW(""));
}

struct key key_queue(struct view app, struct view id)
{
    return key_format("queue", app, "/", id);
}

struct key key_cancel(struct view id)
{
    return key_format("cancels", id, "", VIEW(""));
}

struct key key_slot(uint32_t slot)
{
    char number[24];
    snprintf(number, sizeof number, "%010" PRIu32, slot);
    return key_format("slots", view_of(number), "", VIEW(""));
}

struct key key_function(struct view function)
{
    return key_format("functions", function, "", VIEW(""));
}

struct key key_latest(struct view app)
{
    return key_format("latest", app, "", VIEW(""));
}

struct key key_observed(struct view app)
{
    return key_format("observed", app, "", VIEW(""));
}

struct key key_removed(struct view app)
{
    return key_format("removed", app, "", VIEW(""));
}

struct key key_audit(uint64_t sequence)
{
    char number[24];
    snprintf(number, sizeof number, "%016" PRIu64, sequence);
    return key_format("audit", view_of(number), "", VIEW(""));
}

enum error record_parse(struct view value, struct json **json)
{
    *json = NULL;
    return json_parse(value, 100, json, NULL) ? ERROR_DAMAGED : ERROR_NONE;
}

/* Where the text ends whose first quote is at `at`: behind its last. */
static size_t skip_string(struct view text, size_t at)
{
    for (at++; at < text.length && text.data[at] != '"'; at++)
        at += text.data[at] == '\\';
    return at + 1;
}

/* Behind the value that begins at `at`. Records are lawful JSON without blanks: we wrote them. */
static size_t skip_value(struct view text, size_t at)
{
    size_t depth = 0;
    while (at < text.length) {
        char byte = text.data[at];
        if (depth == 0 && (byte == ',' || byte == '}' || byte == ']'))
            break;
        depth += byte == '{' || byte == '[';
        depth -= byte == '}' || byte == ']';
        at = byte == '"' ? skip_string(text, at) : at + 1;
    }
    return at < text.length ? at : text.length;
}

bool record_peek(struct view record, const char *member, struct view *value)
{
    size_t at = 1;
    while (at < record.length && record.data[at] == '"') {
        size_t end = skip_string(record, at);
        struct view name = view_slice(record, at + 1, end - at - 2);
        size_t after = skip_value(record, end + 1);
        if (view_equal_string(name, member)) {
            *value = view_slice(record, end + 1, after - end - 1);
            if (!view_starts_with(*value, VIEW("\"")))
                return view_starts_with(*value, VIEW("{"));
            if (value->length < 2 || !view_ends_with(*value, VIEW("\"")))
                return false; /* cut off */
            *value = view_slice(*value, 1, value->length - 2);
            return view_find(*value, '\\') == SIZE_MAX;
        }
        at = after + 1;
    }
    return false;
}

enum error record_read(struct state *state, const char *key, struct record *record)
{
    struct buffer value;
    buffer_init(&value, STATE_MAX_VALUE + STATE_RECORD_OVERHEAD);
    record->json = NULL;
    record->revision = 0;
    uint64_t revision = 0;
    enum error error = state_get(state, view_of(key), &value, &revision);
    if (!error)
        error = record_parse(buffer_view(&value), &record->json);
    if (!error)
        record->revision = revision;
    buffer_release(&value);
    return error;
}

void record_release(struct record *record)
{
    json_free(record->json);
    record->json = NULL;
    record->revision = 0;
}

struct view text_of(const struct json *object, const char *member)
{
    struct view text = VIEW("");
    json_get_string(object, member, &text);
    return text;
}

int64_t integer_of(const struct json *object, const char *member)
{
    int64_t number = 0;
    json_get_integer(object, member, &number);
    return number;
}

bool truth_of(const struct json *object, const char *member)
{
    bool truth = false;
    json_get_bool(object, member, &truth);
    return truth;
}

struct json *object_in(struct json *object, const char *member)
{
    if (json_type_of(object) == JSON_OBJECT && !json_get(object, member))
        json_set(object, member, json_new_object());
    return (struct json *)(uintptr_t)json_get(object, member);
}

const struct json *internal_of(const struct json *app)
{
    return json_get(app, "internal");
}

void set_time(struct json *object, const char *member, int64_t wall_ms)
{
    char text[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(wall_ms, text);
    json_set_string(object, member, view_of(text));
}

static struct json *empty_traffic(void)
{
    struct json *traffic = json_new_object();
    json_set(traffic, "versions", json_new_array());
    json_set_string(traffic, "sticky", VIEW("none"));
    return traffic;
}

static struct json *empty_environment(void)
{
    struct json *environment = json_new_object();
    json_set(environment, "names", json_new_array());
    json_set_null(environment, "sealed");
    return environment;
}

struct json *app_new(struct view name, struct json *settings, uint32_t slot, int64_t now_ms)
{
    struct json *app = settings;
    json_set_string(app, "name", name);
    set_time(app, "createdAt", now_ms);
    set_time(app, "updatedAt", now_ms);
    struct json *internal = json_new_object();
    json_set_integer(internal, "slot", slot);
    json_set_integer(internal, "lastVersion", 0);
    json_set(internal, "traffic", empty_traffic());
    json_set_null(internal, "previousTraffic");
    json_set_integer(internal, "trafficChangedAt", 0);
    json_set_integer(internal, "noTrafficThrough", 0);
    json_set(internal, "environment", empty_environment());
    json_set_bool(internal, "functionClaimed", false);
    json_set_bool(internal, "adopted", false);
    json_set_null(internal, "deleting");
    json_set(app, "internal", internal);
    return app;
}

void records_fill_versioned(struct json *object)
{
    struct json *defaults = NULL;
    for (size_t i = 0; versioned_members[i]; i++) {
        const struct shape_field *field = shape_field(&app_shape, view_of(versioned_members[i]));
        struct json *member = (struct json *)(uintptr_t)json_get(object, field->name);
        if (member && field->of && json_type_of(member) == JSON_OBJECT)
            shape_fill(field->of, member);
        if (member)
            continue;
        if (!defaults) {
            defaults = json_new_object();
            shape_fill(&app_shape, defaults);
        }
        json_set(object, field->name, json_copy(json_get(defaults, field->name)));
    }
    json_free(defaults);
}

struct json *version_new(const struct json *app, int64_t number, struct json *package,
                         struct view description, struct view operation, struct view created_by,
                         int64_t now_ms)
{
    struct json *version = json_new_object();
    json_set_integer(version, "version", number);
    json_set_string(version, "state", VIEW("pending"));
    json_set(version, "package", package);
    for (size_t i = 0; versioned_members[i]; i++)
        if (json_get(app, versioned_members[i]))
            json_set(version, versioned_members[i], json_copy(json_get(app, versioned_members[i])));
    records_fill_versioned(version);
    json_set(version, "environment", json_copy(json_get(internal_of(app), "environment")));
    json_set(version, "function", json_copy(json_get(app, "function")));
    json_set_null(version, "lambdaVersion");
    json_set_null(version, "codeSha256");
    json_set_string(version, "description", description);
    set_time(version, "createdAt", now_ms);
    json_set_string(version, "createdBy", created_by);
    json_set_string(version, "operation", operation);
    json_set_null(version, "failure");
    return version;
}

static void set_revision(struct json *object, uint64_t revision)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, revision);
    json_set_string(object, "revision", view_of(text));
}

void url_of_host(struct view public_url, struct view host, struct buffer *out)
{
    struct view scheme = public_url, port = VIEW("");
    size_t end = 0;
    while (end + 3 <= scheme.length && !view_starts_with(view_slice(scheme, end, 3), VIEW("://")))
        end++;
    struct view authority = view_slice(public_url, end + 3, SIZE_MAX);
    scheme = view_slice(public_url, 0, end);
    authority = view_slice(authority, 0, view_find(authority, '/'));
    for (size_t i = authority.length; i-- > 0 && authority.data[i] != ']';)
        if (authority.data[i] == ':') {
            port = view_slice(authority, i, SIZE_MAX);
            break;
        }
    buffer_append_format(out, "%.*s://%.*s%.*s", VIEW_FORMAT(scheme), VIEW_FORMAT(host),
                         VIEW_FORMAT(port));
}

/* http://localhost:8080 and localhost give http://hello.localhost:8080. */
static struct json *urls_of(struct view name, struct view public_url, struct view base_domain)
{
    struct json *urls = json_new_array();
    struct buffer host, url;
    buffer_init(&host, 512);
    buffer_init(&url, 600);
    buffer_append_format(&host, "%.*s.%.*s", VIEW_FORMAT(name), VIEW_FORMAT(base_domain));
    url_of_host(public_url, buffer_view(&host), &url);
    if (!host.error && !url.error && base_domain.length && !view_equal(base_domain, VIEW("*")))
        json_append(urls, json_new_string(buffer_view(&url)));
    buffer_release(&host);
    buffer_release(&url);
    return urls;
}

struct json *app_public(const struct json *app, uint64_t revision, struct view public_url,
                        struct view base_domain)
{
    return app_show(json_copy(app), revision, public_url, base_domain);
}

struct json *app_show(struct json *app, uint64_t revision, struct view public_url,
                      struct view base_domain)
{
    struct json *public = json_new_object();
    for (size_t i = 0; i < app_shape.count; i++) {
        const char *name = app_shape.fields[i].name;
        struct json *member = json_take(app, name);
        if (member)
            json_set(public, name, member);
    }
    shape_fill(&app_shape, public); /* settings that are younger than the app */
    const struct json *domains = json_get(internal_of(app), "domains");
    json_set(public, "domains", domains ? json_copy(domains) : json_new_array());
    json_set(public, "urls", urls_of(text_of(public, "name"), public_url, base_domain));
    set_revision(public, revision);
    json_free(app);
    return public;
}

struct json *version_public(const struct json *version, uint64_t revision)
{
    struct json *public = json_copy(version);
    const struct json *names = json_get(json_get(version, "environment"), "names");
    json_set(public, "environment", names ? json_copy(names) : json_new_array());
    records_fill_versioned(public); /* settings that are younger than the version */
    json_remove(public, "function");
    json_remove(public, "withdrawn");
    json_remove(public, "publication");
    set_revision(public, revision);
    return public;
}

struct view version_qualifier(const struct json *version)
{
    return truth_of(version, "withdrawn") ? VIEW("withdrawn") : text_of(version, "lambdaVersion");
}

struct json *operation_public(const struct json *operation)
{
    struct json *public = json_copy(operation);
    json_remove(public, "work");
    return public;
}

bool operation_finished(const struct json *operation)
{
    struct view state = text_of(operation, "state");
    return !view_equal(state, VIEW("queued")) && !view_equal(state, VIEW("running"));
}
