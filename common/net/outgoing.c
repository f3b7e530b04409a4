/* Sends requests through libcurl's multi interface on a libevent loop, each at most once. */
#include "common/net/outgoing.h"

#include "common/base/memory.h"
#include "common/net/outgoing_call.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>

#define DEFAULT_CA_FILE "/etc/ssl/certs/ca-certificates.crt"

static void on_timer(evutil_socket_t fd, short events, void *context);
static void on_pump(evutil_socket_t fd, short events, void *context);
static int on_curl_timer(CURLM *multi, long timeout_ms, void *context);
static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *assigned);
static void on_socket_event(int fd, bool readable, bool writable, void *context);
static void call_start(struct outgoing_call *call);
static void call_complete(struct outgoing_call *call, CURLcode code);
static void call_detach(struct outgoing_call *call);
static void call_free(struct outgoing_call *call);
static void outgoing_end(struct outgoing *outgoing);

static void start_curl(void)
{
    REQUIRE(curl_global_init_mem(CURL_GLOBAL_DEFAULT, memory_get, memory_release, memory_resize,
                                 memory_duplicate, memory_get_zeroed) == CURLE_OK);
}

static int64_t or_default(int64_t value, int64_t otherwise)
{
    return value > 0 ? value : otherwise;
}

struct outgoing *outgoing_new(struct event_base *base, const struct outgoing_options *options)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct outgoing *outgoing = calloc(1, sizeof *outgoing);

    REQUIRE(outgoing != NULL);
    pthread_once(&once, start_curl);
    outgoing->options = options ? *options : (struct outgoing_options){0};
    struct outgoing_options *o = &outgoing->options;
    o->max_connections = (unsigned)or_default(o->max_connections, 1024);
    o->connect_timeout_ms = or_default(o->connect_timeout_ms, 3000);
    o->max_idle_ms = or_default(o->max_idle_ms, 60000);
    o->max_lifetime_ms = or_default(o->max_lifetime_ms, 600000);
    const char *built_in = curl_version_info(CURLVERSION_NOW)->cainfo;
    const char *ca_file = o->ca_file ? o->ca_file : built_in ? built_in : DEFAULT_CA_FILE;
    outgoing->ca_file = view_duplicate(view_of(ca_file));
    outgoing->user_agent = o->user_agent ? view_duplicate(view_of(o->user_agent)) : NULL;
    TAILQ_INIT(&outgoing->calls);
    TAILQ_INIT(&outgoing->work);
    TAILQ_INIT(&outgoing->done);
    outgoing->sockets = sockets_new(base, on_socket_event, outgoing, o->http2);
    outgoing->multi = curl_multi_init();
    outgoing->share = curl_share_init();
    outgoing->timer = event_new(base, -1, 0, on_timer, outgoing);
    outgoing->pump = event_new(base, -1, 0, on_pump, outgoing);
    REQUIRE(outgoing->multi && outgoing->share && outgoing->timer && outgoing->pump);
    curl_share_setopt(outgoing->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    curl_multi_setopt(outgoing->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    curl_multi_setopt(outgoing->multi, CURLMOPT_SOCKETDATA, outgoing);
    curl_multi_setopt(outgoing->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    curl_multi_setopt(outgoing->multi, CURLMOPT_TIMERDATA, outgoing);
    /* The default is four times the calls of the moment: the pool would shrink with each lull. */
    curl_multi_setopt(outgoing->multi, CURLMOPT_MAXCONNECTS, (long)o->max_connections);
    return outgoing;
}

void outgoing_free(struct outgoing *outgoing)
{
    if (!outgoing)
        return;
    outgoing->dying = true;
    if (!outgoing->inside && !outgoing->telling)
        outgoing_end(outgoing);
}

static void outgoing_end(struct outgoing *outgoing)
{
    struct outgoing_call *call;

    while ((call = TAILQ_FIRST(&outgoing->calls)) != NULL) {
        call_detach(call);
        call_free(call);
    }
    while (outgoing->idle_count > 0)
        curl_easy_cleanup(outgoing->idle[--outgoing->idle_count]);
    outgoing->inside = true;
    curl_multi_cleanup(outgoing->multi);
    curl_share_cleanup(outgoing->share);
    sockets_free(outgoing->sockets);
    event_free(outgoing->timer);
    event_free(outgoing->pump);
    free(outgoing->ca_file);
    free(outgoing->user_agent);
    free(outgoing);
}

unsigned outgoing_active(const struct outgoing *outgoing)
{
    return outgoing->active;
}

unsigned outgoing_connections(const struct outgoing *outgoing)
{
    return sockets_count(outgoing->sockets);
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *assigned)
{
    struct outgoing *outgoing = context;

    (void)easy, (void)assigned;
    if (what == CURL_POLL_REMOVE)
        sockets_idle(outgoing->sockets, fd);
    else
        sockets_want(outgoing->sockets, fd, what & CURL_POLL_IN, what & CURL_POLL_OUT);
    return 0;
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *context)
{
    struct outgoing *outgoing = context;

    (void)multi;
    if (timeout_ms < 0) {
        event_del(outgoing->timer);
    } else if (timeout_ms == 0) {
        event_active(outgoing->timer, EV_TIMEOUT, 0);
    } else {
        struct timeval delay = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
        event_add(outgoing->timer, &delay);
    }
    return 0;
}

/* Hands finished calls to their owners, outside of libcurl. */
static void deliver(struct outgoing *outgoing)
{
    struct outgoing_call *call;

    if (outgoing->telling)
        return;
    outgoing->telling = true;
    while (!outgoing->dying && (call = TAILQ_FIRST(&outgoing->done)) != NULL) {
        TAILQ_REMOVE(&outgoing->done, call, work);
        call->in_work = false;
        call->state = CALL_TELLING;
        call->request.on_done(&call->result, call->request.context);
        call_free(call);
    }
    outgoing->telling = false;
}

static void run_curl(struct outgoing *outgoing, curl_socket_t fd, int flags)
{
    int running = 0, left = 0;
    CURLMsg *message;

    outgoing->inside = true;
    curl_multi_socket_action(outgoing->multi, fd, flags, &running);
    outgoing->inside = false;
    while (!outgoing->dying && (message = curl_multi_info_read(outgoing->multi, &left)) != NULL) {
        char *call = NULL;
        CURLcode code = message->data.result; /* the message dies with the handle's removal */
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
        if (message->msg == CURLMSG_DONE && ((struct outgoing_call *)call)->state == CALL_RUNNING)
            call_complete((struct outgoing_call *)call, code);
    }
    deliver(outgoing);
    if (outgoing->dying)
        outgoing_end(outgoing);
}

static void on_timer(evutil_socket_t fd, short events, void *context)
{
    (void)fd, (void)events;
    run_curl(context, CURL_SOCKET_TIMEOUT, 0);
}

static void on_socket_event(int fd, bool readable, bool writable, void *context)
{
    run_curl(context, fd, (readable ? CURL_CSELECT_IN : 0) | (writable ? CURL_CSELECT_OUT : 0));
}

/* What callbacks of libcurl's asked for and could not be done there. */
static void on_pump(evutil_socket_t fd, short events, void *context)
{
    struct outgoing *outgoing = context;
    struct outgoing_call *call;

    (void)fd, (void)events;
    while (!outgoing->dying && (call = TAILQ_FIRST(&outgoing->work)) != NULL) {
        TAILQ_REMOVE(&outgoing->work, call, work);
        call->in_work = false;
        if (call->state == CALL_WAITING) {
            call_start(call);
        } else if (call->state == CALL_CANCELLED) {
            call_detach(call);
            call_free(call);
        } else if (call->state == CALL_RUNNING) {
            outgoing_resume(call);
        }
    }
    deliver(outgoing);
    if (outgoing->dying)
        outgoing_end(outgoing);
}

static void call_defer(struct outgoing_call *call)
{
    if (!call->in_work)
        TAILQ_INSERT_TAIL(&call->outgoing->work, call, work);
    call->in_work = true;
    event_active(call->outgoing->pump, EV_TIMEOUT, 0);
}

static enum error error_of(const struct outgoing_call *call, CURLcode code, int64_t elapsed_ms)
{
    if (code == CURLE_OK) /* also when the peer closed in the middle of the head */
        return call->head.complete ? ERROR_NONE : ERROR_BROKEN;
    if (call->too_big)
        return ERROR_TOO_BIG;
    if (!call->sent && (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL))
        return ERROR_INVALID;
    if (code == CURLE_OPERATION_TIMEDOUT &&
        (call->sent || (call->request.deadline_ms > 0 && elapsed_ms >= call->request.deadline_ms)))
        return ERROR_TIMEOUT;
    return call->sent || call->user.refused ? ERROR_BROKEN : ERROR_UNREACHABLE;
}

static enum outgoing_reach reach_of(const struct outgoing_call *call)
{
    if (call->head.seen)
        return OUTGOING_ANSWERED;
    if (!call->sent || (call->result.error == ERROR_BROKEN && call->user.untouched))
        return OUTGOING_NOT_SENT;
    return OUTGOING_MAYBE;
}

static void call_complete(struct outgoing_call *call, CURLcode code)
{
    struct outgoing_result *result = &call->result;
    curl_off_t total_us = 0, first_us = 0, connect_us = 0, tls_us = 0;
    long connects = 0;

    if (call->easy) {
        curl_easy_getinfo(call->easy, CURLINFO_TOTAL_TIME_T, &total_us);
        curl_easy_getinfo(call->easy, CURLINFO_STARTTRANSFER_TIME_T, &first_us);
        curl_easy_getinfo(call->easy, CURLINFO_CONNECT_TIME_T, &connect_us);
        curl_easy_getinfo(call->easy, CURLINFO_APPCONNECT_TIME_T, &tls_us);
        curl_easy_getinfo(call->easy, CURLINFO_NUM_CONNECTS, &connects);
    }
    result->error = error_of(call, code, (int64_t)(total_us / 1000));
    result->total_us = (uint64_t)total_us;
    result->first_byte_us = (uint64_t)first_us;
    if (connects > 0)
        result->connected_us = (uint64_t)(tls_us > connect_us ? tls_us : connect_us);
    call_detach(call); /* closes what is half done, which tells how far it came */
    result->reach = reach_of(call);
    result->status = call->head.status;
    result->body = buffer_view(&call->body);
    result->reason = call->reason[0] ? call->reason : curl_easy_strerror(code);
    result->call = call;
    call->state = CALL_DONE;
    if (call->in_work) /* it was to be resumed, and has ended meanwhile */
        TAILQ_REMOVE(&call->outgoing->work, call, work);
    TAILQ_INSERT_TAIL(&call->outgoing->done, call, work);
    call->in_work = true;
}

bool outgoing_header(const struct outgoing_call *call, const char *name, struct view *value)
{
    return answer_head_find(&call->head, name, value);
}

char *outgoing_take_body(const struct outgoing_result *result, size_t *length)
{
    /* The result is the callee's to read; the call behind it is ours. */
    return buffer_take(&((struct outgoing_call *)(uintptr_t)result->call)->body, length);
}

struct outgoing_call *outgoing_send(struct outgoing *outgoing,
                                    const struct outgoing_request *request)
{
    struct outgoing_call *call = calloc(1, sizeof *call);

    REQUIRE(call != NULL && request->on_done && !outgoing->dying);
    call->outgoing = outgoing;
    call->request = *request;
    answer_head_init(&call->head);
    buffer_init(&call->body, request->max_answer_bytes);
    TAILQ_INSERT_TAIL(&outgoing->calls, call, all);
    outgoing->active++;
    if (!outgoing_dress(call)) {
        call_complete(call, CURLE_URL_MALFORMAT);
        event_active(outgoing->pump, EV_TIMEOUT, 0);
    } else if (outgoing->inside) {
        call_defer(call);
    } else {
        call_start(call);
    }
    return call;
}

static void call_start(struct outgoing_call *call)
{
    struct outgoing *outgoing = call->outgoing;

    call->state = CALL_RUNNING;
    outgoing->inside = true;
    CURLMcode code = curl_multi_add_handle(outgoing->multi, call->easy);
    outgoing->inside = false;
    REQUIRE(code == CURLM_OK);
}

/* Takes the call out of libcurl. What is under way is cut. */
static void call_detach(struct outgoing_call *call)
{
    struct outgoing *outgoing = call->outgoing;

    if (!call->easy)
        return;
    outgoing->inside = true;
    if (call->state == CALL_RUNNING || call->state == CALL_CANCELLED)
        curl_multi_remove_handle(outgoing->multi, call->easy);
    outgoing->inside = false;
    socket_user_release(&call->user);
    outgoing_undress(call);
}

static void call_free(struct outgoing_call *call)
{
    struct outgoing *outgoing = call->outgoing;

    if (call->in_work)
        TAILQ_REMOVE(call->state == CALL_DONE ? &outgoing->done : &outgoing->work, call, work);
    TAILQ_REMOVE(&outgoing->calls, call, all);
    outgoing->active--;
    answer_head_release(&call->head);
    buffer_release(&call->body);
    budget_hold(outgoing->options.budget, &call->held, 0);
    free(call->headers);
    free(call->lines);
    free(call);
}

void outgoing_cancel(struct outgoing_call *call)
{
    if (call->state == CALL_TELLING)
        return;
    if (call->outgoing->inside && call->state == CALL_RUNNING) {
        call->state = CALL_CANCELLED;
        call_defer(call);
    } else if (call->state != CALL_CANCELLED) {
        call_detach(call);
        call_free(call);
    }
}

void outgoing_resume(struct outgoing_call *call)
{
    struct outgoing *outgoing = call->outgoing;

    if (call->state != CALL_RUNNING)
        return;
    call->paused = false;
    if (outgoing->inside) {
        call_defer(call);
        return;
    }
    /* May hand over bytes that libcurl holds back: on_bytes is called from in here. */
    outgoing->inside = true;
    curl_easy_pause(call->easy, CURLPAUSE_CONT);
    outgoing->inside = false;
    if (outgoing->dying)
        event_active(outgoing->pump, EV_TIMEOUT, 0);
}
