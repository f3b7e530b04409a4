/* Takes a domain's certificate from a call: checks it, has it written, and seals it into the commit. */
#include "managerd/domain_tls.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/net/tls_pair.h"
#include "managerd/certificates.h"
#include "managerd/jobs.h"

#include <stdlib.h>
#include <string.h>

#define FAULTS_KEPT 12

/* The call's data: one certificate on its way in, or out. */
struct work {
    bool brings; /* else one goes, and there is nothing below */
    struct certificates *certificates;
    struct tls_pair_wish wish; /* looks into the call's body */
    struct tls_pair pair;
    struct {
        enum tls_pair_part part;
        char *sentence;
    } faults[FAULTS_KEPT];
    size_t fault_count;
    bool checked, told, held, written;
};

static void free_work(void *data)
{
    struct work *work = data;
    if (work->held)
        certificates_let_go(work->certificates, work->pair.fingerprint);
    if (!work->brings)
        certificates_changed(work->certificates); /* now that the commit is over */
    for (size_t i = 0; i < work->fault_count; i++)
        free(work->faults[i].sentence);
    tls_pair_release(&work->pair);
    free(work);
}

/* Once more, on what is there now. */
static void run_again(struct call *call)
{
    enum progress verdict = call->endpoint->act(call);
    if (verdict != PROGRESS_WAIT)
        call_resume(call, verdict);
}

/* ---- checking ---- */

static void note_fault(enum tls_pair_part part, const char *sentence, void *context)
{
    struct work *work = context;
    if (work->fault_count == FAULTS_KEPT)
        return;
    work->faults[work->fault_count].part = part;
    work->faults[work->fault_count++].sentence = view_duplicate(view_of(sentence));
}

static void run_check(void *context)
{
    struct call *call = context;
    struct work *work = call->data;
    work->checked = tls_pair_check(&work->wish, &work->pair, note_fault, work);
}

static void on_checked(void *context)
{
    run_again(context);
}

static struct work *work_of(struct call *call, bool brings)
{
    struct work *work = call->data ? call->data : calloc(1, sizeof *work);
    REQUIRE(work);
    work->brings = brings;
    work->certificates = call->server->certificates;
    call->data = work;
    call->free_data = free_work;
    return work;
}

static enum progress start_check(struct call *call, struct view certificate, struct view key)
{
    struct work *work = work_of(call, true);
    work->wish = (struct tls_pair_wish){.certificate_pem = certificate,
                                        .key_pem = key,
                                        .host = call->parameters.values[0],
                                        .now_s = clock_wall_ms() / 1000};
    jobs_submit(call->server->pool, run_check, on_checked, call);
    return PROGRESS_WAIT;
}

static enum progress tell_faults(struct call *call, struct work *work)
{
    static const char *const pointers[] = {
        [TLS_PAIR_CERTIFICATE] = "/tls/certificatePem", [TLS_PAIR_KEY] = "/tls/privateKeyPem"};
    for (size_t i = 0; i < work->fault_count && !work->told; i++)
        fault_pointer(&call->faults, pointers[work->faults[i].part], "%s",
                      work->faults[i].sentence);
    work->told = true;
    return PROGRESS_NEXT;
}

enum progress domain_tls_check(struct call *call, const struct json *present)
{
    const struct json *tls = json_get(call->body, "tls");
    struct view certificate = VIEW(""), key = VIEW("");
    if (call->data)
        return tell_faults(call, call->data);
    if (json_type_of(tls) != JSON_OBJECT)
        return PROGRESS_NEXT;
    bool has_certificate = json_get_string(tls, "certificatePem", &certificate);
    bool has_key = json_get_string(tls, "privateKeyPem", &key);
    bool has_one = json_type_of(json_get(present, "tls")) == JSON_OBJECT;
    if (has_certificate && has_key && (has_one || !certificates_full(call->server->certificates)))
        return start_check(call, certificate, key);
    if (has_certificate && has_key)
        fault_pointer(&call->faults, "/tls",
                      "is one too many: %d domains have certificates of their own already",
                      CERTIFICATES_MAX);
    else if (has_certificate)
        fault_pointer(&call->faults, "/tls/privateKeyPem", "is required with certificatePem");
    else if (has_key)
        fault_pointer(&call->faults, "/tls/certificatePem", "is required with privateKeyPem");
    else if (!has_one)
        fault_pointer(&call->faults, "/tls",
                      "needs certificatePem and privateKeyPem: the domain has no certificate that "
                      "could stay");
    return PROGRESS_NEXT;
}

/* ---- writing ---- */

static void on_written(enum error error, void *context)
{
    struct call *call = context;
    struct work *work = call->data;
    work->written = true;
    if (error)
        call_resume(call, call_fail_error(call, error));
    else
        run_again(call);
}

enum progress domain_tls_write(struct call *call)
{
    struct work *work = call->data;
    if (!work || !work->brings || work->written)
        return PROGRESS_NEXT;
    work->held = true;
    certificates_write(work->certificates, work->pair.fingerprint, buffer_view(&work->pair.pem),
                       on_written, call);
    return PROGRESS_WAIT;
}

/* ---- committing ---- */

static struct json *facts_of(const struct tls_pair *pair)
{
    struct json *tls = json_new_object(), *names = json_new_array();
    struct view rest = buffer_view(&pair->names), name;
    while (view_split(&rest, '\n', &name))
        if (name.length)
            json_append(names, json_new_string(name));
    json_set_string(tls, "subject", buffer_view(&pair->subject));
    json_set_string(tls, "issuer", buffer_view(&pair->issuer));
    json_set(tls, "names", names);
    json_set_string(tls, "keyType", view_of(pair->key_type));
    set_time(tls, "notBefore", pair->not_before_s * 1000);
    set_time(tls, "notAfter", pair->not_after_s * 1000);
    json_set_string(tls, "fingerprint", view_of(pair->fingerprint));
    return tls;
}

static void put_certificate(struct call *call, const struct work *work, struct json *domain)
{
    struct view host = call->parameters.values[0];
    struct key key = key_certificate(host);
    struct json *record = certificates_record(work->certificates, host, work->pair.fingerprint,
                                              work->pair.not_after_s, buffer_view(&work->pair.pem));
    change_put(&call->change, key.text, record);
    json_free(record);
    json_set(domain, "tls", facts_of(&work->pair));
    if (work->pair.not_after_s - clock_wall_ms() / 1000 <= CERTIFICATES_SOON_S)
        log_write(LOG_WARN, "certificate-ends-soon", LOG_VIEW("host", host),
                  LOG_STRING("fingerprint", work->pair.fingerprint),
                  LOG_INTEGER("notAfterS", work->pair.not_after_s));
}

void domain_tls_remove(struct call *call, const struct json *present)
{
    struct key key = key_certificate(call->parameters.values[0]);
    if (json_type_of(json_get(present, "tls")) != JSON_OBJECT)
        return;
    change_remove(&call->change, key.text);
    work_of(call, false);
}

void domain_tls_apply(struct call *call, const struct json *present, struct json *domain)
{
    const struct json *before = json_get(present, "tls"), *tls = json_get(call->body, "tls");
    const struct work *work = call->data;
    if (work && work->brings) {
        put_certificate(call, work, domain);
    } else if (tls && json_type_of(tls) == JSON_NULL) {
        domain_tls_remove(call, present);
    } else if (before) {
        json_set(domain, "tls", json_copy(before));
    }
}
