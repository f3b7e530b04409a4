/* Follows a request through the routes as proxyd would, and notes each thing that it looks at. */
#include "managerd/explain.h"

#include "common/contract/host.h"
#include "common/contract/path.h"
#include "common/contract/preference.h"
#include "common/contract/route.h"
#include "common/net/syntax.h"
#include "common/store/layout.h"
#include "common/store/route_record.h"
#include "common/store/store.h"

#include <stdarg.h>
#include <stdio.h>

/* What is known so far; `json` is what is answered. */
struct explanation {
    const struct explain_request *request;
    struct store_reader *reader;
    struct arena *arena;
    struct buffer value;    /* a record, as it is stored */
    struct view host, path; /* in normal form; empty: unlawful */
    struct route_rules rules;
    struct route_found found;
    struct route_record route;
    const struct route_version *version; /* NULL: none, or by chance */
    struct json *json, *considered;
    struct explain_answer answer;
};

/* ---- the request ---- */

const char *explain_url(struct view url, struct explain_request *request)
{
    struct view rest = url, target;
    request->secure = view_starts_with(url, VIEW("https://"));
    if (!request->secure && !view_starts_with(url, VIEW("http://")))
        return "must begin with http:// or https://";
    rest = view_slice(url, request->secure ? 8 : 7, SIZE_MAX);
    rest = view_slice(rest, 0, view_find(rest, '#'));
    size_t end = 0;
    while (end < rest.length && rest.data[end] != '/' && rest.data[end] != '?')
        end++;
    request->host = view_slice(rest, 0, end);
    if (view_find(request->host, '@') != SIZE_MAX)
        return "must not hold a user name or a password";
    if (request->host.length == 0)
        return "must hold a host";
    target = view_slice(rest, end, SIZE_MAX);
    target_split(target, &request->path, &request->query);
    if (request->path.length == 0)
        request->path = VIEW("/");
    return NULL;
}

bool explain_add_header(struct view line, struct explain_request *request)
{
    size_t colon = view_find(line, ':');
    if (colon == SIZE_MAX || colon == 0 || request->header_count == EXPLAIN_MAX_HEADERS)
        return false;
    if (!syntax_is(view_slice(line, 0, colon), SYNTAX_TOKEN))
        return false;
    request->headers[request->header_count++] = (struct explain_header){
        view_trim(view_slice(line, 0, colon)), view_trim(view_slice(line, colon + 1, SIZE_MAX))};
    return true;
}

static bool header_of(const struct explain_request *request, const char *name, struct view *value)
{
    for (size_t i = 0; i < request->header_count; i++)
        if (view_equal_nocase(request->headers[i].name, view_of(name))) {
            *value = request->headers[i].value;
            return true;
        }
    return false;
}

/* ---- noting ---- */

void explain_consider(struct json *considered, const char *what, struct view subject,
                      const char *outcome, const char *format, ...)
{
    char detail[600];
    va_list arguments;
    struct json *one = json_new_object();
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    json_set_string(one, "what", view_of(what));
    if (subject.length)
        json_set_string(one, "subject", subject);
    else
        json_set_null(one, "subject");
    json_set_string(one, "outcome", view_of(outcome));
    json_set_string(one, "detail", view_of(detail));
    json_append(considered, one);
}

static void fail(struct explanation *e, int status, const char *fault, const char *detail)
{
    e->answer = (struct explain_answer){status, fault, detail};
}

/* ---- which app ---- */

static enum error read_rules(struct explanation *e)
{
    struct settings_record settings = {0};
    enum error error = store_get(e->reader, LAYOUT_SETTINGS, view_of(LAYOUT_SETTINGS), &e->value);
    if (!error)
        error = settings_record_decode(e->arena, buffer_view(&e->value), &settings);
    if (!error)
        e->rules = (struct route_rules){settings.base_domains, settings.base_domain_count,
                                        settings.path_routing};
    return error == ERROR_NOT_FOUND ? ERROR_NONE : error;
}

static void note_paths(struct explanation *e, const struct domain_record *domain)
{
    for (size_t i = 0; i < domain->path_count; i++) {
        bool covers = path_covers(domain->paths[i].prefix, e->path);
        explain_consider(e->considered, "prefix", domain->paths[i].prefix, covers ? "match" : "no",
                         covers ? "It covers the path; the longest that does leads to its app "
                                  "(this one: %.*s)."
                                : "It does not cover the path by whole segments (app %.*s).",
                         VIEW_FORMAT(domain->paths[i].app));
    }
}

static enum error find_domain(struct view key, const struct route_domain_path **paths,
                              size_t *count, void *context)
{
    struct explanation *e = context;
    struct domain_record domain = {0};
    const char *what = view_starts_with(key, VIEW("*")) ? "wildcard-domain" : "exact-domain";
    enum error error = store_get(e->reader, LAYOUT_DOMAINS, key, &e->value);
    if (!error)
        error = domain_record_decode(e->arena, buffer_view(&e->value), &domain);
    if (error == ERROR_NOT_FOUND)
        explain_consider(e->considered, what, key, "no", "There is no such domain.");
    else if (error)
        explain_consider(e->considered, what, key, "failed", "Its record cannot be used: %s.",
                         error_text(error));
    if (error)
        return error;
    explain_consider(e->considered, what, key, "match",
                     "It answers for its host; nothing after it is looked at.");
    note_paths(e, &domain);
    struct route_domain_path *found =
        arena_alloc(e->arena, (domain.path_count + 1) * sizeof *found);
    if (!found)
        return ERROR_NO_MEMORY;
    for (size_t i = 0; i < domain.path_count; i++)
        found[i] = (struct route_domain_path){domain.paths[i].prefix, domain.paths[i].app,
                                              domain.paths[i].strip};
    *paths = found;
    *count = domain.path_count;
    return ERROR_NONE;
}

/* The part of route_find that looks up nothing, said again in words. */
static void note_rest(struct explanation *e)
{
    if (e->found.by == ROUTE_BY_DOMAIN)
        return;
    for (size_t i = 0; i < e->rules.base_domain_count; i++) {
        bool here = e->found.by == ROUTE_BY_BASE_DOMAIN &&
                    view_equal(e->found.domain, e->rules.base_domains[i]);
        explain_consider(e->considered, "base-domain", e->rules.base_domains[i],
                         here ? "match" : "no",
                         here ? "The host is one label, %.*s, below it."
                              : "The host is not one label, the name of an app, below it.%.*s",
                         VIEW_FORMAT(here ? e->found.app : VIEW("")));
        if (here && e->found.version)
            explain_consider(e->considered, "preview", e->host, "match",
                             "The host asks for version %u.", e->found.version);
        if (here)
            return;
    }
    bool matches = e->found.by == ROUTE_BY_PATH;
    explain_consider(e->considered, "path-routing", VIEW(""), matches ? "match" : "no", "%s",
                     matches                 ? "The path's first segment is the name of an app."
                     : e->rules.path_routing ? "The path's first segment is not the name of an app."
                                             : "It is switched off.");
}

static void normalize(struct explanation *e)
{
    struct buffer text;
    buffer_init(&text, PATH_NORMAL_MAX(e->request->path.length) + 256);
    if (!host_normalize(e->request->host, &text))
        e->host = arena_copy(e->arena, buffer_view(&text));
    buffer_clear(&text);
    if (!path_normalize(e->request->path, &text))
        e->path = arena_copy(e->arena, buffer_view(&text));
    buffer_release(&text);
}

static enum error find_app(struct explanation *e)
{
    const struct route_query query = {e->request->host, e->request->path};
    enum error error = read_rules(e);
    if (!error) {
        error = route_find(&e->rules, &query, find_domain, e, e->arena, &e->found);
        if (!error || error == ERROR_NOT_FOUND)
            note_rest(e);
    }
    if (!error) {
        error = store_get(e->reader, LAYOUT_ROUTES, e->found.app, &e->value);
        if (!error)
            error = route_record_decode(e->arena, buffer_view(&e->value), &e->route);
        explain_consider(e->considered, "app", e->found.app,
                         !error                     ? "match"
                         : error == ERROR_NOT_FOUND ? "no"
                                                    : "failed",
                         "%s",
                         !error ? "Its route is there."
                         : error == ERROR_NOT_FOUND
                             ? "No route: there is no such app, or it never had traffic."
                             : "Its route cannot be used by this release.");
    }
    if (error == ERROR_NOT_FOUND &&
        store_get(e->reader, LAYOUT_META, view_of(LAYOUT_META), &e->value) == ERROR_NOT_FOUND)
        error = ERROR_UNREACHABLE;
    return error;
}

static void tell_lookup(struct explanation *e, enum error error)
{
    if (error == ERROR_NOT_FOUND)
        fail(e, 404, "unknown-app",
             e->found.by == ROUTE_BY_DOMAIN ? "The domain has no path, or no app, for this one."
                                            : "No app answers at this address.");
    else if (error == ERROR_INVALID)
        fail(e, 400, "bad-target", "The host or the path of the request is not lawful.");
    else if (error == ERROR_UNREACHABLE)
        fail(e, 503, "no-routes", "Nothing has been published yet.");
    else
        fail(e, 503, "record-unreadable", "A record that the request needs cannot be used.");
    if (error == ERROR_INVALID)
        explain_consider(e->considered, "target",
                         e->host.length ? e->request->path : e->request->host, "failed", "%s",
                         e->host.length
                             ? "The path is not lawful: it has dot segments, bad escapes "
                               "or bytes that must be escaped."
                             : "The host is not lawful.");
}

/* ---- which version ---- */

static void choose_asked(struct explanation *e, uint32_t number, const char *by)
{
    for (size_t i = 0; i < e->route.version_count; i++)
        if (e->route.versions[i].number == number)
            e->version = &e->route.versions[i];
    explain_consider(e->considered, by, VIEW(""), e->version ? "match" : "no",
                     e->version ? "Version %u is asked for, and can be reached."
                                : "Version %u is asked for, which cannot be reached.",
                     number);
    if (!e->version)
        fail(e, 404, "unknown-app", "The version that is asked for is not there.");
}

/* The client's bucket; false: it is drawn by chance. */
static bool known_bucket(struct explanation *e, uint32_t *bucket)
{
    const struct explain_request *request = e->request;
    if (e->route.sticky == ROUTE_STICKY_ADDRESS) {
        if (request->address.length)
            *bucket = traffic_bucket_of_address(request->address, e->route.app);
        explain_consider(e->considered, "sticky-address", request->address,
                         request->address.length ? "match" : "not-known", "%s",
                         request->address.length
                             ? "The address gives the bucket."
                             : "The client's address decides; give it as the parameter address.");
        return request->address.length > 0;
    }
    if (e->route.sticky != ROUTE_STICKY_COOKIE)
        return false;
    for (size_t i = 0; i < request->header_count; i++)
        if (view_equal_nocase(request->headers[i].name, VIEW("Cookie")) &&
            traffic_bucket_of_cookies(request->headers[i].value, bucket)) {
            explain_consider(e->considered, "sticky-cookie", VIEW(TRAFFIC_COOKIE), "match",
                             "The cookie gives the bucket.");
            return true;
        }
    explain_consider(e->considered, "sticky-cookie", VIEW(TRAFFIC_COOKIE), "no",
                     "There is no such cookie; the answer sets one with the bucket that is drawn.");
    return false;
}

static void choose_by_traffic(struct explanation *e)
{
    uint16_t weights[ROUTE_MAX_VERSIONS];
    size_t serving = 0, count = e->route.version_count, picked = SIZE_MAX;
    uint32_t bucket = 0;
    for (size_t i = 0; i < count; i++) {
        weights[i] = e->route.versions[i].weight;
        serving += weights[i] > 0;
    }
    bool known = known_bucket(e, &bucket);
    if (serving == 0) {
        explain_consider(e->considered, "traffic", VIEW(""), "no", "No version has traffic.");
        fail(e, 404, "unknown-app", "No version of the app has traffic.");
        return;
    }
    if (known || serving == 1)
        picked = traffic_pick(weights, count, bucket);
    if (known)
        json_set_integer(e->json, "bucket", bucket);
    if (picked < count) {
        e->version = &e->route.versions[picked];
        explain_consider(e->considered, "traffic", VIEW(""), "match",
                         known ? "The bucket falls to version %u."
                               : "Version %u has all of the traffic.",
                         e->version->number);
    } else {
        explain_consider(e->considered, "traffic", VIEW(""), "not-known",
                         "Each request is shared out by chance among %zu versions.", serving);
    }
}

static void choose_version(struct explanation *e)
{
    struct view text;
    uint64_t number = 0;
    if (!e->route.enabled) {
        explain_consider(e->considered, "enabled", e->route.app, "no", "The app is deactivated.");
        fail(e, 404, "unknown-app", "The app is deactivated.");
    } else if (e->found.version) {
        if (e->route.previews) {
            choose_asked(e, e->found.version, "preview");
        } else {
            explain_consider(e->considered, "preview", VIEW(""), "no",
                             "The app has previewUrls false.");
            fail(e, 404, "unknown-app", "The app does not allow preview hosts.");
        }
    } else if (header_of(e->request, "X-Orchestrator-Version", &text) && e->route.version_header) {
        if (view_to_u64(text, UINT32_MAX, &number))
            number = 0;
        choose_asked(e, (uint32_t)number, "version-header");
    } else {
        choose_by_traffic(e);
    }
}

/* ---- what is told of it ---- */

static void set_or_null(struct json *object, const char *name, uint64_t number)
{
    if (number)
        json_set_integer(object, name, (int64_t)number);
    else
        json_set_null(object, name);
}

static const char *format_name(enum route_payload_format format)
{
    return format == ROUTE_PAYLOAD_1_0 ? "1.0" : format == ROUTE_PAYLOAD_ALB ? "alb" : "2.0";
}

static struct json *show_version(const struct explanation *e, const struct route_version *version)
{
    struct json *shown = json_new_object();
    uint64_t deadline_ms =
        e->route.deadline_ms ? e->route.deadline_ms : (uint64_t)version->timeout_s * 1000 + 1000;
    json_set_integer(shown, "version", version->number);
    json_set(shown, "percent", json_new_number(version->weight / 100.0));
    json_set_string(shown, "function", version->function);
    json_set_string(shown, "lambdaVersion", version->qualifier);
    json_set_string(shown, "payloadFormat", view_of(format_name(version->payload_format)));
    json_set_string(shown, "responseMode",
                    version->response_mode == ROUTE_STREAM ? VIEW("stream")
                    : version->response_mode == ROUTE_AUTO ? VIEW("auto")
                                                           : VIEW("buffered"));
    json_set_bool(shown, "multiValueHeaders", version->multi_value);
    json_set_integer(shown, "timeoutSeconds", version->timeout_s);
    json_set_integer(shown, "deadlineMs", (int64_t)deadline_ms);
    return shown;
}

static struct json *show_limits(const struct route_record *route)
{
    struct json *limits = json_new_object();
    set_or_null(limits, "maxInFlight", route->max_in_flight);
    if (route->rate_milli)
        json_set(limits, "requestsPerSecond", json_new_number((double)route->rate_milli / 1000));
    else
        json_set_null(limits, "requestsPerSecond");
    set_or_null(limits, "burst", route->burst);
    set_or_null(limits, "deadlineMs", route->deadline_ms);
    set_or_null(limits, "maxBodyBytes", route->max_body_bytes);
    return limits;
}

static void show_app(struct explanation *e)
{
    static const char *const sticky[] = {"none", "cookie", "address"};
    struct json *versions = json_new_array(), *access = json_new_object();
    for (size_t i = 0; i < e->route.version_count; i++)
        if (e->route.versions[i].weight > 0 || &e->route.versions[i] == e->version)
            json_append(versions, show_version(e, &e->route.versions[i]));
    json_set(e->json, "limits", show_limits(&e->route));
    json_set_string(e->json, "sticky", view_of(sticky[e->route.sticky]));
    json_set_bool(e->json, "enabled", e->route.enabled);
    if (e->version)
        json_set(e->json, "version", show_version(e, e->version));
    if (e->answer.status == 0)
        explain_access(&e->route, e->request, e->arena, e->considered, access, &e->answer);
    json_set(e->json, "versions", versions);
    json_set(e->json, "access", access);
}

static void note_async(struct explanation *e)
{
    struct view value;
    for (size_t i = 0; e->answer.status == 0 && i < e->request->header_count; i++) {
        value = e->request->headers[i].value;
        if (!view_equal_nocase(e->request->headers[i].name, VIEW("Prefer")) ||
            !preference_asked(value, "respond-async"))
            continue;
        explain_consider(
            e->considered, "respond-async", VIEW(""), e->route.respond_async ? "match" : "no", "%s",
            e->route.respond_async ? "The function runs later; 202 is answered at once."
                                   : "The app does not grant it: it is ignored.");
        if (e->route.respond_async)
            e->answer = (struct explain_answer){
                202, NULL, "The event is handed over, and the answer does not wait for it."};
        return;
    }
}

/* ---- the whole ---- */

static void set_text(struct json *object, const char *name, struct view text)
{
    if (text.length)
        json_set_string(object, name, text);
    else
        json_set_null(object, name);
}

static void begin(struct explanation *e)
{
    static const char *const nulls[] = {"by",     "domain",  "app",    "bucket", "version",
                                        "limits", "enabled", "sticky", "access"};
    json_set_string(e->json, "method", e->request->method);
    set_text(e->json, "host", e->host);
    set_text(e->json, "path", e->path);
    for (size_t i = 0; i < sizeof nulls / sizeof nulls[0]; i++)
        json_set_null(e->json, nulls[i]);
    json_set(e->json, "versions", json_new_array());
    if (!e->request->secure)
        explain_consider(e->considered, "https-redirect", VIEW(""), "not-known",
                         "A proxy with https-redirect sends requests without TLS to https:// (308) "
                         "before it looks at anything else.");
}

static void finish(struct explanation *e)
{
    static const char *const by[] = {NULL, "domain", "base-domain", "path"};
    if (by[e->found.by])
        json_set_string(e->json, "by", view_of(by[e->found.by]));
    set_text(e->json, "domain", e->found.domain);
    set_text(e->json, "app", e->found.app);
    set_text(e->json, "forwardedPath", e->found.app.length ? e->found.path : VIEW(""));
    set_text(e->json, "strippedPrefix", e->found.stripped);
    json_set_bool(e->json, "served", e->answer.status == 0 || e->answer.status == 202);
    set_or_null(e->json, "status", (uint64_t)e->answer.status);
    set_text(e->json, "fault", view_of(e->answer.fault ? e->answer.fault : ""));
    json_set_string(e->json, "detail",
                    view_of(e->answer.detail ? e->answer.detail
                            : e->version     ? "The function of this version is called."
                                             : "The function of one of the versions is called."));
    json_set(e->json, "considered", e->considered);
}

/* What the guard in front of the proxy lets through. */
static bool is_http(const struct explain_request *request)
{
    return syntax_is_host(request->host) && syntax_is_target(request->path) &&
           (request->query.length == 0 || syntax_is(request->query, SYNTAX_QUERY));
}

static enum error look_up(struct explanation *e)
{
    enum error error = store_begin(e->reader);
    if (error)
        return error;
    error = find_app(e);
    store_end(e->reader);
    return error;
}

struct json *explain(struct store_reader *reader, const struct explain_request *request,
                     struct arena *arena)
{
    struct explanation e = {.request = request,
                            .reader = reader,
                            .arena = arena,
                            .json = json_new_object(),
                            .considered = json_new_array()};
    buffer_init(&e.value, ROUTE_MAX_RECORD);
    normalize(&e);
    begin(&e);
    enum error error = is_http(request) ? look_up(&e) : ERROR_NONE;
    if (!is_http(request)) {
        explain_consider(e.considered, "target", VIEW(""), "failed",
                         "The host or the target is not well-formed.");
        fail(&e, 400, "refused", "The request is not well-formed HTTP.");
    } else if (error) {
        tell_lookup(&e, error);
    } else {
        choose_version(&e);
        show_app(&e);
        note_async(&e);
    }
    finish(&e);
    buffer_release(&e.value);
    return e.json;
}
