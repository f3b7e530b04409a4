/* Sends requests through libcurl's multi interface on a libevent loop, each at most once. */
#include "common/net/outgoing.h"

#include "common/net/answer.h"
#include "common/net/header_lines.h"
#include "common/net/sockets.h"

#include <curl/curl.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#define MAX_IDLE_EASY   256 /* easy handles kept for reuse; they hold the TLS session caches */
#define DEFAULT_CA_FILE "/etc/ssl/certs/ca-certificates.crt"

enum call_state {
    CALL_WAITING,   /* handed in from inside a libcurl callback: starts with the pump */
    CALL_RUNNING,   /* libcurl has it */
    CALL_CANCELLED, /* from inside a libcurl callback: removed by the pump */
    CALL_DONE,      /* its on_done is due */
    CALL_TELLING,   /* inside its on_done */
};

struct outgoing_call {
    struct outgoing *outgoing;
    enum call_state state;
    bool in_work; /* on the work list: to start, to remove or to resume */
    TAILQ_ENTRY(outgoing_call) all, work;
    CURL *easy;
    char **lines;
    struct curl_slist *headers;      /* an array of nodes that point to the lines */
    struct outgoing_request request; /* its headers are copied into the lines */
    struct socket_user user;
    bool too_big, paused, sent; /* sent: a connection was there, the request went out on it */
    struct answer_head head;
    struct buffer body;
    size_t held; /* of it, as the budget knows */
    struct outgoing_result result;
    char reason[CURL_ERROR_SIZE];
};

TAILQ_HEAD(call_list, outgoing_call);

struct outgoing {
    struct outgoing_options options;
    char *ca_file, *user_agent;
    CURLM *multi;
    struct event *timer, *pump;
    struct sockets *sockets;
    struct call_list calls, work, done;
    unsigned active;
    CURL *idle[MAX_IDLE_EASY];
    size_t idle_count;
    bool inside;  /* in a call of libcurl's: its multi handle must not be touched from callbacks */
    bool telling; /* in deliver() */
    bool dying;   /* freed from inside a callback: ends when that is over */
};

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
    REQUIRE(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
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
    outgoing->timer = event_new(base, -1, 0, on_timer, outgoing);
    outgoing->pump = event_new(base, -1, 0, on_pump, outgoing);
    REQUIRE(outgoing->multi && outgoing->timer && outgoing->pump);
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

static curl_socket_t on_open(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct outgoing_call *call = context;
    const struct sockaddr_in *either = (const void *)&address->addr; /* the port lies as in v6 */
    int fd = -1;

    (void)purpose;
    if (!call->request.may_connect ||
        call->request.may_connect(&address->addr, call->request.context))
        fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (fd < 0)
        return CURL_SOCKET_BAD;
    sockets_opened(call->outgoing->sockets, fd, ntohs(either->sin_port), &call->user);
    return fd;
}

static int on_close(void *context, curl_socket_t fd)
{
    struct outgoing *outgoing = context;

    return sockets_close(outgoing->sockets, fd);
}

/* libcurl is about to write the request: note which connection it takes. Called a second time when
 * the connection died and libcurl would quietly send it again. */
static int on_about_to_send(void *context, char *peer, char *local, int peer_port, int local_port)
{
    struct outgoing_call *call = context;

    (void)peer, (void)local;
    if (call->sent || !sockets_carry(call->outgoing->sockets, (uint16_t)local_port,
                                     (uint16_t)peer_port, &call->user))
        return CURL_PREREQFUNC_ABORT;
    call->sent = true;
    return CURL_PREREQFUNC_OK;
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

static size_t on_head_line(char *data, size_t size, size_t count, void *context)
{
    struct outgoing_call *call = context;

    call->too_big |= !answer_head_line(&call->head, view_from(data, size * count));
    return call->too_big ? 0 : size * count;
}

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    struct outgoing_call *call = context;
    struct view bytes = {data, size * count};

    if (call->outgoing->dying || call->state != CALL_RUNNING)
        return 0;
    if (call->request.on_bytes && call->head.status >= 200 && call->head.status < 300) {
        if (call->paused)
            return CURL_WRITEFUNC_PAUSE;
        struct outgoing_result so_far = {
            .reach = OUTGOING_ANSWERED, .status = call->head.status, .reason = "", .call = call};
        if (!call->request.on_bytes(bytes, &so_far, call->request.context))
            call->paused = true;
        return call->outgoing->dying || call->state != CALL_RUNNING ? 0 : bytes.length;
    }
    if (!call->body.data) {
        curl_off_t expected = -1;
        curl_easy_getinfo(call->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &expected);
        if (expected > 0)
            buffer_reserve(&call->body, (size_t)expected);
    }
    buffer_append_view(&call->body, bytes);
    budget_hold(call->outgoing->options.budget, &call->held, call->body.capacity);
    call->too_big |= call->body.error != ERROR_NONE;
    return call->too_big ? 0 : bytes.length;
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

/* libcurl's list over our lines. "Name:" without a value takes a default of libcurl's away. */
static bool headers_make(struct outgoing_call *call)
{
    const struct outgoing_request *request = &call->request;
    static const char *const unwanted[] = {"Expect:", "Accept:", "Content-Type:"};
    size_t count = request->header_count, nodes = count + 3;

    call->lines = header_lines_make(request->headers, count);
    call->headers = calloc(nodes, sizeof *call->headers);
    REQUIRE(call->headers != NULL);
    if (!call->lines)
        return false;
    for (size_t i = 0; i < count; i++) {
        call->headers[i].data = call->lines[i];
        if (view_equal_nocase(request->headers[i].name, VIEW("Content-Type")))
            nodes = count + 2;
    }
    for (size_t i = count; i < nodes; i++)
        call->headers[i].data = (char *)(uintptr_t)unwanted[i - count];
    for (size_t i = 0; i + 1 < nodes; i++)
        call->headers[i].next = &call->headers[i + 1];
    return true;
}

/* What is the same for all requests. */
static CURL *easy_make(struct outgoing *outgoing)
{
    const struct outgoing_options *o = &outgoing->options;
    CURL *easy = curl_easy_init();

    REQUIRE(easy != NULL);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                     (long)(o->http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, o->http2 ? 1L : 0L); /* for a place on one */
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 65536L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* never wait for a resolver's thread */
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)o->connect_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)((o->max_idle_ms + 999) / 1000));
    curl_easy_setopt(easy, CURLOPT_MAXLIFETIME_CONN, (long)((o->max_lifetime_ms + 999) / 1000));
    curl_easy_setopt(easy, CURLOPT_USERAGENT, outgoing->user_agent);
    /* With a CAPATH set libcurl reads the whole bundle again for each connection: 16 ms. */
    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(easy, CURLOPT_CAINFO, outgoing->ca_file);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, outgoing);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_about_to_send);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_head_line);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    return easy;
}

static void easy_method(CURL *easy, const struct outgoing_request *request)
{
    curl_easy_setopt(easy, CURLOPT_NOBODY, 0L);
    if (request->has_body) {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.length);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body.data ? request->body.data : "");
    } else if (strcmp(request->method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else {
        curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    }
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static void easy_prepare(CURL *easy, struct outgoing_call *call)
{
    const struct outgoing_request *request = &call->request;

    easy_method(easy, request);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->deadline_ms);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, request->fresh_connection ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->reason);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, call);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
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
    bool lawful = headers_make(call);
    call->easy =
        outgoing->idle_count ? outgoing->idle[--outgoing->idle_count] : easy_make(outgoing);
    easy_prepare(call->easy, call);
    /* libcurl copies the URL; what it cannot read fails here already. */
    if (!lawful || curl_easy_setopt(call->easy, CURLOPT_URL, request->url) != CURLE_OK) {
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
    curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, NULL);
    curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, NULL);
    curl_easy_setopt(call->easy, CURLOPT_ERRORBUFFER, NULL);
    if (outgoing->idle_count < MAX_IDLE_EASY)
        outgoing->idle[outgoing->idle_count++] = call->easy;
    else
        curl_easy_cleanup(call->easy);
    call->easy = NULL;
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
