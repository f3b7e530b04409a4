/* Dresses libcurl's easy handles for calls, and takes in what they bring. */
#include "common/net/header_lines.h"
#include "common/net/syntax.h"
#include "common/net/outgoing_call.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

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

/* The next bytes of a body that is made as it goes out. */
static size_t on_read(char *out, size_t size, size_t count, void *context)
{
    struct outgoing_call *call = context;
    uint64_t left = call->request.body_length - call->body_read;
    size_t room = size * count, got = 0;

    if (left == 0)
        return 0;
    if (call->outgoing->dying || call->state != CALL_RUNNING)
        return CURL_READFUNC_ABORT;
    if (room > left)
        room = (size_t)left;
    got = call->request.read_body(call->body_read, out, room, call->request.context);
    REQUIRE(got <= room);
    call->body_read += got;
    return got ? got : CURL_READFUNC_ABORT;
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
    curl_easy_setopt(easy, CURLOPT_SHARE, outgoing->share);
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
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
    return easy;
}

static void easy_method(CURL *easy, const struct outgoing_request *request)
{
    curl_easy_setopt(easy, CURLOPT_NOBODY, 0L);
    if (request->read_body) {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, NULL);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_length);
    } else if (request->has_body) {
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
    curl_easy_setopt(easy, CURLOPT_REQUEST_TARGET, request->target);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->deadline_ms);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, request->fresh_connection ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->reason);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, call);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_READDATA, call);
}

bool outgoing_dress(struct outgoing_call *call)
{
    struct outgoing *outgoing = call->outgoing;
    const char *target = call->request.target;
    bool lawful = headers_make(call) && (!target || syntax_is_target(view_of(target)));

    call->easy =
        outgoing->idle_count ? outgoing->idle[--outgoing->idle_count] : easy_make(outgoing);
    easy_prepare(call->easy, call);
    /* libcurl copies the URL; what it cannot read fails here already. */
    return lawful && curl_easy_setopt(call->easy, CURLOPT_URL, call->request.url) == CURLE_OK;
}

void outgoing_undress(struct outgoing_call *call)
{
    struct outgoing *outgoing = call->outgoing;

    curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, NULL);
    curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, NULL);
    curl_easy_setopt(call->easy, CURLOPT_ERRORBUFFER, NULL);
    if (outgoing->idle_count < MAX_IDLE_EASY)
        outgoing->idle[outgoing->idle_count++] = call->easy;
    else
        curl_easy_cleanup(call->easy);
    call->easy = NULL;
}
