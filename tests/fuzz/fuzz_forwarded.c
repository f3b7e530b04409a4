/* Feeds any header (a case of tests/vectors/forwarded, or bytes) to forwarded_read and preference_asked. */
#include "common/base/json.h"
#include "common/contract/forwarded.h"
#include "common/contract/preference.h"

#include <arpa/inet.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view bytes = view_from(data, size);
    struct forwarded_network networks[2];
    struct forwarded_ask ask = {.trusted = networks, .trusted_count = 2, .peer = VIEW("10.0.0.1")};
    struct forwarded_sender sender;
    struct json *seed = NULL;
    uint8_t address[16];

    REQUIRE(forwarded_network_parse(VIEW("10.0.0.0/8"), &networks[0]) == ERROR_NONE);
    if (forwarded_network_parse(bytes, &networks[1]) != ERROR_NONE)
        REQUIRE(forwarded_network_parse(VIEW("fd00::/8"), &networks[1]) == ERROR_NONE);
    ask.chain = ask.proto = ask.port = bytes;
    if (json_parse(bytes, 20, &seed, NULL) == ERROR_NONE)
        json_get_string(seed, "for", &ask.chain);
    forwarded_read(&ask, &sender);
    REQUIRE(sender.trusted);
    REQUIRE(inet_pton(strchr(sender.client, ':') ? AF_INET6 : AF_INET, sender.client, address) ==
            1);
    (void)preference_asked(bytes, "respond-async");
    json_free(seed);
    return 0;
}
