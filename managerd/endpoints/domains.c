/* Lists, reads, sets and removes domains: one commit each, in force when it is answered. */
#include "managerd/authorize.h"
#include "managerd/certificates.h"
#include "managerd/difference.h"
#include "managerd/domain_tls.h"
#include "managerd/domains.h"
#include "managerd/endpoints/endpoints.h"
#include "managerd/history.h"
#include "managerd/resources.h"
#include "managerd/secrets.h"

#include "common/base/clock.h"
#include "common/base/crypto.h"
#include "common/contract/host.h"
#include "common/store/route_record.h"

#include <stdio.h>
#include <stdlib.h>

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
    struct json *domain = json_new_object();
    buffer_init(&record, ROUTE_MAX_RECORD);
    buffer_init(&problem, 1024);
    json_set_string(domain, "host", host_of(call));
    json_set(domain, "paths", domain_paths(json_get(call->body, "paths"), &call->faults));
    domain_sign(domain, present, view_of(call->principal.label), clock_wall_ms());
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
    bool creates = !present->json && call->endpoint->act != domain_undo;
    return call_commit(call, creates ? 201 : 200, show(call, domain, 0), true);
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

/* undo */

/* A certificate that comes back, while its file is written. */
struct returning {
    struct certificates *certificates;
    char fingerprint[65];
    bool written;
};

static void free_returning(void *data)
{
    struct returning *returning = data;
    certificates_let_go(returning->certificates, returning->fingerprint);
    free(returning);
}

static void on_returned(enum error error, void *context)
{
    struct call *call = context;
    struct returning *returning = call->data;
    returning->written = true;
    enum progress verdict = error ? call_fail_error(call, error) : call->endpoint->act(call);
    if (verdict != PROGRESS_WAIT)
        call_resume(call, verdict);
}

/* Before state names it: its file. NEXT: it is there. */
static enum progress write_certificate(struct call *call, const struct json *certificate)
{
    struct returning *returning = call->data;
    struct buffer pem;
    if (returning)
        return PROGRESS_NEXT;
    buffer_init(&pem, SECRETS_MAX_PEM);
    if (secrets_unseal_certificate(call->server->secrets, host_of(call),
                                   text_of(certificate, "sealed"), &pem)) {
        buffer_release(&pem);
        return call_fail(call, PROBLEM_STORAGE_FAILED,
                         "The certificate cannot be decrypted with this key; give it with PUT.");
    }
    call->data = returning = calloc(1, sizeof *returning);
    REQUIRE(returning);
    call->free_data = free_returning;
    returning->certificates = call->server->certificates;
    snprintf(returning->fingerprint, sizeof returning->fingerprint, "%.*s",
             VIEW_FORMAT(text_of(certificate, "fingerprint")));
    certificates_write(returning->certificates, returning->fingerprint, buffer_view(&pem),
                       on_returned, call);
    wipe(pem.data, pem.length);
    buffer_release(&pem);
    return PROGRESS_WAIT;
}

/* Commits the domain as `image` (history.h) says. */
static enum progress save_image(struct call *call, const struct record *present,
                                const struct json *before, const struct json *image)
{
    const struct json *tls = json_get(image, "tls");
    const struct json *certificate = json_get(image, "certificate");
    struct key key = key_certificate(host_of(call));
    struct json *domain = json_new_object();
    json_set_string(domain, "host", host_of(call));
    json_set(domain, "paths", json_copy(json_get(image, "paths")));
    domain_sign(domain, present->json, view_of(call->principal.label), clock_wall_ms());
    if (json_type_of(tls) == JSON_OBJECT)
        json_set(domain, "tls", json_copy(tls));
    if (certificate)
        change_put(&call->change, key.text, certificate);
    else if (json_get(before, "certificate"))
        change_remove(&call->change, key.text);
    enum error error = set_hosts(call, domain, present->json, true);
    if (!error)
        error = set_hosts(call, present->json, domain, false);
    enum progress verdict = PROGRESS_FAIL;
    if (error)
        verdict = call_fail_error(call, error);
    else if (call->faults.count)
        verdict = call_fail_faults(call);
    else if (!refuse_base(call))
        verdict = save(call, present, domain);
    json_free(domain);
    return verdict;
}

static enum progress take_back(struct call *call, const struct record *present,
                               const struct json *entry)
{
    struct record certificate;
    struct key key = key_certificate(host_of(call));
    if (record_read(call->server->state, key.text, &certificate))
        certificate = (struct record){0};
    struct json *before =
        present->json ? history_of_domain(present->json, certificate.json) : json_new_object();
    struct json *image = json_copy(before);
    const struct json *wanted;
    enum progress verdict = PROGRESS_NEXT;
    difference_revert(image, json_get(entry, "changes"), &call->faults);
    wanted = json_get(image, "certificate");
    if (call->faults.count) {
        verdict = call_fail_changed_since(call);
    } else if (json_equal(image, before)) {
        call->unchanged = present->revision;
        call->publish_domain = host_of(call);
        verdict = call_commit(call, 200, show(call, present->json, present->revision), true);
    } else {
        if (wanted && !(certificate.json && json_equal(wanted, certificate.json)))
            verdict = write_certificate(call, wanted);
        if (verdict == PROGRESS_NEXT)
            verdict = save_image(call, present, before, image);
    }
    json_free(before);
    json_free(image);
    record_release(&certificate);
    return verdict;
}

enum progress domain_undo(struct call *call)
{
    struct record present, entry;
    enum progress verdict = PROGRESS_FAIL;
    if (!call_read_change(call, "domains", &entry))
        return PROGRESS_FAIL;
    bool deletion = view_equal_string(text_of(entry.json, "kind"), "deleted");
    change_clear(&call->change);
    if (view_equal_string(text_of(entry.json, "kind"), "created")) {
        call_fail(call, PROBLEM_CONFLICT, "That the domain was created is taken back by DELETE.");
    } else if (read_domain(call, &present, !deletion)) {
        if (call_precondition(call, present.revision))
            verdict = take_back(call, &present, entry.json);
        record_release(&present);
    }
    record_release(&entry);
    return verdict;
}
