/* Proxies asked: all addresses of a name, those that stay silent, questions that nobody wants any more. */
#include "managerd/proxies.h"

#include <arpa/inet.h>
#include <event2/event.h>
#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

/* A resolver of our own: "many" lies at 127.0.0.1, 127.0.0.2 and ::1; nothing else has a place. */

static struct sockaddr_in addresses[2] = {{.sin_family = AF_INET}, {.sin_family = AF_INET}};
static struct sockaddr_in6 sixth = {.sin6_family = AF_INET6};
static struct addrinfo found[3];

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **result)
{
    (void)service;
    if (hints->ai_flags & AI_NUMERICHOST && inet_addr(name) != INADDR_NONE) {
        found[0] = (struct addrinfo){.ai_family = AF_INET,
                                     .ai_addr = (struct sockaddr *)&addresses[0],
                                     .ai_addrlen = sizeof addresses[0]};
        addresses[0].sin_addr.s_addr = inet_addr(name);
        *result = found;
        return 0;
    }
    if (hints->ai_flags & AI_NUMERICHOST || strcmp(name, "many") != 0)
        return EAI_NONAME;
    sixth.sin6_addr = in6addr_loopback;
    found[2] = (struct addrinfo){
        .ai_family = AF_INET6, .ai_addr = (struct sockaddr *)&sixth, .ai_addrlen = sizeof sixth};
    for (int i = 0; i < 2; i++) {
        addresses[i].sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)i);
        found[i] = (struct addrinfo){.ai_family = AF_INET,
                                     .ai_addr = (struct sockaddr *)&addresses[i],
                                     .ai_addrlen = sizeof addresses[i],
                                     .ai_next = &found[i + 1]};
    }
    *result = found;
    return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
    (void)list;
}

/* Peers that answer every connection with one text; NULL: they never answer. */

struct peer {
    int listener;
    const char *answer;
    pthread_t thread;
};

static void *serve(void *context)
{
    struct peer *peer = context;
    for (;;) {
        char request[4096], head[128];
        int fd = accept(peer->listener, NULL, NULL);
        if (fd < 0)
            return NULL;
        if (peer->answer && recv(fd, request, sizeof request, 0) > 0) {
            snprintf(head, sizeof head,
                     "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n",
                     strlen(peer->answer));
            (void)!send(fd, head, strlen(head), MSG_NOSIGNAL);
            (void)!send(fd, peer->answer, strlen(peer->answer), MSG_NOSIGNAL);
        } else {
            (void)!recv(fd, request, sizeof request, 0);
            (void)!recv(fd, request, sizeof request, 0); /* until the other side has had enough */
        }
        close(fd);
    }
}

/* Gives its port. */
static uint16_t listen_at(struct peer *peer, uint32_t host, uint16_t port, const char *answer)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(host)}};
    socklen_t length = sizeof address;
    peer->answer = answer;
    peer->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(peer->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(peer->listener, 16), 0);
    assert_int_equal(getsockname(peer->listener, (struct sockaddr *)&address, &length), 0);
    pthread_create(&peer->thread, NULL, serve, peer);
    return ntohs(address.sin_port);
}

static void end(struct peer *peer)
{
    shutdown(peer->listener, SHUT_RDWR);
    pthread_join(peer->thread, NULL);
    close(peer->listener);
}

#define ANSWER(start, calls)                                                                       \
    "{\"start\":\"" start "\",\"boundsMs\":[100],\"versions\":[{\"version\":2,\"calls\":" calls    \
    ",\"errors\":1,\"proxyErrors\":0,\"latency\":{\"counts\":[" calls ",0]}}]}"

static struct event_base *base;
static struct measure measure;
static bool done;

static void on_done(void *context)
{
    (void)context;
    done = true;
}

static void ask(struct proxies *proxies)
{
    done = false;
    assert_non_null(proxies_ask(proxies, VIEW("shop"), 2, &measure, on_done, NULL));
    assert_false(done); /* from the loop only */
    for (int i = 0; i < 5000 && !done; i++) {
        struct timeval little = {0, 2000};
        event_base_loopexit(base, &little);
        event_base_dispatch(base);
    }
    assert_true(done);
}

static struct proxies *proxies_at(const char *before, uint16_t port, const char *after)
{
    char list[128];
    snprintf(list, sizeof list, "%s%u%s", before, port, after);
    measure_begin(&measure);
    return proxies_new(base, view_of(list));
}

static void every_address_of_a_name_is_asked(void **state)
{
    struct peer peers[2];
    (void)state;
    uint16_t port = listen_at(&peers[0], INADDR_LOOPBACK, 0, ANSWER("a", "5"));
    listen_at(&peers[1], INADDR_LOOPBACK + 1, port, ANSWER("b", "7"));
    struct proxies *proxies = proxies_at("many:", port, "");
    for (unsigned round = 0; round < 2; round++) {
        ask(proxies);
        assert_int_equal(measure.answered, 2);
        assert_int_equal(measure.silent, 0);
        assert_int_equal(measure.process_count, 2);
    }
    proxies_free(proxies);
    end(&peers[0]);
    end(&peers[1]);
}

static void names_without_a_place_nonsense_and_silence_are_told(void **state)
{
    struct peer peers[2];
    char wanted[64];
    (void)state;
    struct proxies *proxies = proxies_at("nowhere:", 9080, "");
    ask(proxies);
    assert_int_equal(measure.silent, 1);
    assert_string_equal(measure.silent_one, "nowhere:9080");
    proxies_free(proxies);
    uint16_t port = listen_at(&peers[0], INADDR_LOOPBACK, 0, "{\"status\":\"not found\"}");
    listen_at(&peers[1], INADDR_LOOPBACK + 1, port, NULL);
    proxies = proxies_at("127.0.0.1:", port, "");
    ask(proxies);
    snprintf(wanted, sizeof wanted, "127.0.0.1:%u", port);
    assert_string_equal(measure.silent_one, wanted);
    proxies_free(proxies);
    proxies = proxies_at("many:", port, "");
    ask(proxies);
    assert_int_equal(measure.silent, 2);
    proxies_free(proxies);
    end(&peers[0]);
    end(&peers[1]);
}

static void a_question_can_be_taken_back(void **state)
{
    struct peer peer;
    (void)state;
    uint16_t port = listen_at(&peer, INADDR_LOOPBACK, 0, NULL);
    struct proxies *proxies = proxies_at("many:", port, ",nowhere:1");
    struct timeval little = {0, 20000};
    done = false;
    struct proxies_question *question =
        proxies_ask(proxies, VIEW("shop"), 2, &measure, on_done, NULL);
    proxies_cancel(question);
    question = proxies_ask(proxies, VIEW("shop"), 2, &measure, on_done, NULL);
    event_base_loopexit(base, &little);
    event_base_dispatch(base);
    proxies_cancel(question);
    proxies_ask(proxies, VIEW("shop"), 2, &measure, on_done, NULL); /* open at the end */
    proxies_cancel(NULL);
    proxies_free(proxies);
    event_base_loop(base, EVLOOP_NONBLOCK);
    assert_false(done);
    end(&peer);
}

static void nobody_to_ask_is_an_answer_too(void **state)
{
    (void)state;
    struct proxies *proxies = proxies_new(base, VIEW("none"));
    measure_begin(&measure);
    assert_int_equal(proxies_count(proxies), 0);
    ask(proxies);
    assert_int_equal(measure.answered + measure.silent, 0);
    proxies_free(proxies);
}

static void lists_are_checked(void **state)
{
    static const char *const good[] = {"none", "a:1", "10.0.0.1:9080,[::1]:9080, proxy.example:1"};
    static const char *const bad[] = {"",      ",",        "a",     "a:",    ":1",
                                      "a:0",   "a:65536",  "::1:1", "a b:1", "a:1x",
                                      "a/b:1", "user@a:1", "a:1,b", "[]:1"};
    struct buffer many;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(proxies_valid(view_of(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(proxies_valid(view_of(bad[i])));
    buffer_init(&many, 4096);
    for (int i = 0; i < PROXIES_LISTED; i++)
        buffer_append_string(&many, "a:1,");
    assert_true(proxies_valid(buffer_view(&many)));
    buffer_append_string(&many, "a:1");
    assert_false(proxies_valid(buffer_view(&many)));
    buffer_release(&many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_address_of_a_name_is_asked),
        cmocka_unit_test(names_without_a_place_nonsense_and_silence_are_told),
        cmocka_unit_test(a_question_can_be_taken_back),
        cmocka_unit_test(nobody_to_ask_is_an_answer_too),
        cmocka_unit_test(lists_are_checked),
    };
    signal(SIGPIPE, SIG_IGN);
    base = event_base_new();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    event_base_free(base);
    return failed;
}
