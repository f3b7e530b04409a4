/* Checks tokens: form, algorithm, key, signature, claims. */
#include "common/contract/jwt.h"

#include "common/base/escape.h"

#include <string.h>

#define HEADER_DEPTH 8
#define CLAIMS_DEPTH 32

/* The three parts, and what the header says. */
struct parts {
    struct view header, payload; /* decoded */
    struct view signature;
    struct view message; /* what was signed */
    enum signature_algorithm algorithm;
    struct view kid;
    bool has_kid;
};

const char *jwt_verdict_name(enum jwt_verdict verdict)
{
    static const char *const names[] = {
#define JWT_NAME(code, name, description) name,
        JWT_VERDICTS(JWT_NAME)
#undef JWT_NAME
    };

    return names[verdict];
}

const char *jwt_verdict_description(enum jwt_verdict verdict)
{
    static const char *const descriptions[] = {
#define JWT_DESCRIPTION(code, name, description) description,
        JWT_VERDICTS(JWT_DESCRIPTION)
#undef JWT_DESCRIPTION
    };

    return descriptions[verdict];
}

/* RFC 6750 section 2.1: b64token. */
static bool is_token(struct view text)
{
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            (c == '\0' || !strchr("-._~+/=", c)))
            return false;
    }
    return text.length > 0;
}

bool jwt_in_authorization(struct view value, struct view *token)
{
    const struct view scheme = VIEW("Bearer");
    struct view rest;

    value = view_trim(value);
    *token = value;
    if (view_equal_nocase(view_slice(value, 0, scheme.length), scheme)) {
        rest = view_slice(value, scheme.length, SIZE_MAX);
        *token = view_trim(rest);
        if (token->length == rest.length) /* no blank behind the scheme */
            *token = value.length > scheme.length ? value : VIEW("");
    }
    return is_token(*token);
}

/* A part, decoded into the arena. */
static bool decode(struct arena *arena, struct view part, struct view *decoded)
{
    struct buffer bytes;
    bool good;

    buffer_init(&bytes, part.length + 1);
    good = base64url_decode(&bytes, part) == ERROR_NONE;
    if (good)
        *decoded = arena_copy(arena, buffer_view(&bytes));
    buffer_release(&bytes);
    return good && decoded->data != NULL;
}

static bool split(struct arena *arena, struct view token, struct parts *parts)
{
    struct view rest = token, part[3];

    for (size_t i = 0; i < 3; i++)
        if (!view_split(&rest, '.', &part[i]) || part[i].length == 0)
            return false;
    if (rest.data)
        return false;
    parts->message = view_slice(token, 0, part[0].length + 1 + part[1].length);
    return decode(arena, part[0], &parts->header) && decode(arena, part[1], &parts->payload) &&
           decode(arena, part[2], &parts->signature);
}

/* RFC 7515 section 4.1. */
static enum jwt_verdict read_header(struct arena *arena, struct parts *parts)
{
    struct json *header = NULL;
    const struct json *kid;
    struct view algorithm;
    enum jwt_verdict verdict = JWT_GOOD;

    if (json_parse(parts->header, HEADER_DEPTH, &header, NULL) != ERROR_NONE)
        return JWT_MALFORMED;
    kid = json_get(header, "kid");
    if (json_type_of(header) != JSON_OBJECT || !json_get_string(header, "alg", &algorithm) ||
        (kid && json_type_of(kid) != JSON_STRING))
        verdict = JWT_MALFORMED;
    else if (json_get(header, "crit") || json_get(header, "b64")) /* RFC 7797 section 7 */
        verdict = JWT_CRITICAL;
    else if (!signature_algorithm_parse(algorithm, &parts->algorithm))
        verdict = JWT_ALGORITHM;
    if (verdict == JWT_GOOD && kid) {
        parts->has_kid = true;
        parts->kid = arena_copy(arena, json_string(kid));
        if (!parts->kid.data)
            verdict = JWT_MALFORMED;
    }
    json_free(header);
    return verdict;
}

/* The one key that the token can mean; NULL: none, or it is not plain which. */
static const struct signature_key *pick(const struct parts *parts, const struct jwt_rules *rules)
{
    const struct signature_key *picked = NULL;

    for (size_t i = 0; i < rules->key_count; i++) {
        const struct signature_key *key = &rules->keys[i];
        unsigned fit = key->algorithms & signature_algorithms_of(key->kind);

        if (!(fit & SIGNATURE_BIT(parts->algorithm)) ||
            (parts->has_kid && !view_equal(key->kid, parts->kid)))
            continue;
        if (picked)
            return NULL;
        picked = key;
    }
    return picked;
}

static bool among(struct view text, const struct view *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (view_equal(text, list[i]))
            return true;
    return false;
}

/* RFC 7519 section 4.1.3: a string or a list of strings. Cognito's access tokens have client_id
 * instead, which API Gateway takes when there is no aud. */
static bool audience_good(const struct json *claims, const struct jwt_rules *rules)
{
    const struct json *audience = json_get(claims, "aud");
    bool good = false;

    if (!audience)
        audience = json_get(claims, "client_id");
    if (!audience)
        return false;
    if (json_type_of(audience) == JSON_STRING)
        return among(json_string(audience), rules->audiences, rules->audience_count);
    if (json_type_of(audience) != JSON_ARRAY)
        return false;
    for (const struct json *one = json_first(audience); one; one = json_next(one)) {
        if (json_type_of(one) != JSON_STRING)
            return false;
        good |= among(json_string(one), rules->audiences, rules->audience_count);
    }
    return good;
}

/* RFC 8693 section 4.2: names parted by spaces; others write a list. Member "scp" where there is no
 * "scope". */
static bool scopes_good(const struct json *claims, const struct jwt_rules *rules)
{
    const struct json *scopes = json_get(claims, "scope");
    struct view rest, one;

    if (rules->scope_count == 0)
        return true;
    if (!scopes)
        scopes = json_get(claims, "scp");
    if (!scopes)
        return false;
    if (json_type_of(scopes) == JSON_ARRAY) {
        for (const struct json *item = json_first(scopes); item; item = json_next(item))
            if (json_type_of(item) == JSON_STRING &&
                among(json_string(item), rules->scopes, rules->scope_count))
                return true;
        return false;
    }
    rest = json_string(scopes);
    while (view_split(&rest, ' ', &one))
        if (one.length && among(one, rules->scopes, rules->scope_count))
            return true;
    return false;
}

/* RFC 7519 section 2, NumericDate. False: the member is there and is none. */
static bool get_time(const struct json *claims, const char *name, double *seconds, bool *there)
{
    const struct json *value = json_get(claims, name);

    *there = value != NULL;
    if (!value)
        return true;
    if (json_type_of(value) != JSON_NUMBER)
        return false;
    *seconds = json_number(value);
    return true;
}

static enum jwt_verdict check_times(const struct json *claims, const struct jwt_rules *rules,
                                    int64_t now_ms)
{
    double now = (double)now_ms / 1000, leeway = rules->leeway_s;
    double expiry = 0, begin = 0, issued = 0;
    bool has_expiry, has_begin, has_issued;

    if (!get_time(claims, "exp", &expiry, &has_expiry) ||
        !get_time(claims, "nbf", &begin, &has_begin) ||
        !get_time(claims, "iat", &issued, &has_issued))
        return JWT_MALFORMED;
    if (!has_expiry)
        return JWT_NO_EXPIRY;
    if (now >= expiry + leeway)
        return JWT_EXPIRED;
    if (has_begin && now < begin - leeway)
        return JWT_NOT_YET;
    if (has_issued && now < issued - leeway)
        return JWT_ISSUED_LATER;
    return JWT_GOOD;
}

static enum jwt_verdict check_claims(struct view payload, const struct jwt_rules *rules,
                                     int64_t now_ms)
{
    struct json *claims = NULL;
    struct view issuer;
    enum jwt_verdict verdict;

    if (json_parse(payload, CLAIMS_DEPTH, &claims, NULL) != ERROR_NONE)
        return JWT_MALFORMED;
    if (json_type_of(claims) != JSON_OBJECT)
        verdict = JWT_MALFORMED;
    else if (!json_get_string(claims, "iss", &issuer) || !view_equal(issuer, rules->issuer))
        verdict = JWT_BAD_ISSUER;
    else if (!audience_good(claims, rules))
        verdict = JWT_BAD_AUDIENCE;
    else
        verdict = check_times(claims, rules, now_ms);
    if (verdict == JWT_GOOD && !scopes_good(claims, rules))
        verdict = JWT_NO_SCOPE;
    json_free(claims);
    return verdict;
}

enum jwt_verdict jwt_verify(struct arena *arena, struct view token, const struct jwt_rules *rules,
                            int64_t now_ms, jwt_signature_check check, void *context,
                            struct jwt *jwt)
{
    struct parts parts = {.has_kid = false};
    const struct signature_key *key;
    enum jwt_verdict verdict;

    if (token.length > JWT_MAX_TOKEN_BYTES)
        return JWT_TOO_LONG;
    if (!split(arena, token, &parts))
        return JWT_MALFORMED;
    verdict = read_header(arena, &parts);
    if (verdict != JWT_GOOD)
        return verdict;
    if (!(rules->algorithms & SIGNATURE_BIT(parts.algorithm)))
        return JWT_ALGORITHM;
    key = pick(&parts, rules);
    if (!key)
        return JWT_UNKNOWN_KEY;
    if (!check(key, parts.algorithm, parts.message, parts.signature, context))
        return JWT_BAD_SIGNATURE;
    verdict = check_claims(parts.payload, rules, now_ms);
    if (verdict == JWT_GOOD)
        jwt->claims = parts.payload;
    return verdict;
}
