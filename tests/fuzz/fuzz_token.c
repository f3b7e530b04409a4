/* Feeds any bytes as a token whose signature counts as good, and as a key set: what comes out good keeps its word. */
#include "common/base/escape.h"
#include "common/contract/jwk.h"
#include "common/contract/jwt.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool check(const struct signature_key *key, enum signature_algorithm algorithm,
                  struct view message, struct view signature, void *context)
{
    REQUIRE(key->algorithms & SIGNATURE_BIT(algorithm));
    REQUIRE(message.length > 2 && signature.length > 0);
    *(bool *)context = true;
    return true;
}

static void try_token(struct view token)
{
    static const struct view audiences[] = {{"app-1", 5}}, scopes[] = {{"write", 5}};
    static const struct signature_key keys[] = {
        {{"k", 1}, SIGNATURE_RSA, 0x3F, {"", 0}},
        {{"k", 1}, SIGNATURE_P256, SIGNATURE_BIT(SIGNATURE_ES256), {"", 0}},
        {{"", 0}, SIGNATURE_ED25519, SIGNATURE_BIT(SIGNATURE_EDDSA), {"", 0}}};
    struct jwt_rules rules = {.issuer = {"https://issuer.example/pool", 27},
                              .audiences = audiences,
                              .audience_count = 1,
                              .scopes = scopes,
                              .scope_count = token.length & 1,
                              .algorithms = SIGNATURE_ALL_BITS,
                              .keys = keys,
                              .key_count = 3};
    struct arena arena;
    struct jwt jwt;
    bool checked = false;

    arena_init(&arena, 1 << 20);
    if (jwt_verify(&arena, token, &rules, 1783711146000, check, &checked, &jwt) == JWT_GOOD) {
        struct json *shown = NULL;
        struct json_writer w;
        struct buffer text;

        REQUIRE(checked);
        buffer_init(&text, 1 << 20);
        json_begin(&w, &text);
        json_open_object(&w, NULL);
        jwt_write_claims(&w, jwt.claims);
        jwt_write_scopes(&w, jwt.claims, rules.scope_count > 0);
        json_close_object(&w);
        REQUIRE(text.error == ERROR_NONE);
        REQUIRE(json_parse(buffer_view(&text), 10, &shown, NULL) == ERROR_NONE);
        json_free(shown);
        buffer_release(&text);
    }
    arena_release(&arena);
}

static const char header_part[] = "eyJhbGciOiJFZERTQSJ9."; /* {"alg":"EdDSA"} */

/* The bytes as claims, so that the fuzzer need not write base64. */
static void try_claims(struct view claims)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    struct buffer token;
    unsigned bits = 0, held = 0;

    buffer_init(&token, 1 << 20);
    buffer_append_string(&token, header_part);
    for (size_t i = 0; i < claims.length; i++) {
        bits = (bits << 8 | (unsigned char)claims.data[i]) & 0xFFFF;
        for (held += 8; held >= 6; held -= 6)
            buffer_append_byte(&token, digits[bits >> (held - 6) & 63]);
    }
    if (held)
        buffer_append_byte(&token, digits[bits << (6 - held) & 63]);
    buffer_append_string(&token, ".AAAA");
    try_token(buffer_view(&token));
    buffer_release(&token);
}

static void try_key_set(struct view text)
{
    struct jwk_set *set = malloc(sizeof *set);
    struct public_key *key = NULL;
    struct arena arena;
    struct buffer problem;
    struct view url;

    arena_init(&arena, 1 << 20);
    buffer_init(&problem, 1000);
    if (jwk_set_read(&arena, text, set, &problem) == ERROR_NONE)
        for (size_t i = 0; i < set->count; i++) {
            REQUIRE(set->keys[i].algorithms != 0);
            REQUIRE(public_key_from_der(set->keys[i].kind, set->keys[i].der, &key) == ERROR_NONE);
            public_key_free(key);
        }
    else
        REQUIRE(problem.length > 0);
    (void)!jwk_discovery_read(&arena, text, VIEW("i"), &url, &problem);
    buffer_release(&problem);
    arena_release(&arena);
    free(set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view bytes = view_from(data, size), token;

    try_token(bytes);
    try_claims(bytes);
    try_key_set(bytes);
    (void)jwt_in_authorization(bytes, &token);
    for (int kind = SIGNATURE_RSA; kind <= SIGNATURE_KINDS; kind++) {
        struct public_key *key = NULL;

        if (public_key_from_der((enum signature_kind)kind, bytes, &key) == ERROR_NONE)
            public_key_free(key);
    }
    return 0;
}
