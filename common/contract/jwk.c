/* Reads the keys that an issuer publishes, and passes over what must not be used. */
#include "common/contract/jwk.h"

#include "common/base/escape.h"
#include "common/base/json.h"

#include <stdio.h>

#define SET_DEPTH       16
#define DISCOVERY_DEPTH 16
#define MEMBER_MAX      4096 /* decoded bytes of n, e, x, y: more than any key that is taken */

static enum error refuse(struct buffer *problem, const char *sentence)
{
    buffer_append_string(problem, sentence);
    return ERROR_INVALID;
}

static void pass_over(struct jwk_set *set, const char *why)
{
    set->passed_over++;
    snprintf(set->why, sizeof set->why, "%s", why);
}

/* A member in base64url, decoded. */
static bool get_bytes(const struct json *jwk, const char *name, struct buffer *bytes)
{
    struct view text;

    buffer_init(bytes, MEMBER_MAX);
    return json_get_string(jwk, name, &text) && base64url_decode(bytes, text) == ERROR_NONE &&
           bytes->length > 0;
}

static bool kind_of(const struct json *jwk, enum signature_kind *kind)
{
    static const struct {
        const char *type, *curve;
        enum signature_kind kind;
    } kinds[] = {{"RSA", "", SIGNATURE_RSA},
                 {"EC", "P-256", SIGNATURE_P256},
                 {"EC", "P-384", SIGNATURE_P384},
                 {"EC", "P-521", SIGNATURE_P521},
                 {"OKP", "Ed25519", SIGNATURE_ED25519}};
    struct view type = VIEW(""), curve = VIEW("");

    if (!json_get_string(jwk, "kty", &type))
        return false;
    (void)json_get_string(jwk, "crv", &curve);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!view_equal_string(type, kinds[i].type) ||
            (kinds[i].curve[0] && !view_equal_string(curve, kinds[i].curve)))
            continue;
        *kind = kinds[i].kind;
        return true;
    }
    return false;
}

/* RFC 7517 sections 4.2 and 4.3. */
static bool for_signatures(const struct json *jwk)
{
    const struct json *use = json_get(jwk, "use"), *operations = json_get(jwk, "key_ops");

    if (use && !view_equal(json_string(use), VIEW("sig")))
        return false;
    if (!operations)
        return true;
    if (json_type_of(operations) != JSON_ARRAY)
        return false;
    for (const struct json *one = json_first(operations); one; one = json_next(one))
        if (view_equal(json_string(one), VIEW("verify")))
            return true;
    return false;
}

static bool has_secret(const struct json *jwk)
{
    static const char *const members[] = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"};

    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (json_get(jwk, members[i]))
            return true;
    return false;
}

static enum error make_key(const struct json *jwk, enum signature_kind kind,
                           struct public_key **key)
{
    bool rsa = kind == SIGNATURE_RSA, okp = kind == SIGNATURE_ED25519;
    struct buffer first, second;
    enum error error = ERROR_INVALID;
    bool good = get_bytes(jwk, rsa ? "n" : "x", &first);

    good &= get_bytes(jwk, rsa ? "e" : "y", &second) || okp;
    if (good && rsa)
        error = public_key_from_rsa(buffer_view(&first), buffer_view(&second), key);
    else if (good)
        error = public_key_from_point(kind, buffer_view(&first),
                                      okp ? VIEW("") : buffer_view(&second), key);
    buffer_release(&first);
    buffer_release(&second);
    return error;
}

/* What the key may be used for: its alg when it has one (RFC 7517 section 4.4), else all that its
 * kind can. 0: nothing that we do. */
static unsigned algorithms_of(const struct json *jwk, enum signature_kind kind)
{
    const struct json *alg = json_get(jwk, "alg");
    unsigned all = signature_algorithms_of(kind);
    enum signature_algorithm one;

    if (!alg)
        return all;
    return signature_algorithm_parse(json_string(alg), &one) ? all & SIGNATURE_BIT(one) : 0;
}

/* NULL: the key is usable and in `stored`; else why not. */
static const char *read_key(struct arena *arena, const struct json *jwk,
                            struct signature_key *stored)
{
    const struct json *kid = json_get(jwk, "kid");
    struct public_key *key = NULL;
    struct buffer der;
    enum error error;

    if (json_type_of(jwk) != JSON_OBJECT)
        return "it is no JSON object";
    if (!kind_of(jwk, &stored->kind))
        return "it is of a kind or curve that is not supported";
    if (has_secret(jwk))
        return "it holds a private key";
    if (!for_signatures(jwk))
        return "it is not for checking signatures";
    stored->algorithms = algorithms_of(jwk, stored->kind);
    if (!stored->algorithms)
        return "its algorithm is not supported, or not one of its kind";
    if (kid && (json_type_of(kid) != JSON_STRING || json_string(kid).length > JWK_MAX_KID))
        return "its kid is no string, or longer than 256 bytes";
    error = make_key(jwk, stored->kind, &key);
    if (error == ERROR_UNSUPPORTED)
        return "its RSA modulus has fewer than 2048 bits, or more than 8192";
    if (error != ERROR_NONE)
        return "it is not well-formed";
    buffer_init(&der, SIGNATURE_DER_MAX);
    public_key_to_der(key, &der);
    stored->kid = kid ? arena_copy(arena, json_string(kid)) : VIEW("");
    stored->der = arena_copy(arena, buffer_view(&der));
    public_key_free(key);
    buffer_release(&der);
    return stored->der.length ? NULL : "it is too large";
}

static enum error read_keys(struct arena *arena, const struct json *keys, struct jwk_set *set,
                            struct buffer *problem)
{
    size_t stored = 0;

    if (json_count(keys) > JWK_SET_MAX_LISTED) {
        buffer_append_format(problem, "The key set lists more than %d keys.", JWK_SET_MAX_LISTED);
        return ERROR_TOO_BIG;
    }
    for (const struct json *jwk = json_first(keys); jwk; jwk = json_next(jwk)) {
        struct signature_key key = {.kid = {"", 0}};
        const char *why = read_key(arena, jwk, &key);

        if (why) {
            pass_over(set, why);
            continue;
        }
        stored += key.kid.length + key.der.length;
        if (set->count == JWK_SET_MAX_KEYS || stored > JWK_SET_MAX_STORED) {
            buffer_append_format(problem,
                                 "The key set has more than %d usable keys, or more than %d bytes "
                                 "of them.",
                                 JWK_SET_MAX_KEYS, JWK_SET_MAX_STORED);
            return ERROR_TOO_BIG;
        }
        set->keys[set->count++] = key;
    }
    if (set->count)
        return ERROR_NONE;
    if (!set->passed_over)
        return refuse(problem, "The key set is empty.");
    buffer_append_format(problem, "None of the %zu keys in the key set is usable; of the last: %s.",
                         set->passed_over, set->why);
    return ERROR_INVALID;
}

enum error jwk_set_read(struct arena *arena, struct view text, struct jwk_set *set,
                        struct buffer *problem)
{
    struct json *document = NULL;
    enum error error;

    *set = (struct jwk_set){.count = 0};
    if (text.length > JWK_SET_MAX_BYTES) {
        buffer_append_format(problem, "The key set has more than %d bytes.", JWK_SET_MAX_BYTES);
        return ERROR_TOO_BIG;
    }
    if (json_parse(text, SET_DEPTH, &document, NULL) != ERROR_NONE)
        return refuse(problem, "The key set is not well-formed JSON.");
    if (json_type_of(json_get(document, "keys")) != JSON_ARRAY)
        error = refuse(problem, "The key set has no list of keys.");
    else
        error = read_keys(arena, json_get(document, "keys"), set, problem);
    json_free(document);
    return error;
}

enum error jwk_discovery_read(struct arena *arena, struct view text, struct view issuer,
                              struct view *jwks_url, struct buffer *problem)
{
    struct json *document = NULL;
    struct view said = VIEW(""), url = VIEW("");
    enum error error = ERROR_NONE;

    if (text.length > JWK_SET_MAX_BYTES || json_parse(text, DISCOVERY_DEPTH, &document, NULL))
        return refuse(problem, "The issuer's discovery document is not well-formed JSON.");
    /* OpenID Connect Discovery 1.0 section 4.3: equal, or tokens of one could pass for another's. */
    if (!json_get_string(document, "issuer", &said) || !view_equal(said, issuer)) {
        buffer_append_format(problem,
                             "The discovery document is of the issuer \"%.*s\", not of the "
                             "configured one.",
                             VIEW_FORMAT(view_slice(said, 0, 200)));
        error = ERROR_INVALID;
    } else if (!json_get_string(document, "jwks_uri", &url) || url.length == 0) {
        error = refuse(problem, "The issuer's discovery document names no jwks_uri.");
    } else {
        *jwks_url = arena_copy(arena, url);
        if (!jwks_url->data)
            error = refuse(problem, "The jwks_uri is too long.");
    }
    json_free(document);
    return error;
}
