/* Tells where keys of token issuers may be fetched. */
#include "managerd/issuer_address.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static bool is_loopback_host(struct view host)
{
    struct view bare = view_slice(host, 0, view_find(host, ':'));
    if (view_starts_with(host, VIEW("[")))
        return view_equal(host, VIEW("[::1]")) || view_starts_with(host, VIEW("[::1]:"));
    for (size_t i = 0; i < bare.length; i++)
        if (view_starts_with(bare, VIEW("127.")) && (bare.data[i] < '0' || bare.data[i] > '9') &&
            bare.data[i] != '.')
            return false;
    return view_equal(bare, VIEW("localhost")) || view_starts_with(bare, VIEW("127."));
}

bool issuer_url_allowed(struct view url, bool loopback)
{
    struct view rest = view_slice(url, 7, SIZE_MAX);
    if (view_starts_with(url, VIEW("https://")))
        return true;
    return loopback && view_starts_with(url, VIEW("http://")) &&
           is_loopback_host(view_slice(rest, 0, view_find(rest, '/')));
}

/* Services that tell a machine its secrets and lie on no link-local address: Alibaba's, Oracle's,
 * Azure's. */
static bool is_metadata(const unsigned char bytes[4])
{
    static const unsigned char known[][4] = {
        {100, 100, 100, 200}, {192, 0, 0, 192}, {168, 63, 129, 16}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (memcmp(bytes, known[i], sizeof known[i]) == 0)
            return true;
    return false;
}

static bool v4_allowed(const unsigned char bytes[4], bool loopback, bool link_local)
{
    if (bytes[0] == 127)
        return loopback;
    if ((bytes[0] == 169 && bytes[1] == 254) || is_metadata(bytes))
        return link_local;
    return bytes[0] != 0 && bytes[0] < 224;
}

static bool v6_allowed(const unsigned char bytes[16], bool loopback, bool link_local)
{
    static const unsigned char zeros[16], nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    static const unsigned char amazon[4] = {0xfd, 0x00, 0x0e, 0xc2};
    static const unsigned char google[16] = {0xfd, 0x20, 0x00, 0xce, [14] = 0x02, [15] = 0x54};
    static const unsigned char six_to_four[2] = {0x20, 0x02};
    if (memcmp(bytes, zeros, 15) == 0 && bytes[15] <= 1)
        return bytes[15] == 1 && loopback;
    if (memcmp(bytes, mapped, 12) == 0 || memcmp(bytes, nat64, 12) == 0 ||
        memcmp(bytes, zeros, 12) == 0)
        return v4_allowed(bytes + 12, loopback, link_local);
    if (memcmp(bytes, six_to_four, 2) == 0)
        return v4_allowed(bytes + 2, loopback, link_local);
    if ((bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80) || memcmp(bytes, amazon, 4) == 0 ||
        memcmp(bytes, google, 16) == 0)
        return link_local;
    return bytes[0] != 0xff;
}

bool issuer_address_allowed(const struct sockaddr *address, bool loopback, bool link_local)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof v4);
        return v4_allowed((const unsigned char *)&v4.sin_addr, loopback, link_local);
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof v6);
        return v6_allowed(v6.sin6_addr.s6_addr, loopback, link_local);
    }
    return false;
}
