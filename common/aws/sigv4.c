/* Signs requests to AWS with a day key that is derived once a day. */
#include "common/aws/sigv4.h"

#include "common/aws/canonical.h"
#include "common/base/clock.h"
#include "common/base/crypto.h"
#include "common/base/escape.h"

#include <openssl/evp.h>

#include <stdlib.h>
#include <string.h>

#define DAY_BYTES        8
#define DATE_BYTES       16
#define HEX_BYTES        64
#define HMAC_BLOCK_BYTES 64
#define SCOPE_MAX_BYTES  256

/* A message digest fetched once (EVP_sha256() is looked up again on every use) and the digests of
 * the day key's two HMAC pads (RFC 2104), which are copied for each signature. */
struct sigv4_signer {
    EVP_MD *sha256;
    EVP_MD_CTX *inner, *outer, *work;
    char *region, *service;
    uint64_t serial;             /* of the credentials that the pads are of */
    char scope[SCOPE_MAX_BYTES]; /* "20150830/us-east-1/lambda/aws4_request" */
    size_t scope_length;         /* 0: no pads yet */
    int64_t second;              /* that amz_date is of */
    char amz_date[CLOCK_AMZ_SIZE];
    struct buffer scratch; /* the canonical request */
};

static bool gather(struct canonical_headers *list, const struct sigv4_request *request,
                   struct view amz_date, struct view session_token, struct view content_sha256);
static struct view payload_line(const struct sigv4_request *request, char hash[HEX_BYTES + 1]);
static void set_day_key(struct sigv4_signer *signer, const struct credentials *credentials);
static void set_pad(struct sigv4_signer *signer, EVP_MD_CTX *pad, const uint8_t *key, uint8_t mask);
static void digest(struct sigv4_signer *signer, struct view data, char hex[HEX_BYTES]);
static void sign_text(struct sigv4_signer *signer, const char *canonical_hash, char hex[HEX_BYTES]);
static enum error write_authorization(struct sigv4_signer *signer,
                                      const struct credentials *credentials,
                                      const struct canonical_headers *list, const char *hex,
                                      struct arena *arena, struct view *out);

/* ---- signing ---- */

struct sigv4_signer *sigv4_signer_new(struct view region, struct view service)
{
    struct sigv4_signer *signer = calloc(1, sizeof(*signer));

    REQUIRE(signer != NULL);
    REQUIRE(region.length + service.length + sizeof("20150830///aws4_request") < SCOPE_MAX_BYTES);
    signer->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    signer->inner = EVP_MD_CTX_new();
    signer->outer = EVP_MD_CTX_new();
    signer->work = EVP_MD_CTX_new();
    REQUIRE(signer->sha256 && signer->inner && signer->outer && signer->work);
    signer->region = view_duplicate(region);
    signer->service = view_duplicate(service);
    signer->second = INT64_MIN;
    buffer_init(&signer->scratch, CANONICAL_MAX_BYTES);
    return signer;
}

void sigv4_signer_free(struct sigv4_signer *signer)
{
    if (!signer)
        return;
    EVP_MD_CTX_free(signer->inner); /* OpenSSL wipes what it frees here */
    EVP_MD_CTX_free(signer->outer);
    EVP_MD_CTX_free(signer->work);
    EVP_MD_free(signer->sha256);
    buffer_release(&signer->scratch);
    free(signer->region);
    free(signer->service);
    free(signer);
}

/* Date, scope and key of this second. */
static void prepare(struct sigv4_signer *signer, const struct sigv4_request *request,
                    const struct credentials *credentials, int64_t now_ms)
{
    REQUIRE(view_equal_string(request->region, signer->region) &&
            view_equal_string(request->service, signer->service));
    if (now_ms / 1000 != signer->second) {
        clock_format_amz(now_ms, signer->amz_date);
        signer->second = now_ms / 1000;
    }
    if (signer->scope_length == 0 || signer->serial != credentials->serial ||
        memcmp(signer->scope, signer->amz_date, DAY_BYTES) != 0)
        set_day_key(signer, credentials);
}

enum error sigv4_sign(struct sigv4_signer *signer, const struct sigv4_request *request,
                      const struct credentials *credentials, int64_t now_ms, struct arena *arena,
                      struct sigv4_signature *signature)
{
    struct canonical_headers list;
    char hash[HEX_BYTES + 1] = "";
    char hex[HEX_BYTES];
    struct view payload;

    prepare(signer, request, credentials, now_ms);
    payload = payload_line(request, hash);
    if (payload.length == 0) {
        digest(signer, request->body, hash);
        payload = view_from(hash, HEX_BYTES);
    }
    if (!gather(&list, request, view_from(signer->amz_date, DATE_BYTES), credentials->session_token,
                payload))
        return ERROR_TOO_BIG;
    buffer_clear(&signer->scratch);
    canonical_request(&signer->scratch, request, &list, payload);
    if (signer->scratch.error != ERROR_NONE)
        return signer->scratch.error;
    digest(signer, buffer_view(&signer->scratch), hex);
    sign_text(signer, hex, hex);
    memcpy(signature->amz_date, signer->amz_date, sizeof(signature->amz_date));
    memset(signature->content_sha256, 0, sizeof(signature->content_sha256));
    memcpy(signature->content_sha256, payload.data,
           payload.length < HEX_BYTES ? payload.length : HEX_BYTES);
    signature->session_token = credentials->session_token;
    return write_authorization(signer, credentials, &list, hex, arena, &signature->authorization);
}

/* All that is signed of a presigned query, but for the signature. */
static void write_query(struct sigv4_signer *signer, const struct sigv4_request *request,
                        const struct credentials *credentials, int64_t expires_s,
                        const struct canonical_headers *list, struct buffer *out)
{
    struct buffer *text = &signer->scratch;

    buffer_append_view(out, request->query);
    buffer_append_string(out, request->query.length ? "&" : "");
    buffer_append_string(out, "X-Amz-Algorithm=" SIGV4_ALGORITHM "&X-Amz-Credential=");
    percent_encode(out, credentials->access_key_id, "");
    buffer_append_string(out, "%2F");
    percent_encode(out, view_from(signer->scope, signer->scope_length), "");
    buffer_append_format(out, "&X-Amz-Date=%s&X-Amz-Expires=%lld", signer->amz_date,
                         (long long)expires_s);
    if (credentials->session_token.length) {
        buffer_append_string(out, "&X-Amz-Security-Token=");
        percent_encode(out, credentials->session_token, "");
    }
    buffer_append_string(out, "&X-Amz-SignedHeaders=");
    buffer_clear(text);
    canonical_names(text, list);
    percent_encode(out, buffer_view(text), "");
}

enum error sigv4_presign(struct sigv4_signer *signer, const struct sigv4_request *request,
                         const struct credentials *credentials, int64_t now_ms, int64_t expires_s,
                         struct buffer *query)
{
    struct sigv4_request whole = *request;
    struct canonical_headers list = {.count = 0};
    size_t start = query->length;
    char hex[HEX_BYTES];
    struct view payload = VIEW("UNSIGNED-PAYLOAD");

    REQUIRE(expires_s >= 1 && expires_s <= SIGV4_MAX_EXPIRY_S);
    if (request->header_count > SIGV4_MAX_HEADERS)
        return ERROR_TOO_BIG;
    prepare(signer, request, credentials, now_ms);
    for (size_t i = 0; i < request->header_count; i++)
        if (!canonical_never_signed(request->headers[i].name))
            canonical_insert(&list, request->headers[i].name, request->headers[i].value);
    canonical_insert(&list, VIEW("host"), request->host);
    write_query(signer, request, credentials, expires_s, &list, query);
    if (query->error != ERROR_NONE)
        return query->error;
    if (!request->s3) {
        digest(signer, request->body, hex);
        payload = view_from(hex, HEX_BYTES);
    }
    whole.query = view_slice(buffer_view(query), start, SIZE_MAX);
    buffer_clear(&signer->scratch);
    canonical_request(&signer->scratch, &whole, &list, payload);
    if (signer->scratch.error != ERROR_NONE)
        return signer->scratch.error;
    digest(signer, buffer_view(&signer->scratch), hex);
    sign_text(signer, hex, hex);
    buffer_append_string(query, "&X-Amz-Signature=");
    buffer_append(query, hex, HEX_BYTES);
    return query->error;
}

void sigv4_canonical_request(struct buffer *out, const struct sigv4_request *request,
                             struct view amz_date, struct view session_token)
{
    struct canonical_headers list;
    char hash[HEX_BYTES + 1] = "";
    struct view payload = payload_line(request, hash);

    if (payload.length == 0) {
        uint8_t bytes[SHA256_BYTES];

        sha256(request->body, bytes);
        hex_write(hash, bytes, sizeof(bytes));
        payload = view_from(hash, HEX_BYTES);
    }
    if (gather(&list, request, amz_date, session_token, payload))
        canonical_request(out, request, &list, payload);
    else
        out->error = ERROR_TOO_BIG;
}

static bool gather(struct canonical_headers *list, const struct sigv4_request *request,
                   struct view amz_date, struct view session_token, struct view content_sha256)
{
    bool own_hash = false;

    list->count = 0;
    if (request->header_count > SIGV4_MAX_HEADERS)
        return false;
    for (size_t i = 0; i < request->header_count; i++) {
        const struct sigv4_header *header = &request->headers[i];

        if (canonical_never_signed(header->name))
            continue;
        own_hash = own_hash || view_equal_nocase(header->name, VIEW("x-amz-content-sha256"));
        canonical_insert(list, header->name, header->value);
    }
    canonical_insert(list, VIEW("host"), request->host);
    canonical_insert(list, VIEW("x-amz-date"), amz_date);
    if (session_token.length)
        canonical_insert(list, VIEW("x-amz-security-token"), session_token);
    if (request->s3 && !own_hash)
        canonical_insert(list, VIEW("x-amz-content-sha256"), content_sha256);
    return true;
}

/* The caller's own x-amz-content-sha256, or empty: then the body is to be hashed. */
static struct view payload_line(const struct sigv4_request *request, char hash[HEX_BYTES + 1])
{
    for (size_t i = 0; i < request->header_count; i++)
        if (view_equal_nocase(request->headers[i].name, VIEW("x-amz-content-sha256")))
            return view_trim(request->headers[i].value);
    return view_from(hash, 0);
}

void sigv4_day_key(struct view secret, struct view day, struct view region, struct view service,
                   uint8_t key[SHA256_BYTES])
{
    const struct view steps[] = {day, region, service, VIEW("aws4_request")};
    struct buffer first;

    buffer_init(&first, secret.length + 4);
    buffer_append(&first, "AWS4", 4);
    buffer_append_view(&first, secret);
    REQUIRE(first.error == ERROR_NONE);
    hmac_sha256(buffer_view(&first), steps[0], key);
    wipe(first.data, first.length);
    buffer_release(&first);
    for (size_t i = 1; i < sizeof(steps) / sizeof(steps[0]); i++) {
        uint8_t next[SHA256_BYTES];

        hmac_sha256(view_from(key, SHA256_BYTES), steps[i], next);
        memcpy(key, next, SHA256_BYTES);
        wipe(next, sizeof(next));
    }
}

static void set_day_key(struct sigv4_signer *signer, const struct credentials *credentials)
{
    uint8_t key[SHA256_BYTES];
    struct buffer scope;

    buffer_init(&scope, SCOPE_MAX_BYTES);
    buffer_append(&scope, signer->amz_date, DAY_BYTES);
    buffer_append_byte(&scope, '/');
    buffer_append_string(&scope, signer->region);
    buffer_append_byte(&scope, '/');
    buffer_append_string(&scope, signer->service);
    buffer_append_string(&scope, "/aws4_request");
    REQUIRE(scope.error == ERROR_NONE);
    memcpy(signer->scope, scope.data, scope.length);
    signer->scope_length = scope.length;
    signer->serial = credentials->serial;
    buffer_release(&scope);
    sigv4_day_key(credentials->secret_access_key, view_from(signer->amz_date, DAY_BYTES),
                  view_of(signer->region), view_of(signer->service), key);
    set_pad(signer, signer->inner, key, 0x36);
    set_pad(signer, signer->outer, key, 0x5c);
    wipe(key, sizeof(key));
}

static void set_pad(struct sigv4_signer *signer, EVP_MD_CTX *pad, const uint8_t *key, uint8_t mask)
{
    uint8_t block[HMAC_BLOCK_BYTES];

    memset(block, mask, sizeof(block));
    for (size_t i = 0; i < SHA256_BYTES; i++)
        block[i] ^= key[i];
    REQUIRE(EVP_DigestInit_ex2(pad, signer->sha256, NULL) == 1 &&
            EVP_DigestUpdate(pad, block, sizeof(block)) == 1);
    wipe(block, sizeof(block));
}

static void digest(struct sigv4_signer *signer, struct view data, char hex[HEX_BYTES])
{
    uint8_t bytes[SHA256_BYTES];

    REQUIRE(EVP_DigestInit_ex2(signer->work, signer->sha256, NULL) == 1 &&
            EVP_DigestUpdate(signer->work, data.data, data.length) == 1 &&
            EVP_DigestFinal_ex(signer->work, bytes, NULL) == 1);
    hex_write(hex, bytes, sizeof(bytes));
}

/* HMAC of the string to sign; `canonical_hash` and `hex` may be the same. */
static void sign_text(struct sigv4_signer *signer, const char *canonical_hash, char hex[HEX_BYTES])
{
    char text[sizeof(SIGV4_ALGORITHM) + DATE_BYTES + 1 + SCOPE_MAX_BYTES + 1 + HEX_BYTES];
    uint8_t bytes[SHA256_BYTES];
    size_t length = sizeof(SIGV4_ALGORITHM);

    memcpy(text, SIGV4_ALGORITHM "\n", length);
    memcpy(text + length, signer->amz_date, DATE_BYTES);
    length += DATE_BYTES;
    text[length++] = '\n';
    memcpy(text + length, signer->scope, signer->scope_length);
    length += signer->scope_length;
    text[length++] = '\n';
    memcpy(text + length, canonical_hash, HEX_BYTES);
    length += HEX_BYTES;
    REQUIRE(EVP_MD_CTX_copy_ex(signer->work, signer->inner) == 1 &&
            EVP_DigestUpdate(signer->work, text, length) == 1 &&
            EVP_DigestFinal_ex(signer->work, bytes, NULL) == 1 &&
            EVP_MD_CTX_copy_ex(signer->work, signer->outer) == 1 &&
            EVP_DigestUpdate(signer->work, bytes, sizeof(bytes)) == 1 &&
            EVP_DigestFinal_ex(signer->work, bytes, NULL) == 1);
    hex_write(hex, bytes, sizeof(bytes));
}

static enum error write_authorization(struct sigv4_signer *signer,
                                      const struct credentials *credentials,
                                      const struct canonical_headers *list, const char *hex,
                                      struct arena *arena, struct view *out)
{
    struct buffer *text = &signer->scratch;

    buffer_clear(text);
    buffer_append_string(text, SIGV4_ALGORITHM " Credential=");
    buffer_append_view(text, credentials->access_key_id);
    buffer_append_byte(text, '/');
    buffer_append(text, signer->scope, signer->scope_length);
    buffer_append_string(text, ", SignedHeaders=");
    canonical_names(text, list);
    buffer_append_string(text, ", Signature=");
    buffer_append(text, hex, HEX_BYTES);
    if (text->error != ERROR_NONE)
        return text->error;
    *out = arena_copy(arena, buffer_view(text));
    return out->data ? ERROR_NONE : arena->error;
}
