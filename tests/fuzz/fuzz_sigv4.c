/* Signs any request and verifies it, which must succeed; verifies any request as it is, which must not crash. */
#include "common/aws/sigv4.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW_MS  INT64_C(1440938160000) /* 2015-08-30T12:36:00Z */
#define HEADERS 8

struct input {
    struct sigv4_request request;
    struct sigv4_header headers[HEADERS + 5];
    size_t count;
};

static bool lookup(struct view access_key_id, struct view *secret, void *context)
{
    (void)context;
    *secret = VIEW("secret");
    return view_equal_string(access_key_id, "AKIDEXAMPLE");
}

/* Lines: method, path, query, header lines "name:value" until an empty one; the rest is the body. */
static void read_input(struct view rest, struct input *input)
{
    struct view line, *const parts[] = {&input->request.method, &input->request.path,
                                        &input->request.query};

    *input = (struct input){
        .request = {.host = VIEW("h"), .region = VIEW("us-east-1"), .service = VIEW("lambda")}};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (!view_split(&rest, '\n', parts[i]))
            return;
    while (input->count < HEADERS && view_split(&rest, '\n', &line) && line.length) {
        size_t colon = view_find(line, ':');

        if (colon != SIZE_MAX)
            input->headers[input->count++] = (struct sigv4_header){
                view_slice(line, 0, colon), view_slice(line, colon + 1, SIZE_MAX)};
    }
    input->request.body = rest;
    input->request.s3 = input->request.body.length % 2 == 1;
}

/* Names that a header may have, and that signing does not give itself. */
static bool plain(struct view name)
{
    static const char *const own[] = {
        "host",          "x-amz-date",           "date",
        "authorization", "x-amz-security-token", "x-amz-content-sha256"};

    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if (view_equal_nocase(name, view_of(own[i])))
            return false;
    for (size_t i = 0; i < name.length; i++)
        if (name.data[i] <= ' ' || name.data[i] > '~' ||
            strchr("()<>@,;:\\\"/[]?={}", name.data[i]))
            return false;
    return name.length > 0;
}

static void sign_and_verify(struct input *input)
{
    struct credentials *credentials =
        credentials_new(VIEW("AKIDEXAMPLE"), VIEW("secret"), VIEW("token"), INT64_MAX);
    struct sigv4_signer *signer = sigv4_signer_new(input->request.region, input->request.service);
    struct sigv4_signature made;
    struct arena arena;
    size_t kept = 0;

    arena_init(&arena, (size_t)1 << 20);
    for (size_t i = 0; i < input->count; i++)
        if (plain(input->headers[i].name))
            input->headers[kept++] = input->headers[i];
    input->request.headers = input->headers;
    input->request.header_count = kept;
    REQUIRE(sigv4_sign(signer, &input->request, credentials, NOW_MS, &arena, &made) == ERROR_NONE);
    input->headers[kept++] = (struct sigv4_header){VIEW("Host"), input->request.host};
    input->headers[kept++] = (struct sigv4_header){VIEW("X-Amz-Date"), view_of(made.amz_date)};
    input->headers[kept++] =
        (struct sigv4_header){VIEW("X-Amz-Security-Token"), made.session_token};
    input->headers[kept++] = (struct sigv4_header){VIEW("Authorization"), made.authorization};
    if (input->request.s3)
        input->headers[kept++] =
            (struct sigv4_header){VIEW("X-Amz-Content-Sha256"), view_of(made.content_sha256)};
    REQUIRE(sigv4_verify(&input->request, input->headers, kept, NOW_MS, lookup, NULL) ==
            SIGV4_VALID);
    arena_release(&arena);
    sigv4_signer_free(signer);
    credentials_release(credentials);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input;

    read_input(view_from(data, size), &input);
    (void)sigv4_verify(&input.request, input.headers, input.count, NOW_MS, lookup, NULL);
    sign_and_verify(&input);
    return 0;
}
