/* Serves certificates by host name to TLS sessions, from an immutable set that a load replaces. */
#include "common/net/tls.h"

#include "common/net/tls_certificate.h"
#include "common/net/tls_clients.h"
#include "common/net/tls_context.h"
#include "common/net/tls_tickets.h"

#include <openssl/err.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PROBLEM_MAX_BYTES 4096
#define HOST_MAX_BYTES    253

struct named {
    const char *name; /* the certificate's */
    struct certificate *certificate;
};

/* What one load made. */
struct snapshot {
    atomic_uint references;
    struct tls *tls;
    struct certificate **certificates;
    size_t certificate_count;
    struct named *names; /* sorted; of equal ones the latest first, then the longest-lived */
    size_t name_count;
    struct certificate **by_fingerprint; /* the certificates, sorted */
    bool *read;                          /* of each certificate: by this load */
    struct certificate *by_default;      /* one of them, or NULL */
    SSL_CTX *front;                      /* sessions begin with it: the default's, or a bare one */
};

struct tls {
    pthread_mutex_t mutex; /* guards `present` */
    struct snapshot *present;
    atomic_uint_fast64_t loads; /* rises when `present` changes */
    struct tickets *tickets;
    struct tls_clients
        *clients; /* for contexts made from now on; NULL: they are asked for nothing */
    void (*on_refused)(struct view peer_address, const char *reason, void *context);
    void *refused_context;
    atomic_uint_fast64_t results[TLS_RESULT_COUNT];
};

/* What a session knows of its own. */
struct session {
    struct snapshot *snapshot;
    bool done; /* the first handshake */
};

/* What a thread keeps at hand. */
struct thread {
    struct tls *tls; /* NULL: nothing */
    tls_choose choose;
    void *context;
    struct snapshot *snapshot;
    uint_fast64_t load;
};

static _Thread_local struct thread here;
static pthread_once_t index_once = PTHREAD_ONCE_INIT;
static int session_index;

/* ---- snapshots ---- */

static void release_snapshot(struct snapshot *snapshot)
{
    if (!snapshot || atomic_fetch_sub(&snapshot->references, 1) > 1)
        return;
    for (size_t i = 0; i < snapshot->certificate_count; i++)
        certificate_release(snapshot->certificates[i]);
    SSL_CTX_free(snapshot->front);
    free(snapshot->by_fingerprint);
    free(snapshot->read);
    free(snapshot->certificates);
    free(snapshot->names);
    free(snapshot);
}

static struct snapshot *take_present(struct tls *tls, uint_fast64_t *load)
{
    struct snapshot *snapshot;

    pthread_mutex_lock(&tls->mutex);
    snapshot = tls->present;
    *load = atomic_load(&tls->loads);
    atomic_fetch_add(&snapshot->references, 1);
    pthread_mutex_unlock(&tls->mutex);
    return snapshot;
}

/* A reference to the set in force: the thread's own copy while nothing was loaded since. */
static struct snapshot *present(struct tls *tls)
{
    uint_fast64_t load;

    if (here.tls != tls)
        return take_present(tls, &load);
    if (atomic_load(&tls->loads) != here.load) {
        release_snapshot(here.snapshot);
        here.snapshot = take_present(tls, &here.load);
    }
    atomic_fetch_add(&here.snapshot->references, 1);
    return here.snapshot;
}

static void publish(struct tls *tls, struct snapshot *snapshot)
{
    struct snapshot *before;

    pthread_mutex_lock(&tls->mutex);
    before = tls->present;
    tls->present = snapshot;
    atomic_fetch_add(&tls->loads, 1);
    pthread_mutex_unlock(&tls->mutex);
    release_snapshot(before);
}

static int compare_names(const void *left, const void *right)
{
    const struct named *a = left, *b = right;
    int order = strcmp(a->name, b->name);

    if (order != 0)
        return order;
    if (a->certificate->written_ns != b->certificate->written_ns)
        return a->certificate->written_ns > b->certificate->written_ns ? -1 : 1;
    return a->certificate->facts.not_after_s > b->certificate->facts.not_after_s ? -1 : 1;
}

static struct certificate *find_name(const struct snapshot *snapshot, const char *name)
{
    size_t low = 0, high = snapshot->name_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(snapshot->names[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < snapshot->name_count && strcmp(snapshot->names[low].name, name) == 0)
        return snapshot->names[low].certificate;
    return NULL;
}

static int compare_fingerprints(const void *left, const void *right)
{
    const struct certificate *const *a = left, *const *b = right;

    return strcmp((*a)->facts.fingerprint, (*b)->facts.fingerprint);
}

static struct certificate *find_fingerprint(const struct snapshot *snapshot,
                                            const char *fingerprint)
{
    size_t low = 0, high = snapshot->certificate_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(snapshot->by_fingerprint[middle]->facts.fingerprint, fingerprint);

        if (order == 0)
            return snapshot->by_fingerprint[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* What clients send, as names are written in certificates; false: no host. */
static bool normal_name(const char *host, char name[HOST_MAX_BYTES + 1])
{
    size_t length = host ? strlen(host) : 0;

    if (length > 0 && host[length - 1] == '.')
        length--;
    if (length == 0 || length > HOST_MAX_BYTES)
        return false;
    for (size_t i = 0; i < length; i++)
        name[i] = (char)(host[i] >= 'A' && host[i] <= 'Z' ? host[i] - 'A' + 'a' : host[i]);
    name[length] = '\0';
    return true;
}

static bool covers(const struct certificate *certificate, const char *name)
{
    const char *dot = strchr(name, '.');

    for (size_t i = 0; i < certificate->name_count; i++) {
        const char *one = certificate->names[i];

        if (strcmp(one, name) == 0 ||
            (dot && dot > name && one[0] == '*' && strcmp(one + 1, dot) == 0))
            return true;
    }
    return false;
}

/* The one that is meant for this host, if somebody says so. */
static struct certificate *find_chosen(const struct snapshot *snapshot, const char *name)
{
    char fingerprint[TLS_FINGERPRINT_HEX_SIZE];
    struct certificate *certificate;

    if (here.tls != snapshot->tls || !here.choose ||
        !here.choose(view_of(name), fingerprint, here.context))
        return NULL;
    certificate = find_fingerprint(snapshot, fingerprint);
    return certificate && covers(certificate, name) ? certificate : NULL;
}

/* Exact before wildcard, which stands for one label (RFC 6125 section 6.4.3). */
static struct certificate *find_named(const struct snapshot *snapshot, const char *name)
{
    struct certificate *found = find_name(snapshot, name);
    const char *dot = strchr(name, '.');
    char wildcard[HOST_MAX_BYTES + 2];

    if (found || !dot || dot == name)
        return found;
    snprintf(wildcard, sizeof(wildcard), "*%s", dot);
    return find_name(snapshot, wildcard);
}

static struct certificate *find_certificate(const struct snapshot *snapshot, const char *host)
{
    char name[HOST_MAX_BYTES + 1];
    struct certificate *found;

    if (!normal_name(host, name))
        return snapshot->by_default;
    found = find_chosen(snapshot, name);
    if (!found)
        found = find_named(snapshot, name);
    return found ? found : snapshot->by_default;
}

/* ---- what OpenSSL asks ---- */

static struct session *session_of(const SSL *ssl)
{
    return SSL_get_ex_data(ssl, session_index);
}

static void free_session(void *parent, void *data, CRYPTO_EX_DATA *all, int index, long number,
                         void *context)
{
    struct session *session = data;

    (void)parent;
    (void)all;
    (void)index;
    (void)number;
    (void)context;
    if (!session)
        return;
    release_snapshot(session->snapshot);
    free(session);
}

static void make_index(void)
{
    session_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_session);
    REQUIRE(session_index >= 0);
}

static int on_host(SSL *ssl, int *alert, void *context)
{
    const struct snapshot *snapshot = session_of(ssl)->snapshot;
    struct certificate *certificate =
        find_certificate(snapshot, SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));

    (void)context;
    if (!certificate) {
        *alert = SSL_AD_UNRECOGNIZED_NAME;
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    return SSL_set_SSL_CTX(ssl, certificate->context) ? SSL_TLSEXT_ERR_OK
                                                      : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int sealing)
{
    return tickets_apply(session_of(ssl)->snapshot->tls->tickets, ssl, name, iv, cipher, mac,
                         sealing);
}

static void count(struct tls *tls, enum tls_result result)
{
    atomic_fetch_add_explicit(&tls->results[result], 1, memory_order_relaxed);
}

static void on_progress(const SSL *ssl, int where, int value)
{
    struct session *session = session_of(ssl);

    (void)value;
    if (!(where & SSL_CB_HANDSHAKE_DONE) || session->done)
        return;
    session->done = true;
    count(session->snapshot->tls, TLS_DONE);
    if (SSL_session_reused(ssl))
        count(session->snapshot->tls, TLS_RESUMED);
}

/* All but the certificate. Contexts differ in nothing else, as a session changes from one to another
 * when the client's host is known. */
static SSL_CTX *make_context(const struct tls *tls)
{
    SSL_CTX *context = tls_context_new(tls->clients);

    SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket);
    SSL_CTX_set_tlsext_servername_callback(context, on_host);
    SSL_CTX_set_info_callback(context, on_progress);
    return context;
}

/* ---- loading ---- */

static struct certificate *find_path(const struct snapshot *snapshot, const char *path)
{
    for (size_t i = 0; i < snapshot->certificate_count; i++) {
        if (strcmp(snapshot->certificates[i]->path, path) == 0)
            return certificate_keep(snapshot->certificates[i]);
    }
    return NULL;
}

static void index_names(struct snapshot *snapshot)
{
    size_t most = 0;

    for (size_t i = 0; i < snapshot->certificate_count; i++)
        most += snapshot->certificates[i]->name_count;
    snapshot->names = calloc(most + 1, sizeof(*snapshot->names));
    REQUIRE(snapshot->names);
    for (size_t i = 0; i < snapshot->certificate_count; i++) {
        struct certificate *certificate = snapshot->certificates[i];

        for (size_t j = 0; j < certificate->name_count; j++)
            snapshot->names[snapshot->name_count++] =
                (struct named){certificate->names[j], certificate};
    }
    qsort(snapshot->names, snapshot->name_count, sizeof(*snapshot->names), compare_names);
}

static struct snapshot *new_snapshot(struct tls *tls, size_t room)
{
    struct snapshot *snapshot = calloc(1, sizeof(*snapshot));

    REQUIRE(snapshot);
    atomic_init(&snapshot->references, 1);
    snapshot->tls = tls;
    snapshot->certificates = calloc(room + 1, sizeof(struct certificate *));
    snapshot->by_fingerprint = calloc(room + 1, sizeof(struct certificate *));
    snapshot->read = calloc(room + 1, sizeof(bool));
    REQUIRE(snapshot->certificates && snapshot->by_fingerprint && snapshot->read);
    return snapshot;
}

/* The names are in: from now on it does not change. */
static void finish_snapshot(struct snapshot *snapshot)
{
    index_names(snapshot);
    memcpy(snapshot->by_fingerprint, snapshot->certificates,
           snapshot->certificate_count * sizeof(struct certificate *));
    qsort(snapshot->by_fingerprint, snapshot->certificate_count, sizeof(struct certificate *),
          compare_fingerprints);
    snapshot->front = snapshot->by_default ? snapshot->by_default->context : NULL;
    if (snapshot->front)
        SSL_CTX_up_ref(snapshot->front);
    else
        snapshot->front = make_context(snapshot->tls);
}

/* Reads one source, unless it is as it was; what cannot be read stays as it was. */
static struct certificate *load_source(struct snapshot *before, const struct tls_source *source,
                                       bool *read, struct buffer *problem)
{
    struct certificate *known = find_path(before, source->certificate_path), *certificate = NULL;

    *read = false;
    if (known && !source->anew && source->stamp && known->stamp == source->stamp)
        return known;
    if (certificate_read(source, make_context(before->tls), &certificate, problem) != ERROR_NONE)
        return known;
    *read = true;
    if (known)
        certificate_release(known);
    return certificate;
}

size_t tls_load(struct tls *tls, const struct tls_source *sources, size_t source_count,
                void (*on_problem)(const struct tls_source *source, const char *sentence,
                                   void *context),
                void *context)
{
    struct snapshot *before = present(tls), *snapshot;
    size_t problems = 0;
    struct buffer problem;

    REQUIRE(source_count <= TLS_MAX_CERTIFICATES);
    snapshot = new_snapshot(tls, source_count);
    buffer_init(&problem, PROBLEM_MAX_BYTES);
    for (size_t i = 0; i < source_count; i++) {
        struct certificate *certificate;
        bool read;

        buffer_clear(&problem);
        certificate = load_source(before, &sources[i], &read, &problem);
        if (problem.length) {
            problems++;
            on_problem(&sources[i], problem.data, context);
        }
        if (!certificate)
            continue;
        snapshot->read[snapshot->certificate_count] = read;
        snapshot->certificates[snapshot->certificate_count++] = certificate;
        if (sources[i].is_default)
            snapshot->by_default = certificate;
    }
    buffer_release(&problem);
    finish_snapshot(snapshot);
    release_snapshot(before);
    publish(tls, snapshot);
    return problems;
}

void tls_each_certificate(struct tls *tls,
                          void (*visit)(const struct tls_certificate *certificate, void *context),
                          void *context)
{
    struct snapshot *snapshot = present(tls);

    for (size_t i = 0; i < snapshot->certificate_count; i++) {
        struct tls_certificate facts = snapshot->certificates[i]->facts;

        facts.is_new = snapshot->read[i];
        visit(&facts, context);
    }
    release_snapshot(snapshot);
}

void tls_thread_begin(struct tls *tls, tls_choose choose, void *context)
{
    REQUIRE(!here.tls);
    here = (struct thread){.tls = tls, .choose = choose, .context = context};
    here.snapshot = take_present(tls, &here.load);
}

void tls_thread_end(void)
{
    release_snapshot(here.snapshot);
    here = (struct thread){0};
}

uint64_t tls_count(const struct tls *tls, enum tls_result result)
{
    return atomic_load_explicit(&tls->results[result], memory_order_relaxed);
}

struct tls *tls_new(void)
{
    struct tls *tls = calloc(1, sizeof(*tls));

    REQUIRE(tls && pthread_mutex_init(&tls->mutex, NULL) == 0);
    pthread_once(&index_once, make_index);
    tls->tickets = tickets_new();
    tls->present = new_snapshot(tls, 0);
    finish_snapshot(tls->present);
    return tls;
}

void tls_free(struct tls *tls)
{
    if (!tls)
        return;
    REQUIRE(atomic_load(&tls->present->references) == 1);
    release_snapshot(tls->present);
    tickets_free(tls->tickets);
    tls_clients_free(tls->clients);
    pthread_mutex_destroy(&tls->mutex);
    free(tls);
}

/* ---- clients ---- */

enum error tls_ask_clients(struct tls *tls, const char *authorities_path, bool required,
                           struct buffer *problem)
{
    struct tls_clients *clients = NULL;
    enum error error = tls_clients_read(authorities_path, required, &clients, problem);

    if (error != ERROR_NONE)
        return error;
    tls_clients_free(tls->clients);
    tls->clients = clients;
    return ERROR_NONE;
}

void tls_tell_refusals(struct tls *tls,
                       void (*on_refused)(struct view peer_address, const char *reason,
                                          void *context),
                       void *context)
{
    tls->on_refused = on_refused;
    tls->refused_context = context;
}

bool tls_session_welcome(const struct ssl_st *ssl)
{
    struct snapshot *now = present(session_of(ssl)->snapshot->tls);
    bool welcome = tls_clients_welcome(ssl, now->front);

    release_snapshot(now);
    return welcome;
}

/* ---- sessions ---- */

struct ssl_st *tls_session_new(struct tls *tls)
{
    struct session *session = calloc(1, sizeof(*session));
    SSL *ssl;

    REQUIRE(session);
    session->snapshot = present(tls);
    ssl = SSL_new(session->snapshot->front);
    REQUIRE(ssl && SSL_set_ex_data(ssl, session_index, session) == 1);
    SSL_set_accept_state(ssl);
    return ssl;
}

bool tls_session_ready(const struct ssl_st *ssl)
{
    return session_of(ssl)->done;
}

bool tls_session_shakes_hands(const struct ssl_st *ssl)
{
    return !tls_session_ready(ssl) && (SSL_get_state(ssl) != TLS_ST_BEFORE || SSL_has_pending(ssl));
}

bool tls_session_holds_bytes(const struct ssl_st *ssl)
{
    return SSL_has_pending(ssl) == 1;
}

const char *tls_session_version(const struct ssl_st *ssl)
{
    return SSL_get_version(ssl);
}

const char *tls_session_cipher(const struct ssl_st *ssl)
{
    return SSL_CIPHER_get_name(SSL_get_current_cipher(ssl));
}

void tls_session_say_end(struct ssl_st *ssl)
{
    if (!tls_session_ready(ssl) || SSL_in_init(ssl))
        return;
    (void)SSL_shutdown(ssl); /* a peer that cannot take it any more has its end anyway */
    ERR_clear_error();
}

void tls_session_count_end(struct ssl_st *ssl, bool timed_out, unsigned long openssl_error,
                           struct view peer_address)
{
    struct tls *tls = session_of(ssl)->snapshot->tls;

    if (tls_session_ready(ssl))
        return;
    if (timed_out)
        count(tls, TLS_TIMED_OUT);
    else
        count(tls, openssl_error ? TLS_REFUSED : TLS_LEFT);
    if (openssl_error && !timed_out && tls->on_refused)
        tls->on_refused(peer_address, tls_clients_reason(ssl, openssl_error), tls->refused_context);
}
