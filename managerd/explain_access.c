/* Judges who may call: the rules of a route about pages of other origins, API keys and tokens. */
#include "managerd/explain.h"

#include "common/base/crypto.h"
#include "common/contract/cors.h"
#include "common/contract/jwt.h"
#include "common/store/route_record.h"

#define API_KEY_MAX 512

/* The value of a header that is there exactly once. */
static unsigned count_of(const struct explain_request *request, struct view name,
                         struct view *value)
{
    unsigned count = 0;
    for (size_t i = 0; i < request->header_count; i++)
        if (view_equal_nocase(request->headers[i].name, name)) {
            *value = request->headers[i].value;
            count++;
        }
    return count;
}

static struct view sent(const struct explain_request *request, const char *name)
{
    struct view value = VIEW("");
    count_of(request, view_of(name), &value);
    return value;
}

/* True: it is a preflight, which is answered by the rules alone. */
static bool judge_cors(const struct route_cors *cors, const struct explain_request *request,
                       struct json *considered)
{
    const struct cors_policy policy = {.origins = cors->origins,
                                       .origin_count = cors->origin_count,
                                       .methods = cors->methods,
                                       .headers = cors->headers,
                                       .exposed = cors->exposed,
                                       .has_max_age = cors->has_max_age,
                                       .max_age_s = cors->max_age_s,
                                       .credentials = cors->credentials,
                                       .private_network = cors->private_network};
    const struct cors_request asked = {
        .method = request->method,
        .origin = sent(request, "Origin"),
        .requested_method = sent(request, "Access-Control-Request-Method"),
        .requested_headers = sent(request, "Access-Control-Request-Headers"),
        .asks_private_network =
            view_equal(sent(request, "Access-Control-Request-Private-Network"), VIEW("true"))};
    struct cors_answer answer = {0};
    bool allowed = false;
    for (size_t i = 0; i < cors->origin_count; i++)
        allowed |= asked.origin.length && cors_pattern_matches(cors->origins[i], asked.origin);
    cors_decide(&policy, &asked, &answer);
    explain_consider(considered, "cors", asked.origin, allowed ? "match" : "no", "%s%s",
                     asked.origin.length == 0 ? "There is no Origin."
                     : allowed                ? "Pages of this origin may read the answer."
                                              : "Pages of this origin may not read the answer.",
                     answer.preflight ? " It is a preflight." : "");
    return answer.preflight;
}

static void refuse(struct explain_answer *answer, int status, const char *fault, const char *detail)
{
    *answer = (struct explain_answer){status, fault, detail};
}

static const struct route_api_key *find_key(const struct route_access *access, struct view key)
{
    uint8_t digest[SHA256_BYTES];
    const struct route_api_key *found = NULL;
    sha256(key, digest);
    for (size_t i = 0; i < access->api_key_count; i++)
        if (constant_time_equal(view_from(digest, sizeof digest), access->api_keys[i].hash))
            found = &access->api_keys[i];
    return found;
}

static void judge_key(const struct route_access *access, const struct explain_request *request,
                      struct json *considered, struct explain_answer *answer)
{
    struct view key = VIEW("");
    unsigned count = count_of(request, access->api_key_header, &key);
    const struct route_api_key *found =
        count == 1 && key.length <= API_KEY_MAX ? find_key(access, key) : NULL;
    bool expired =
        found && found->expires_at_ms && (uint64_t)request->now_ms >= found->expires_at_ms;
    const char *why = count == 0  ? "There is no key in this header."
                      : count > 1 ? "The header is there more than once."
                      : !found    ? "The key is not known."
                      : expired   ? "The key has expired."
                                  : "The key is good.";
    explain_consider(considered, "api-key", access->api_key_header,
                     found && !expired ? "match" : "no", "%s", why);
    if (!found || expired)
        refuse(answer, 401, "unauthorized", why);
}

static bool check_signature(const struct signature_key *key, enum signature_algorithm algorithm,
                            struct view message, struct view signature, void *context)
{
    struct public_key *public_key = NULL;
    (void)context;
    if (public_key_from_der(key->kind, key->der, &public_key))
        return false;
    bool good = public_key_verify(public_key, algorithm, message, signature);
    public_key_free(public_key);
    return good;
}

static void judge_token(const struct route_jwt *route, const struct explain_request *request,
                        struct arena *arena, struct json *considered, struct explain_answer *answer)
{
    const struct jwt_rules rules = {.issuer = route->issuer,
                                    .audiences = route->audiences,
                                    .audience_count = route->audience_count,
                                    .scopes = route->scopes,
                                    .scope_count = route->scope_count,
                                    .algorithms = route->algorithms,
                                    .leeway_s = route->leeway_s,
                                    .keys = route->keys,
                                    .key_count = route->key_count};
    struct view authorization = VIEW(""), token;
    struct jwt jwt;
    unsigned count = count_of(request, VIEW("Authorization"), &authorization);
    if (count != 1 || !jwt_in_authorization(authorization, &token)) {
        const char *why = count ? "One Authorization header with one bearer token is wanted."
                                : "There is no bearer token.";
        explain_consider(considered, "jwt", route->issuer, "no", "%s", why);
        refuse(answer, 401, "unauthorized", why);
    } else if (route->key_count == 0) {
        explain_consider(considered, "jwt", route->issuer, "failed",
                         "The keys of the issuer are not known yet.");
        refuse(answer, 503, "keys-missing", "The keys of the issuer are not known yet.");
    } else {
        enum jwt_verdict verdict =
            jwt_verify(arena, token, &rules, request->now_ms, check_signature, NULL, &jwt);
        const char *why =
            verdict == JWT_GOOD ? "The token is good." : jwt_verdict_description(verdict);
        explain_consider(considered, "jwt", route->issuer, verdict == JWT_GOOD ? "match" : "no",
                         "%s", why);
        if (verdict != JWT_GOOD)
            refuse(answer, verdict == JWT_NO_SCOPE ? 403 : 401,
                   verdict == JWT_NO_SCOPE ? "forbidden" : "unauthorized", why);
    }
}

static struct json *text_or_null(struct view text)
{
    return text.length ? json_new_string(text) : json_new_null();
}

void explain_access(const struct route_record *route, const struct explain_request *request,
                    struct arena *arena, struct json *considered, struct json *access,
                    struct explain_answer *answer)
{
    const struct route_access *rules = &route->access;
    json_set_bool(access, "cors", rules->cors != NULL);
    json_set(access, "apiKeyHeader", text_or_null(rules->api_key_header));
    json_set(access, "jwtIssuer", text_or_null(rules->jwt.issuer));
    if (rules->cors && judge_cors(rules->cors, request, considered)) {
        *answer = (struct explain_answer){204, NULL, "It is a preflight, which the proxy answers."};
        return;
    }
    if (rules->api_key_header.length)
        judge_key(rules, request, considered, answer);
    if (answer->status == 0 && rules->jwt.issuer.length)
        judge_token(&rules->jwt, request, arena, considered, answer);
}
