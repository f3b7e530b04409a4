/* Asks every proxy what it has measured, side by side and in bounded time. */
#include "managerd/proxies.h"

#include "common/base/clock.h"
#include "common/net/outgoing.h"
#include "managerd/jobs.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define RESOLVE_EVERY_US (5ull * 1000000)
#define MAX_ANSWER_BYTES (4u << 20)
#define ADDRESS_SIZE     (INET6_ADDRSTRLEN + 16) /* [address]:port */

/* One HOST:PORT of the list, and where it lies as far as is known. */
struct entry {
    char host[256], port[8];
    char (*addresses)[ADDRESS_SIZE];
    size_t count;
    bool numeric, resolving;
    uint64_t resolved_us;
};

struct proxies {
    struct event_base *base;
    struct outgoing *outgoing;
    struct jobs *resolver; /* one thread; NULL: no name is in the list */
    struct entry entries[PROXIES_LISTED];
    size_t entry_count;
    struct proxies_question *questions;
    bool stopped;
};

struct asked {
    struct proxies_question *question;
    struct outgoing_call *call;
    char url[256], address[ADDRESS_SIZE];
};

struct proxies_question {
    struct proxies *proxies;
    struct proxies_question *next;
    struct measure *measure;
    int64_t version;
    char app[64];
    struct asked *asked[PROXIES_ADDRESSES];
    size_t count, open;
    uint64_t waiting;  /* bits: entries whose name it waits for */
    struct event *end; /* activated when nothing is open: on_done comes from the loop */
    void (*on_done)(void *context);
    void *context;
};

/* The list. */

static bool split_address(struct view text, struct view *host, struct view *port)
{
    uint64_t number = 0;
    size_t colon = text.length;
    while (colon > 0 && text.data[colon - 1] != ':')
        colon--;
    if (colon < 2)
        return false;
    *host = view_slice(text, 0, colon - 1);
    *port = view_slice(text, colon, SIZE_MAX);
    if (view_starts_with(*host, VIEW("[")) && view_ends_with(*host, VIEW("]")))
        *host = view_slice(*host, 1, host->length - 2);
    else if (view_find(*host, ':') != SIZE_MAX)
        return false;
    for (size_t i = 0; i < host->length; i++)
        if ((unsigned char)host->data[i] <= ' ' || strchr("/?#@%[]", host->data[i]))
            return false;
    return host->length > 0 && host->length < 256 && !view_to_u64(*port, 65535, &number) &&
           number > 0;
}

static bool read_list(struct view list, struct proxies *proxies)
{
    struct view rest = list, one, host, port;
    size_t count = 0;
    if (view_equal(view_trim(list), VIEW("none")))
        return true;
    while (view_split(&rest, ',', &one)) {
        one = view_trim(one);
        if (!one.length)
            continue;
        if (count++ == PROXIES_LISTED || !split_address(one, &host, &port))
            return false;
        if (!proxies)
            continue;
        struct entry *entry = &proxies->entries[proxies->entry_count++];
        snprintf(entry->host, sizeof entry->host, "%.*s", VIEW_FORMAT(host));
        snprintf(entry->port, sizeof entry->port, "%.*s", VIEW_FORMAT(port));
    }
    return count > 0;
}

bool proxies_valid(struct view list)
{
    return read_list(list, NULL);
}

static void set_addresses(struct entry *entry, const struct addrinfo *found, int family)
{
    for (; found; found = found->ai_next) {
        char text[INET6_ADDRSTRLEN];
        if (found->ai_family != family || entry->count == PROXIES_ADDRESSES ||
            getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof text, NULL, 0,
                        NI_NUMERICHOST))
            continue;
        entry->addresses = realloc(entry->addresses, (entry->count + 1) * ADDRESS_SIZE);
        REQUIRE(entry->addresses);
        snprintf(entry->addresses[entry->count++], ADDRESS_SIZE,
                 family == AF_INET6 ? "[%s]:%s" : "%s:%s", text, entry->port);
    }
}

static struct addrinfo *look_up(const char *host, int flags)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags}, *found = NULL;
    return getaddrinfo(host, NULL, &hints, &found) ? NULL : found;
}

static void use_addresses(struct entry *entry, const struct addrinfo *found)
{
    entry->count = 0;
    set_addresses(entry, found, AF_INET);
    if (!entry->count)
        set_addresses(entry, found, AF_INET6);
}

struct proxies *proxies_new(struct event_base *base, struct view list)
{
    struct outgoing_options options = {.max_connections = 256, .connect_timeout_ms = 1000};
    struct proxies *proxies = calloc(1, sizeof *proxies);
    REQUIRE(proxies);
    proxies->base = base;
    proxies->outgoing = outgoing_new(base, &options);
    REQUIRE(read_list(list, proxies));
    for (size_t i = 0; i < proxies->entry_count; i++) {
        struct entry *entry = &proxies->entries[i];
        struct addrinfo *found = look_up(entry->host, AI_NUMERICHOST);
        entry->numeric = found != NULL;
        if (found) {
            use_addresses(entry, found);
            freeaddrinfo(found);
        } else if (!proxies->resolver) {
            proxies->resolver = jobs_new(base, 1);
        }
    }
    return proxies;
}

size_t proxies_count(const struct proxies *proxies)
{
    return proxies->entry_count;
}

/* Names. */

struct resolution {
    struct proxies *proxies;
    struct entry *entry;
    char host[256];
    struct addrinfo *found;
};

static void ask_entry(struct proxies_question *question, const struct entry *entry);
static void close_one(struct proxies_question *question);

static void resolve(void *context)
{
    struct resolution *resolution = context;
    resolution->found = look_up(resolution->host, AI_ADDRCONFIG);
}

/* Questions that waited for the name go on. A name that cannot be resolved is a proxy that is silent. */
static void on_resolved(void *context)
{
    struct resolution *resolution = context;
    struct proxies *proxies = resolution->proxies;
    struct entry *entry = resolution->entry;
    entry->resolving = false;
    entry->resolved_us = clock_monotonic_us();
    use_addresses(entry, resolution->found);
    if (resolution->found)
        freeaddrinfo(resolution->found);
    free(resolution);
    struct proxies_question *question = proxies->stopped ? NULL : proxies->questions;
    uint64_t bit = 1ull << (entry - proxies->entries);
    for (; question; question = question->next) {
        if (!(question->waiting & bit))
            continue;
        question->waiting &= ~bit;
        ask_entry(question, entry);
        close_one(question);
    }
}

static void begin_resolving(struct proxies *proxies, struct entry *entry)
{
    struct resolution *resolution = calloc(1, sizeof *resolution);
    REQUIRE(resolution);
    entry->resolving = true;
    resolution->proxies = proxies;
    resolution->entry = entry;
    snprintf(resolution->host, sizeof resolution->host, "%s", entry->host);
    jobs_submit(proxies->resolver, resolve, on_resolved, resolution);
}

static bool is_fresh(const struct entry *entry)
{
    return entry->numeric ||
           (entry->resolved_us && clock_monotonic_us() - entry->resolved_us < RESOLVE_EVERY_US);
}

/* Asking. */

static void close_one(struct proxies_question *question)
{
    if (--question->open == 0)
        event_active(question->end, 0, 0);
}

static void on_answer(const struct outgoing_result *result, void *context)
{
    struct asked *asked = context;
    struct proxies_question *question = asked->question;
    struct measure_answer *answer = malloc(sizeof *answer);
    REQUIRE(answer);
    asked->call = NULL;
    bool good = !result->error && result->status == 200 &&
                !measure_read(result->body, question->version, answer);
    measure_take(question->measure, asked->address, good ? answer : NULL);
    free(answer);
    close_one(question);
}

static void ask_address(struct proxies_question *question, const char *address)
{
    if (question->count == PROXIES_ADDRESSES) {
        measure_take(question->measure, address, NULL);
        return;
    }
    struct asked *asked = calloc(1, sizeof *asked);
    REQUIRE(asked);
    question->asked[question->count++] = asked;
    struct outgoing_request request = {.method = "GET",
                                       .url = asked->url,
                                       .deadline_ms = PROXIES_DEADLINE_MS,
                                       .max_answer_bytes = MAX_ANSWER_BYTES,
                                       .on_done = on_answer,
                                       .context = asked};
    asked->question = question;
    snprintf(asked->address, sizeof asked->address, "%s", address);
    snprintf(asked->url, sizeof asked->url, "http://%s/stats?app=%s", address, question->app);
    question->open++;
    asked->call = outgoing_send(question->proxies->outgoing, &request);
}

static void ask_entry(struct proxies_question *question, const struct entry *entry)
{
    char name[280];
    for (size_t i = 0; i < entry->count; i++)
        ask_address(question, entry->addresses[i]);
    snprintf(name, sizeof name, "%s:%s", entry->host, entry->port);
    if (entry->count == 0)
        measure_take(question->measure, name, NULL);
}

static void question_free(struct proxies_question *question)
{
    struct proxies_question **link = &question->proxies->questions;
    while (*link != question)
        link = &(*link)->next;
    *link = question->next;
    for (size_t i = 0; i < question->count; i++) {
        if (question->asked[i]->call)
            outgoing_cancel(question->asked[i]->call);
        free(question->asked[i]);
    }
    event_free(question->end);
    free(question);
}

static void on_end(evutil_socket_t fd, short what, void *context)
{
    struct proxies_question *question = context;
    void (*on_done)(void *) = question->on_done;
    void *of = question->context;
    (void)fd, (void)what;
    question_free(question);
    on_done(of);
}

struct proxies_question *proxies_ask(struct proxies *proxies, struct view app, int64_t version,
                                     struct measure *measure, void (*on_done)(void *context),
                                     void *context)
{
    struct proxies_question *question = calloc(1, sizeof *question);
    REQUIRE(question && !proxies->stopped);
    question->end = event_new(proxies->base, -1, 0, on_end, question);
    REQUIRE(question->end);
    question->proxies = proxies;
    question->measure = measure;
    question->version = version;
    question->on_done = on_done;
    question->context = context;
    snprintf(question->app, sizeof question->app, "%.*s", VIEW_FORMAT(app));
    question->next = proxies->questions;
    proxies->questions = question;
    measure_begin_round(measure);
    question->open = 1; /* this loop */
    for (size_t i = 0; i < proxies->entry_count; i++) {
        struct entry *entry = &proxies->entries[i];
        if (!is_fresh(entry) && !entry->resolving)
            begin_resolving(proxies, entry);
        if (entry->count || is_fresh(entry)) {
            ask_entry(question, entry);
        } else {
            question->waiting |= 1ull << i;
            question->open++;
        }
    }
    close_one(question);
    return question;
}

void proxies_cancel(struct proxies_question *question)
{
    if (question)
        question_free(question);
}

void proxies_stop(struct proxies *proxies)
{
    proxies->stopped = true;
}

void proxies_free(struct proxies *proxies)
{
    if (!proxies)
        return;
    proxies->stopped = true;
    while (proxies->questions)
        question_free(proxies->questions);
    if (proxies->resolver)
        jobs_drain(proxies->resolver); /* a look-up that is under way cannot be stopped */
    jobs_free(proxies->resolver);
    outgoing_free(proxies->outgoing);
    for (size_t i = 0; i < proxies->entry_count; i++)
        free(proxies->entries[i].addresses);
    free(proxies);
}
