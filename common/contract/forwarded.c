/* Finds the client behind trusted proxies. */
#include "common/contract/forwarded.h"

#include <arpa/inet.h>
#include <string.h>

struct address {
    uint8_t bytes[16];
};

static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool read_address(struct view text, struct address *address)
{
    char copy[FORWARDED_ADDRESS_SIZE];

    if (text.length == 0 || text.length >= sizeof copy || view_find(text, '\0') != SIZE_MAX)
        return false;
    memcpy(copy, text.data, text.length);
    copy[text.length] = '\0';
    if (inet_pton(AF_INET6, copy, address->bytes) == 1)
        return true;
    memcpy(address->bytes, v4_prefix, sizeof v4_prefix);
    return inet_pton(AF_INET, copy, address->bytes + sizeof v4_prefix) == 1;
}

static bool is_v4(const struct address *address)
{
    return memcmp(address->bytes, v4_prefix, sizeof v4_prefix) == 0;
}

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned rest = bits % 8;

    if (memcmp(a, b, bits / 8) != 0)
        return false;
    return rest == 0 || ((a[bits / 8] ^ b[bits / 8]) >> (8 - rest)) == 0;
}

enum error forwarded_network_parse(struct view text, struct forwarded_network *network)
{
    size_t slash = view_find(text, '/');
    struct view host = view_slice(text, 0, slash);
    struct address address;
    uint64_t bits;

    if (!read_address(host, &address))
        return ERROR_INVALID;
    unsigned most = view_find(host, ':') == SIZE_MAX ? 32 : 128;
    bits = most;
    if (slash != SIZE_MAX &&
        view_to_u64(view_slice(text, slash + 1, SIZE_MAX), most, &bits) != ERROR_NONE)
        return ERROR_INVALID;
    bits += 128 - most;
    memcpy(network->address, address.bytes, sizeof network->address);
    network->bits = (uint8_t)bits;
    for (unsigned bit = network->bits; bit < 128; bit++)
        if (address.bytes[bit / 8] & (0x80 >> bit % 8))
            return ERROR_INVALID;
    return ERROR_NONE;
}

static bool is_trusted(const struct forwarded_ask *ask, const struct address *address)
{
    for (size_t i = 0; i < ask->trusted_count; i++)
        if (same_bits(ask->trusted[i].address, address->bytes, ask->trusted[i].bits))
            return true;
    return false;
}

static bool is_port(struct view text)
{
    uint64_t port;

    return view_to_u64(text, 65535, &port) == ERROR_NONE;
}

/* "1.2.3.4", "1.2.3.4:567", "::1", "[::1]", "[::1]:80". */
static bool read_entry(struct view entry, struct address *address)
{
    size_t colon = view_find(entry, ':'), close;
    struct view rest;

    if (view_starts_with(entry, VIEW("["))) {
        close = view_find(entry, ']');
        if (close == SIZE_MAX)
            return false;
        rest = view_slice(entry, close + 1, SIZE_MAX);
        if (rest.length && (rest.data[0] != ':' || !is_port(view_slice(rest, 1, SIZE_MAX))))
            return false;
        entry = view_slice(entry, 1, close - 1);
        return view_find(entry, ':') != SIZE_MAX && read_address(entry, address);
    }
    if (colon != SIZE_MAX) {
        rest = view_slice(entry, colon + 1, SIZE_MAX);
        if (view_find(rest, ':') == SIZE_MAX) {
            if (!is_port(rest))
                return false;
            entry = view_slice(entry, 0, colon);
        }
    }
    return read_address(entry, address);
}

/* Cuts the part behind the last comma. */
static struct view cut_last(struct view *rest)
{
    size_t start = rest->length;
    struct view part;

    while (start > 0 && rest->data[start - 1] != ',')
        start--;
    part = view_slice(*rest, start, SIZE_MAX);
    *rest = view_slice(*rest, 0, start ? start - 1 : 0);
    return view_trim(part);
}

static void write_client(const struct address *client, char *text)
{
    bool v4 = is_v4(client);

    if (!inet_ntop(v4 ? AF_INET : AF_INET6, client->bytes + (v4 ? sizeof v4_prefix : 0), text,
                   FORWARDED_ADDRESS_SIZE))
        text[0] = '\0';
}

/* What the peer said itself: what stands before it may be the client's. */
static void read_scheme_and_port(const struct forwarded_ask *ask, struct forwarded_sender *sender)
{
    struct view proto = ask->proto, port = ask->port, last = cut_last(&proto);
    uint64_t number;

    if (view_equal_nocase(last, VIEW("https")))
        sender->scheme = FORWARDED_HTTPS;
    else if (view_equal_nocase(last, VIEW("http")))
        sender->scheme = FORWARDED_HTTP;
    if (view_to_u64(cut_last(&port), 65535, &number) == ERROR_NONE)
        sender->port = (uint16_t)number;
}

void forwarded_read(const struct forwarded_ask *ask, struct forwarded_sender *sender)
{
    struct view chain = ask->chain;
    struct address client, next;

    *sender = (struct forwarded_sender){0};
    /* A link-local peer has its interface behind it. */
    if (ask->trusted_count == 0 ||
        !read_address(view_slice(ask->peer, 0, view_find(ask->peer, '%')), &client) ||
        !is_trusted(ask, &client))
        return;
    sender->trusted = true;
    for (unsigned i = 0; i < FORWARDED_MAX_ENTRIES && chain.length; i++) {
        struct view entry = cut_last(&chain);

        if (entry.length == 0) /* RFC 9110 section 5.6.1.2: empty elements count for nothing */
            continue;
        if (!read_entry(entry, &next))
            break;
        client = next;
        if (!is_trusted(ask, &client))
            break;
    }
    write_client(&client, sender->client);
    read_scheme_and_port(ask, sender);
}
