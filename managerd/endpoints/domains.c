/* Lists, reads, sets and removes domains: one commit each, in force when it is answered. */
#include "managerd/authorize.h"
#include "managerd/domain_tls.h"
#include "managerd/domains.h"
#include "managerd/endpoints/endpoints.h"
#include "managerd/resources.h"

#include "common/base/clock.h"
#include "common/contract/host.h"
#include "common/store/route_record.h"

#include <stdio.h>

static struct json *show(const struct call *call, const struct json *domain, uint64_t revision)
{
    char text[24];
    struct json *shown = domain_public(domain, view_of(call->server->config->public_url));
    snprintf(text, sizeof text, "%llu", (unsigned long long)revision);
    json_set_string(shown, "revision", view_of(text));
    return shown;
}

/* The path's {host}, checked and in normal form. */
static struct view host_of(const struct call *call)
{
    return call->parameters.values[0];
}

/* list */

struct listing {
    struct call *call;
    struct page page;
    struct view app; /* filter; empty: none */
    struct json *items;
    struct view last;
    bool more;
};

static bool on_domain(struct view key, struct view value, uint64_t revision, void *context)
{
    struct listing *listing = context;
    struct json *domain = NULL;
    struct view host = view_slice(key, sizeof "domains/" - 1, SIZE_MAX);
    if (view_equal(host, listing->page.after) || record_parse(value, &domain))
        return true;
    bool wanted = call_may_see_domain(listing->call, domain) &&
                  (!listing->app.length || domain_names(domain, listing->app));
    if (wanted && json_count(listing->items) == listing->page.limit) {
        listing->more = true;
    } else if (wanted) {
        json_append(listing->items, show(listing->call, domain, revision));
        listing->last = arena_copy(&listing->call->arena, host);
    }
    json_free(domain);
    return !listing->more;
}

enum progress domain_list(struct call *call)
{
    struct listing listing = {.call = call, .app = VIEW("")};
    if (call_query(call, "app", &listing.app) && !app_name_valid(listing.app))
        fault_parameter(&call->faults, "app", "must be the name of an app");
    if (!call_page(call, &listing.page, domain_host_valid))
        return PROGRESS_FAIL;
    listing.items = json_new_array();
    struct key first = key_domain(listing.page.after);
    enum error error = state_range(call->server->state, VIEW("domains/"), view_of(first.text),
                                   on_domain, &listing);
    if (error) {
        json_free(listing.items);
        return call_fail_error(call, error);
    }
    return call_answer_page(call, listing.items, listing.more ? listing.last : VIEW(""));
}

/* read */

/* The domain's record, or an empty one; false: answered. */
static bool read_domain(struct call *call, struct record *domain, bool must_exist)
{
    struct key key = key_domain(host_of(call));
    enum error error = record_read(call->server->state, key.text, domain);
    if (error == ERROR_NOT_FOUND && must_exist)
        call_fail(call, PROBLEM_DOMAIN_NOT_FOUND, "There is no domain %.*s. Create it with PUT.",
                  VIEW_FORMAT(host_of(call)));
    else if (error && error != ERROR_NOT_FOUND)
        call_fail_error(call, error);
    return error == ERROR_NONE || (error == ERROR_NOT_FOUND && !must_exist);
}

enum progress domain_get(struct call *call)
{
    struct record domain;
    if (!read_domain(call, &domain, true))
        return PROGRESS_FAIL;
    enum progress verdict =
        call_answer_tagged(call, 200, show(call, domain.json, domain.revision), domain.revision);
    record_release(&domain);
    return verdict;
}

/* change */

/* An app lists the hosts that lead to it; its record is compared, so that no app can begin to be
 * deleted between this look and our commit. `pointer`: where a fault lies; NULL: there is none. */
static enum error set_host(struct call *call, struct view name, bool present, const char *pointer)
{
    struct record app;
    struct key key = key_app(name);
    enum error error = record_read(call->server->state, key.text, &app);
    if (error == ERROR_NOT_FOUND) {
        if (pointer)
            fault_pointer(&call->faults, pointer, "there is no app %.*s", VIEW_FORMAT(name));
        return ERROR_NONE;
    }
    if (error)
        return error;
    struct json *internal = object_in(app.json, "internal");
    const struct json *hosts = json_get(internal, "domains");
    if (pointer && json_type_of(json_get(internal, "deleting")) == JSON_STRING)
        fault_pointer(&call->faults, pointer, "the app %.*s is being deleted", VIEW_FORMAT(name));
    else if (present && json_count(hosts) >= DOMAIN_HOSTS_PER_APP)
        fault_pointer(&call->faults, pointer,
                      "the app %.*s has %d domains already, and no more fit", VIEW_FORMAT(name),
                      DOMAIN_HOSTS_PER_APP);
    json_set(internal, "domains", domain_hosts_set(hosts, host_of(call), present));
    change_compare(&call->change, key.text, app.revision);
    change_put(&call->change, key.text, app.json);
    record_release(&app);
    return ERROR_NONE;
}

/* The apps that `from` leads to and `to` does not gain or lose the host. */
static enum error set_hosts(struct call *call, const struct json *from, const struct json *to,
                            bool present)
{
    enum error error = ERROR_NONE;
    unsigned index = 0;
    const struct json *path = json_first(json_get(from, "paths"));
    for (; path && !error; path = json_next(path), index++) {
        struct view name = text_of(path, "app");
        struct key key = key_app(name);
        char pointer[64];
        snprintf(pointer, sizeof pointer, "/paths/%u/app", index);
        if (!domain_names(to, name) && !change_writes(&call->change, key.text))
            error = set_host(call, name, present, present ? pointer : NULL);
    }
    return error;
}

static bool refuse_base(struct call *call)
{
    const struct config *config = call->server->config;
    for (size_t i = 0; i < config->base_domain_count; i++)
        if (domain_takes_base(host_of(call), view_of(config->base_domains[i]))) {
            call_fail(call, PROBLEM_DOMAIN_RESERVED,
                      "%.*s would take hosts of the base domain %s, below which every app has its "
                      "own.",
                      VIEW_FORMAT(host_of(call)), config->base_domains[i]);
            return true;
        }
    return false;
}

static void check_body(struct call *call)
{
    struct view host;
    struct buffer normal;
    buffer_init(&normal, DOMAIN_HOST_MAX_BYTES);
    if (json_get_string(call->body, "host", &host) &&
        (domain_normalize_host(host, &normal) || !view_equal(buffer_view(&normal), host_of(call))))
        fault_pointer(&call->faults, "/host", "must be the host in the path, or absent");
    buffer_release(&normal);
}

/* The record as it is to be, and whether the route store can hold it. */
static struct json *make_domain(struct call *call, const struct json *present)
{
    struct buffer record, problem;
    const struct json *created = json_get(present, "createdAt");
    struct json *domain = json_new_object();
    buffer_init(&record, ROUTE_MAX_RECORD);
    buffer_init(&problem, 1024);
    json_set_string(domain, "host", host_of(call));
    json_set(domain, "paths", domain_paths(json_get(call->body, "paths"), &call->faults));
    set_time(domain, "updatedAt", clock_wall_ms());
    if (created)
        json_set(domain, "createdAt", json_copy(created));
    else
        json_set(domain, "createdAt", json_copy(json_get(domain, "updatedAt")));
    if (call->faults.count == 0 && domain_encode(domain, &record, &problem)) {
        if (problem.length)
            fault_pointer(&call->faults, "/paths", "%.*s", VIEW_FORMAT(buffer_view(&problem)));
        else
            fault_pointer(&call->faults, "/paths", "are longer in all than the %d bytes of a route",
                          ROUTE_MAX_RECORD);
    }
    buffer_release(&record);
    buffer_release(&problem);
    return domain;
}

/* Commits the domain (NULL: removes it) and what it changes in apps. */
static enum progress save(struct call *call, const struct record *present,
                          const struct json *domain)
{
    struct key key = key_domain(host_of(call));
    change_compare(&call->change, key.text, present->revision);
    if (domain)
        change_put(&call->change, key.text, domain);
    else
        change_remove(&call->change, key.text);
    call->publish_domain = host_of(call);
    if (!domain)
        return call_commit(call, 204, NULL, true);
    if (!present->json)
        call->location = arena_format(&call->arena, "/v1/domains/%.*s", VIEW_FORMAT(host_of(call)));
    return call_commit(call, present->json ? 200 : 201, show(call, domain, 0), true);
}

/* Everything is lawful: the file first, then the commit that names it. */
static enum progress write_and_save(struct call *call, const struct record *present,
                                    struct json *domain)
{
    enum progress verdict = domain_tls_write(call);
    if (verdict != PROGRESS_NEXT)
        return verdict;
    domain_tls_apply(call, present->json, domain);
    return save(call, present, domain);
}

enum progress domain_put(struct call *call)
{
    struct record present;
    if (!read_domain(call, &present, false))
        return PROGRESS_FAIL;
    enum progress verdict = domain_tls_check(call, present.json);
    if (verdict != PROGRESS_NEXT) {
        record_release(&present);
        return verdict;
    }
    verdict = PROGRESS_FAIL;
    change_clear(&call->change);
    check_body(call);
    struct json *domain = make_domain(call, present.json);
    enum error error = set_hosts(call, call->body, present.json, true);
    if (!error)
        error = set_hosts(call, present.json, domain, false);
    if (error)
        verdict = call_fail_error(call, error);
    else if (call->faults.count)
        verdict = call_fail_faults(call);
    else if (!refuse_base(call) && call_precondition(call, present.revision))
        verdict = write_and_save(call, &present, domain);
    json_free(domain);
    record_release(&present);
    return verdict;
}

enum progress domain_delete(struct call *call)
{
    struct record present;
    if (!read_domain(call, &present, true))
        return PROGRESS_FAIL;
    enum progress verdict = PROGRESS_FAIL;
    enum error error = set_hosts(call, present.json, NULL, false);
    if (error)
        verdict = call_fail_error(call, error);
    else if (call_precondition(call, present.revision)) {
        domain_tls_remove(call, present.json);
        verdict = save(call, &present, NULL);
    }
    record_release(&present);
    return verdict;
}
