/* Sends the same request over many connections, as fast as it is answered or at a fixed rate, and tells how long each answer took. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEAD_MAX    16384
#define REQUEST_MAX (8 * 1024 * 1024)
#define READ_STEP   262144
#define EVENTS_MAX  512
#define WAITING_MAX (1 << 20) /* requests that are due and find no connection free */
#define NUMBER_WIDTH                                                                               \
    7 /* of the place in the request where another number goes each time: "@@@@@@@" */
#define STAMP_WIDTH 20 /* of the monotonic clock, in ns, in front of a streamed body */

/* Times by size: 64 of each power of two, so that a figure is right to within 1.6 %. */
#define SIZES_MAX (64 * 48)
struct times {
    uint64_t counts[SIZES_MAX];
    uint64_t count, sum_ns, longest_ns;
};

/* A connection: what is still to be sent, what has come of the answer. */
struct peer {
    int fd;
    SSL *tls;
    struct peer *next_idle;
    uint64_t due_ns; /* when its request was to be sent */
    size_t sent, head_length;
    uint64_t body_left;
    uint32_t watched;
    char head[HEAD_MAX + 1];
    char tail[5]; /* the last bytes of a chunked body */
    bool busy, in_body, chunked, connected;
};

static struct {
    int epoll, connections, status;
    SSL_CTX *tls;
    struct sockaddr_in address;
    char *request, *number;
    size_t request_length;
    long numbers;
    uint64_t requests, interval_ns, end_ns; /* of the run: how many, or until when */
    bool stamped;
    struct peer *peers, *idle;
    uint64_t sent, answered, wrong, broken, bytes;
    uint64_t start_ns, waiting_first, waiting_count;
    uint64_t *waiting; /* the times that they were due at: a ring */
    struct times whole, first;
} load = {.status = 200, .connections = 1};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ---- times ------------------------------------------------------------------------------------------------- */

static unsigned size_of(uint64_t ns)
{
    if (ns < 64)
        return (unsigned)ns;
    unsigned power = 63 - (unsigned)__builtin_clzll(ns);
    unsigned size = 64 * (power - 5) + (unsigned)((ns >> (power - 6)) & 63);
    return size < SIZES_MAX ? size : SIZES_MAX - 1;
}

static double middle_of(unsigned size)
{
    if (size < 64)
        return size;
    unsigned power = size / 64 + 5;
    return ((double)(64 + size % 64) + 0.5) * (double)(1ULL << (power - 6));
}

static void note(struct times *times, uint64_t ns)
{
    times->counts[size_of(ns)]++;
    times->count++;
    times->sum_ns += ns;
    if (ns > times->longest_ns)
        times->longest_ns = ns;
}

static double share_us(const struct times *times, double share)
{
    uint64_t wanted = (uint64_t)((double)times->count * share), seen = 0;

    for (unsigned size = 0; size < SIZES_MAX; size++) {
        seen += times->counts[size];
        if (seen > wanted)
            return middle_of(size) / 1000;
    }
    return (double)times->longest_ns / 1000;
}

static void print_times(const char *name, const struct times *times)
{
    printf("\"%s\":{\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"longest\":%.1f,\"mean\":"
           "%.1f}",
           name, share_us(times, 0.5), share_us(times, 0.9), share_us(times, 0.99),
           share_us(times, 0.999), (double)times->longest_ns / 1000,
           times->count ? (double)times->sum_ns / (double)times->count / 1000 : 0);
}

/* ---- connections ------------------------------------------------------------------------------------------- */

static void watch(struct peer *peer, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = peer};

    if (peer->watched == events)
        return;
    if (epoll_ctl(load.epoll, peer->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, peer->fd, &event) < 0)
        die("epoll_ctl");
    peer->watched = events;
}

static void be_idle(struct peer *peer)
{
    peer->busy = false;
    peer->next_idle = load.idle;
    load.idle = peer;
}

static void connect_peer(struct peer *peer)
{
    int on = 1;

    peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (peer->fd < 0 ||
        connect(peer->fd, (struct sockaddr *)&load.address, sizeof load.address) < 0)
        die("connect");
    setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (load.tls) {
        peer->tls = SSL_new(load.tls);
        if (!peer->tls || !SSL_set_fd(peer->tls, peer->fd) || SSL_connect(peer->tls) != 1)
            die("TLS handshake");
    }
    fcntl(peer->fd, F_SETFL, O_NONBLOCK);
    peer->watched = 0;
    peer->connected = true;
}

/* Ends a connection whose answer is not one; the next request opens another. */
static void hang_up(struct peer *peer)
{
    if (peer->busy)
        load.broken++;
    SSL_free(peer->tls);
    peer->tls = NULL;
    close(peer->fd);
    peer->connected = false;
    if (peer->busy)
        be_idle(peer);
}

static ssize_t receive(struct peer *peer, void *bytes, size_t room)
{
    if (!peer->tls)
        return recv(peer->fd, bytes, room, MSG_DONTWAIT);
    int n = SSL_read(peer->tls, bytes, room > INT32_MAX ? INT32_MAX : (int)room);
    if (n > 0)
        return n;
    errno = EAGAIN;
    return SSL_get_error(peer->tls, n) == SSL_ERROR_WANT_READ ? -1 : 0;
}

static ssize_t transmit(struct peer *peer, const void *bytes, size_t length)
{
    if (!peer->tls)
        return send(peer->fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    int n = SSL_write(peer->tls, bytes, length > READ_STEP ? READ_STEP : (int)length);
    if (n > 0)
        return n;
    errno = SSL_get_error(peer->tls, n) == SSL_ERROR_WANT_WRITE ? EAGAIN : EPIPE;
    return -1;
}

/* ---- requests ---------------------------------------------------------------------------------------------- */

/* Puts the number of an app into the request. Another one each time, in an order that helps no cache. */
static void number_request(void)
{
    static uint64_t turn;
    char digits[24];

    turn = turn * 6364136223846793005ULL + 1442695040888963407ULL;
    snprintf(digits, sizeof digits, "%0*ld", NUMBER_WIDTH,
             (long)((turn >> 33) % (uint64_t)load.numbers) % 10000000);
    memcpy(load.number, digits, NUMBER_WIDTH);
}

static void send_on(struct peer *peer)
{
    if (peer->sent == 0 && load.number)
        number_request(); /* small requests go out at once, so no other connection is in the middle of its */
    while (peer->sent < load.request_length) {
        ssize_t n = transmit(peer, load.request + peer->sent, load.request_length - peer->sent);
        if (n < 0 && errno == EAGAIN) {
            watch(peer, EPOLLIN | EPOLLOUT);
            return;
        }
        if (n <= 0) {
            hang_up(peer);
            return;
        }
        peer->sent += (size_t)n;
    }
    watch(peer, EPOLLIN);
}

static void begin(struct peer *peer, uint64_t due_ns)
{
    if (!peer->connected)
        connect_peer(peer);
    peer->busy = true;
    peer->in_body = peer->chunked = false;
    peer->sent = peer->head_length = 0;
    peer->due_ns = due_ns;
    load.sent++;
    send_on(peer);
}

static bool all_sent(uint64_t now)
{
    return load.requests ? load.sent + load.waiting_count >= load.requests : now >= load.end_ns;
}

static struct peer *take_idle(void)
{
    struct peer *peer = load.idle;

    load.idle = peer->next_idle;
    return peer;
}

/* A connection is free: what waits goes first, with the time that it was due at. */
static void go_on(struct peer *peer)
{
    uint64_t now = now_ns();

    be_idle(peer);
    if (load.waiting_count > 0) {
        uint64_t due = load.waiting[load.waiting_first++ % WAITING_MAX];
        load.waiting_count--;
        begin(take_idle(), due);
    } else if (!load.interval_ns && !all_sent(now)) {
        begin(take_idle(), now);
    }
}

/* At a fixed rate each request has its time, whether the answers keep up or not. */
static void send_due(uint64_t now)
{
    static uint64_t next;

    while (load.interval_ns && !all_sent(now) && load.start_ns + next * load.interval_ns <= now) {
        uint64_t due = load.start_ns + next++ * load.interval_ns;
        if (load.idle)
            begin(take_idle(), due);
        else if (load.waiting_count < WAITING_MAX)
            load.waiting[(load.waiting_first + load.waiting_count++) % WAITING_MAX] = due;
        else
            die("too many requests wait");
    }
}

/* ---- answers ----------------------------------------------------------------------------------------------- */

static void finish(struct peer *peer)
{
    note(&load.whole, now_ns() - peer->due_ns);
    load.answered++;
    go_on(peer);
}

/* The body of a stream begins with the time that its bytes were sent at. */
static void note_stamp(const char *body, size_t length)
{
    const char *start = memchr(body, '#', length);

    if (start && length - (size_t)(start - body) > STAMP_WIDTH)
        note(&load.first, now_ns() - strtoull(start + 1, NULL, 10));
    else
        load.wrong++;
}

static void take_body(struct peer *peer, const char *bytes, size_t length)
{
    load.bytes += length;
    if (!peer->chunked) {
        peer->body_left -= length < peer->body_left ? length : peer->body_left;
        if (peer->body_left == 0)
            finish(peer);
        return;
    }
    size_t kept = length < sizeof peer->tail ? sizeof peer->tail - length : 0;
    memmove(peer->tail, peer->tail + sizeof peer->tail - kept, kept);
    memcpy(peer->tail + kept, bytes + (length - (sizeof peer->tail - kept)),
           sizeof peer->tail - kept);
    if (memcmp(peer->tail, "0\r\n\r\n", sizeof peer->tail) == 0)
        finish(peer);
}

static void take_head(struct peer *peer)
{
    peer->head[peer->head_length] = '\0';
    char *end = strstr(peer->head, "\r\n\r\n");
    if (!end) {
        if (peer->head_length == HEAD_MAX)
            hang_up(peer);
        return;
    }
    if (strncmp(peer->head, "HTTP/1.1 ", 9) != 0 || atoi(peer->head + 9) != load.status)
        load.wrong++;
    char *length = strcasestr(peer->head, "\r\ncontent-length:");
    char *coding = strcasestr(peer->head, "\r\ntransfer-encoding:");
    peer->chunked = coding && coding < end;
    peer->body_left = length && length < end ? strtoull(length + 17, NULL, 10) : 0;
    peer->in_body = true;
    memset(peer->tail, 0, sizeof peer->tail);
    size_t here = peer->head_length - (size_t)(end + 4 - peer->head);
    if (load.stamped)
        note_stamp(end + 4, here);
    take_body(peer, end + 4, here);
}

static void receive_on(struct peer *peer)
{
    static char bytes[READ_STEP];

    while (peer->connected) {
        bool body = peer->in_body;
        ssize_t n =
            body ? receive(peer, bytes, sizeof bytes)
                 : receive(peer, peer->head + peer->head_length, HEAD_MAX - peer->head_length);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            hang_up(peer);
            return;
        }
        if (!peer->busy) { /* nothing was asked for */
            load.wrong++;
            return;
        }
        if (body) {
            take_body(peer, bytes, (size_t)n);
        } else {
            peer->head_length += (size_t)n;
            take_head(peer);
        }
    }
}

/* ---- the run ----------------------------------------------------------------------------------------------- */

static bool over(uint64_t now)
{
    return all_sent(now) && load.waiting_count == 0 && load.answered + load.broken >= load.sent;
}

static void run(void)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t now = load.start_ns = now_ns(), hopeless = now + 120 * (uint64_t)1000000000;

    load.end_ns += now;
    for (int i = 0; i < load.connections && !load.interval_ns && !all_sent(now); i++)
        begin(take_idle(), now_ns());
    while (!over(now) && now < hopeless) {
        struct timespec wait = {.tv_nsec = load.interval_ns && load.interval_ns < 10000000
                                               ? (long)load.interval_ns / 2
                                               : 10000000};
        int ready = epoll_pwait2(load.epoll, events, EVENTS_MAX, &wait, NULL);
        for (int i = 0; i < ready; i++) {
            struct peer *peer = events[i].data.ptr;
            if (peer->connected && events[i].events & EPOLLOUT)
                send_on(peer);
            if (peer->connected && events[i].events & ~(uint32_t)EPOLLOUT)
                receive_on(peer);
        }
        now = now_ns();
        send_due(now);
    }
    double seconds = (double)(now_ns() - load.start_ns) / 1e9;
    printf("{\"requests\":%llu,\"wrong\":%llu,\"broken\":%llu,\"seconds\":%.4f,\"perSecond\":%.1f,"
           "\"bytes\":%llu,",
           (unsigned long long)load.answered, (unsigned long long)load.wrong,
           (unsigned long long)(load.sent - load.answered), seconds,
           (double)load.answered / seconds, (unsigned long long)load.bytes);
    print_times("us", &load.whole);
    if (load.stamped) {
        printf(",");
        print_times("firstByteUs", &load.first);
    }
    printf("}\n");
}

static void read_request(const char *path)
{
    FILE *file = fopen(path, "rb");

    load.request = malloc(REQUEST_MAX + 1);
    if (!file || !load.request)
        die(path);
    load.request_length = fread(load.request, 1, REQUEST_MAX, file);
    load.request[load.request_length] = '\0';
    fclose(file);
    load.number = load.numbers ? strstr(load.request, "@@@@@@@") : NULL;
}

static void read_address(char *text)
{
    char *colon = strrchr(text, ':');

    load.address.sin_family = AF_INET;
    if (!colon)
        die("ADDRESS:PORT");
    *colon = '\0';
    load.address.sin_port = htons((uint16_t)atoi(colon + 1));
    if (inet_pton(AF_INET, text, &load.address.sin_addr) != 1)
        die(text);
}

static const char USAGE[] = "load --request FILE [--connections N] [--requests N | --seconds N] "
                            "[--rate PER_SECOND] [--numbers N] [--status N]\n"
                            "     [--tls] [--stamped] ADDRESS:PORT\n"
                            "With --rate an answer's time counts from when its request was due. "
                            "--numbers: \"@@@@@@@\" in the request becomes one of so\n"
                            "many numbers. --stamped: a body begins with '#' and the monotonic "
                            "clock in nanoseconds, as fast_lambda's streams do.\n";

static void read_options(int count, char **arguments)
{
    static const struct option options[] = {
        {"request", required_argument, NULL, 'f'},  {"connections", required_argument, NULL, 'c'},
        {"requests", required_argument, NULL, 'n'}, {"seconds", required_argument, NULL, 'd'},
        {"rate", required_argument, NULL, 'r'},     {"numbers", required_argument, NULL, 'm'},
        {"status", required_argument, NULL, 's'},   {"tls", no_argument, NULL, 't'},
        {"stamped", no_argument, NULL, 'p'},        {NULL, 0, NULL, 0},
    };
    const char *file = NULL;

    for (int letter; (letter = getopt_long(count, arguments, "", options, NULL)) != -1;) {
        switch (letter) {
        case 'f':
            file = optarg;
            break;
        case 'c':
            load.connections = atoi(optarg);
            break;
        case 'n':
            load.requests = strtoull(optarg, NULL, 10);
            break;
        case 'd':
            load.end_ns = (uint64_t)(atof(optarg) * 1e9);
            break;
        case 'r':
            load.interval_ns = (uint64_t)(1e9 / atof(optarg));
            break;
        case 'm':
            load.numbers = atol(optarg);
            break;
        case 's':
            load.status = atoi(optarg);
            break;
        case 't':
            load.tls = SSL_CTX_new(TLS_client_method());
            break;
        case 'p':
            load.stamped = true;
            break;
        default:
            fputs(USAGE, stderr);
            exit(2);
        }
    }
    if (!file || optind + 1 != count || (!load.requests && !load.end_ns) || load.connections < 1) {
        fputs(USAGE, stderr);
        exit(2);
    }
    read_request(file);
    read_address(arguments[optind]);
}

int main(int count, char **arguments)
{
    struct rlimit files;

    read_options(count, arguments);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    load.peers = calloc((size_t)load.connections, sizeof *load.peers);
    load.waiting = malloc(WAITING_MAX * sizeof *load.waiting);
    if (load.epoll < 0 || !load.peers || !load.waiting)
        die("start");
    if (load.tls)
        SSL_CTX_set_mode(load.tls,
                         SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    for (int i = load.connections - 1; i >= 0; i--) {
        connect_peer(&load.peers[i]);
        be_idle(&load.peers[i]);
    }
    run();
    return load.wrong || load.sent != load.answered ? 1 : 0;
}
