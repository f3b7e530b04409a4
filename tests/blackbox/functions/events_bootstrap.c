/* A streaming function in C, small enough to run a thousand times at once: server-sent events through the Runtime API. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUFFER_BYTES 65536
#define MILLISECOND  1000000LL

static int api = -1;
static char address[64];
static char in[BUFFER_BYTES];
static size_t have;

static _Noreturn void give_up(const char *what)
{
    perror(what);
    exit(1);
}

static void dial(void)
{
    struct sockaddr_in peer = {.sin_family = AF_INET};
    char *colon;
    int on = 1;

    snprintf(address, sizeof address, "%s", getenv("AWS_LAMBDA_RUNTIME_API"));
    colon = strchr(address, ':');
    *colon = '\0';
    peer.sin_port = htons((uint16_t)atoi(colon + 1));
    inet_pton(AF_INET, address, &peer.sin_addr);
    api = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (api < 0 || connect(api, (struct sockaddr *)&peer, sizeof peer) != 0)
        give_up("connect");
    setsockopt(api, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void send_all(const char *data, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(api, data, length, MSG_NOSIGNAL);

        if (sent <= 0)
            give_up("send");
        data += sent;
        length -= (size_t)sent;
    }
}

static void send_format(const char *format, ...)
{
    char text[1024];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    send_all(text, (size_t)length);
}

static void send_chunk(const char *data, size_t length)
{
    char text[512];
    int start = snprintf(text, sizeof text, "%zx\r\n", length);

    memcpy(text + start, data, length);
    memcpy(text + start + length, "\r\n", 2);
    send_all(text, (size_t)start + length + 2);
}

/* One whole answer of the Runtime API into `in`, NUL-ended; gives where its body begins. */
static char *receive(void)
{
    char *body = NULL, *length = NULL;

    have = 0;
    in[0] = '\0';
    for (;;) {
        ssize_t got;

        if (!body && (body = strstr(in, "\r\n\r\n"))) {
            *body = '\0';
            length = strcasestr(in, "\r\nContent-Length:");
            body += 4;
        }
        if (body && in + have >= body + (length ? atol(length + 17) : 0))
            return body;
        got = recv(api, in + have, sizeof in - 1 - have, 0);
        if (got <= 0)
            exit(0); /* the sandbox is being ended */
        have += (size_t)got;
        in[have] = '\0';
    }
}

static long parameter(const char *event, const char *name, long otherwise)
{
    const char *query = strstr(event, "\"rawQueryString\":\"");
    const char *at = query ? strstr(query, name) : NULL;

    return at ? atol(at + strlen(name)) : otherwise;
}

/* The parameter `stop` is a file; the events end when it is there. */
static void find_stop(const char *event, char *path, size_t size)
{
    const char *query = strstr(event, "\"rawQueryString\":\"");
    const char *at = query ? strstr(query, "stop=") : NULL;

    snprintf(path, size, "%.*s", at ? (int)strcspn(at + 5, "&\"") : 0, at ? at + 5 : "");
}

static long long now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 * MILLISECOND + now.tv_nsec;
}

static void sleep_until(long long when_ns)
{
    struct timespec when = {when_ns / (1000 * MILLISECOND), when_ns % (1000 * MILLISECOND)};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) != 0)
        ;
}

/* Event n says when it was written, by a clock that all processes of the machine share. */
static void send_events(long count, long interval_ms, const char *stop)
{
    static const char prelude[] =
        "{\"statusCode\":200,\"headers\":{\"content-type\":\"text/event-stream\"}}\0\0\0\0\0\0\0";
    long long started = now_ns();
    char text[128];

    send_chunk(prelude, sizeof prelude); /* with eight NULs */
    for (long n = 0; n < count && (!*stop || access(stop, F_OK) != 0); n++) {
        int length = snprintf(text, sizeof text, "id: %ld\ndata: %lld\n\n", n, now_ns() / 1000);

        send_chunk(text, (size_t)length);
        sleep_until(started + (n + 1) * interval_ms * MILLISECOND);
    }
    send_all("0\r\n\r\n", 5);
}

int main(void)
{
    dial();
    for (;;) {
        char id[64] = "", *body, *header;
        char stop[256];
        long count, interval_ms;

        send_format("GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: %s\r\n\r\n",
                    address);
        body = receive();
        header = strcasestr(in, "\r\nLambda-Runtime-Aws-Request-Id:");
        if (!header || sscanf(strchr(header, ':') + 1, " %63s", id) != 1)
            give_up("no request id");
        count = parameter(body, "count=", 1);
        interval_ms = parameter(body, "interval_ms=", 0);
        find_stop(body, stop, sizeof stop);
        send_format("POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: %s\r\n"
                    "Content-Type: application/vnd.awslambda.http-integration-response\r\n"
                    "Lambda-Runtime-Function-Response-Mode: streaming\r\n"
                    "Transfer-Encoding: chunked\r\n\r\n",
                    id, address);
        send_events(count, interval_ms, stop);
        receive();
    }
}
