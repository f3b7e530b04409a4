/* Tests of keys and signatures against the examples of RFC 7515 and RFC 8037; the rest is in tests/vectors/tokens. */
#include "tests/unit/common/base/check.h"

#include "common/base/escape.h"
#include "common/base/signature.h"

static struct view decoded(struct buffer *buffer, const char *text)
{
    buffer_init(buffer, 4096);
    assert_int_equal(base64url_decode(buffer, view_of(text)), ERROR_NONE);
    return buffer_view(buffer);
}

/* RFC 7515 appendix A.3. */
static const char p256_x[] = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
static const char p256_y[] = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
static const char p256_message[] =
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvb"
    "S9pc19yb290Ijp0cnVlfQ";
static const char p256_signature[] =
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

/* RFC 8037 appendix A.4. */
static const char ed_x[] = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
static const char ed_message[] = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
static const char ed_signature[] =
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

static struct public_key *make_point(enum signature_kind kind, const char *x, const char *y)
{
    struct buffer first, second;
    struct public_key *key = NULL;
    struct view fx = decoded(&first, x), fy = decoded(&second, y);

    assert_int_equal(public_key_from_point(kind, fx, fy, &key), ERROR_NONE);
    buffer_release(&first);
    buffer_release(&second);
    return key;
}

static bool verify(struct public_key *key, enum signature_algorithm algorithm, const char *message,
                   const char *signature)
{
    struct buffer bytes;
    bool good = public_key_verify(key, algorithm, view_of(message), decoded(&bytes, signature));

    buffer_release(&bytes);
    return good;
}

static void the_examples_of_the_rfcs_are_good(void **state)
{
    struct public_key *p256 = make_point(SIGNATURE_P256, p256_x, p256_y);
    struct public_key *ed = make_point(SIGNATURE_ED25519, ed_x, "");

    (void)state;
    assert_true(verify(p256, SIGNATURE_ES256, p256_message, p256_signature));
    assert_true(verify(ed, SIGNATURE_EDDSA, ed_message, ed_signature));
    assert_false(verify(p256, SIGNATURE_ES256, ed_message, p256_signature));
    assert_false(verify(ed, SIGNATURE_EDDSA, p256_message, ed_signature));
    public_key_free(p256);
    public_key_free(ed);
}

static void an_algorithm_of_another_kind_is_never_good(void **state)
{
    struct public_key *p256 = make_point(SIGNATURE_P256, p256_x, p256_y);

    (void)state;
    for (unsigned i = 0; i < SIGNATURE_ALGORITHMS; i++)
        assert_int_equal(verify(p256, (enum signature_algorithm)i, p256_message, p256_signature),
                         i == SIGNATURE_ES256);
    public_key_free(p256);
}

static void a_key_survives_its_der_and_only_as_what_it_is(void **state)
{
    struct public_key *p256 = make_point(SIGNATURE_P256, p256_x, p256_y), *again = NULL;
    struct buffer der;

    (void)state;
    buffer_init(&der, SIGNATURE_DER_MAX);
    public_key_to_der(p256, &der);
    assert_int_equal(public_key_from_der(SIGNATURE_P256, buffer_view(&der), &again), ERROR_NONE);
    assert_true(verify(again, SIGNATURE_ES256, p256_message, p256_signature));
    public_key_free(again);
    for (int kind = 0; kind <= SIGNATURE_KINDS + 1; kind++) {
        if (kind == SIGNATURE_P256)
            continue;
        assert_int_equal(public_key_from_der((enum signature_kind)kind, buffer_view(&der), &again),
                         ERROR_INVALID);
        assert_null(again);
    }
    for (size_t cut = 0; cut < der.length; cut++) {
        char *own = malloc(cut + 1);

        memcpy(own, der.data, cut);
        assert_int_equal(public_key_from_der(SIGNATURE_P256, view_from(own, cut), &again),
                         ERROR_INVALID);
        free(own);
    }
    buffer_append_byte(&der, 0);
    assert_int_equal(public_key_from_der(SIGNATURE_P256, buffer_view(&der), &again), ERROR_INVALID);
    buffer_release(&der);
    public_key_free(p256);
}

static void names_are_those_of_the_registry_in_their_case(void **state)
{
    static const char *const others[] = {"", "none", "HS256", "rs256", "RS256 ", "EDDSA", "Ed448"};
    enum signature_algorithm algorithm;

    (void)state;
    for (unsigned i = 0; i < SIGNATURE_ALGORITHMS; i++) {
        const char *name = signature_algorithm_name((enum signature_algorithm)i);

        assert_true(signature_algorithm_parse(view_of(name), &algorithm));
        assert_int_equal(algorithm, i);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(signature_algorithm_parse(view_of(others[i]), &algorithm));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_the_rfcs_are_good),
        cmocka_unit_test(an_algorithm_of_another_kind_is_never_good),
        cmocka_unit_test(a_key_survives_its_der_and_only_as_what_it_is),
        cmocka_unit_test(names_are_those_of_the_registry_in_their_case),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
