/* Brings hosts and path prefixes into normal form, and turns domains of state into routes. */
#include "managerd/domains.h"

#include "common/contract/host.h"
#include "common/contract/path.h"
#include "common/store/route_record.h"
#include "managerd/records.h"

#include <stdio.h>

enum error domain_normalize_host(struct view host, struct buffer *out)
{
    char text[DOMAIN_HOST_MAX_BYTES];
    if (view_ends_with(host, VIEW(".")))
        host = view_slice(host, 0, host.length - 1);
    if (host.length > sizeof text)
        return ERROR_INVALID;
    for (size_t i = 0; i < host.length; i++) {
        char c = host.data[i];
        text[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    host = view_from(text, host.length);
    if (!domain_host_valid(host))
        return ERROR_INVALID;
    buffer_append_view(out, host);
    return out->error;
}

/* Whether `name` is a name below `above`. */
static bool is_under(struct view name, struct view above)
{
    return name.length > above.length && view_ends_with(name, above) &&
           name.data[name.length - above.length - 1] == '.';
}

bool domain_takes_base(struct view host, struct view base_domain)
{
    bool wildcard = view_starts_with(host, VIEW("*."));
    struct view name = wildcard ? view_slice(host, 2, SIZE_MAX) : host;
    if (view_equal(base_domain, VIEW("*")))
        return false;
    return view_equal(name, base_domain) || is_under(name, base_domain) ||
           (wildcard && is_under(base_domain, name));
}

/* The prefix in normal form, without a slash at its end; false: it has none. */
static bool normalize_prefix(struct view prefix, struct buffer *out)
{
    buffer_clear(out);
    if (path_normalize(prefix, out) || out->error)
        return false;
    while (out->length > 1 && out->data[out->length - 1] == '/')
        out->length--;
    return out->length <= DOMAIN_PREFIX_BYTES;
}

struct json *domain_paths(const struct json *paths, struct faults *faults)
{
    struct json *whole = json_new_array();
    struct buffer prefix;
    unsigned index = 0;
    buffer_init(&prefix, PATH_NORMAL_MAX(DOMAIN_PREFIX_BYTES));
    for (const struct json *path = json_first(paths); path; path = json_next(path), index++) {
        struct view given = VIEW("/");
        char pointer[64];
        snprintf(pointer, sizeof pointer, "/paths/%u/prefix", index);
        json_get_string(path, "prefix", &given);
        if (!normalize_prefix(given, &prefix)) {
            fault_pointer(faults, pointer,
                          "must be a path: beginning with /, at most %d bytes when it is "
                          "percent-encoded, without query, fragment or dot segments",
                          DOMAIN_PREFIX_BYTES);
            continue;
        }
        for (const struct json *other = json_first(whole); other; other = json_next(other))
            if (view_equal(text_of(other, "prefix"), buffer_view(&prefix)))
                fault_pointer(faults, pointer, "%.*s is there twice", VIEW_FORMAT(given));
        struct json *one = json_new_object();
        json_set_string(one, "prefix", buffer_view(&prefix));
        json_set_string(one, "app", text_of(path, "app"));
        json_set_bool(one, "stripPrefix", truth_of(path, "stripPrefix"));
        json_append(whole, one);
    }
    buffer_release(&prefix);
    return whole;
}

bool domain_names(const struct json *domain, struct view app)
{
    const struct json *path = json_first(json_get(domain, "paths"));
    for (; path; path = json_next(path))
        if (view_equal(text_of(path, "app"), app))
            return true;
    return false;
}

void domain_sign(struct json *domain, const struct json *present, struct view by, int64_t now_ms)
{
    const struct json *at = json_get(present, "createdAt"), *who = json_get(present, "createdBy");
    set_time(domain, "updatedAt", now_ms);
    json_set_string(domain, "updatedBy", by);
    json_set(domain, "createdAt", json_copy(at ? at : json_get(domain, "updatedAt")));
    if (who)
        json_set(domain, "createdBy", json_copy(who));
    else if (!present)
        json_set_string(domain, "createdBy", by);
}

/* Who made it is not known of those that are older than this. */
static void show_null(struct json *shown, const char *member)
{
    if (!json_get(shown, member))
        json_set_null(shown, member);
}

struct json *domain_public(const struct json *domain, struct view public_url)
{
    struct json *shown = json_copy(domain), *paths = json_new_array();
    struct view host = text_of(domain, "host");
    const struct json *path = json_first(json_get(domain, "paths"));
    for (; path; path = json_next(path)) {
        struct json *one = json_copy(path);
        struct buffer url;
        buffer_init(&url, 4096);
        url_of_host(public_url, host, &url);
        buffer_append_view(&url, text_of(path, "prefix"));
        if (view_starts_with(host, VIEW("*.")) || url.error)
            json_set_null(one, "url");
        else
            json_set_string(one, "url", buffer_view(&url));
        buffer_release(&url);
        json_append(paths, one);
    }
    json_set(shown, "paths", paths);
    show_null(shown, "tls");
    show_null(shown, "createdBy");
    show_null(shown, "updatedBy");
    return shown;
}

enum error domain_encode(const struct json *domain, struct buffer *out, struct buffer *problem)
{
    struct domain_path paths[DOMAIN_MAX_PATHS];
    struct domain_record record = {.host = text_of(domain, "host"),
                                   .paths = paths,
                                   .tls_fingerprint =
                                       text_of(json_get(domain, "tls"), "fingerprint")};
    const struct json *path = json_first(json_get(domain, "paths"));
    for (; path && record.path_count < DOMAIN_MAX_PATHS; path = json_next(path))
        paths[record.path_count++] = (struct domain_path){
            text_of(path, "prefix"), text_of(path, "app"), truth_of(path, "stripPrefix")};
    enum error error = path ? ERROR_TOO_BIG : domain_record_validate(&record, problem);
    if (!error)
        domain_record_encode(out, &record);
    return error ? error : out->error;
}

struct json *domain_hosts_set(const struct json *hosts, struct view host, bool present)
{
    struct json *changed = json_new_array();
    bool placed = !present;
    for (const struct json *one = json_first(hosts); one; one = json_next(one)) {
        struct view here = json_string(one);
        if (view_equal(here, host))
            continue;
        if (!placed && view_compare(here, host) > 0) {
            json_append(changed, json_new_string(host));
            placed = true;
        }
        json_append(changed, json_new_string(here));
    }
    if (!placed)
        json_append(changed, json_new_string(host));
    return changed;
}
