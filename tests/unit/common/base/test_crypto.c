/* Tests of hashes against published vectors, and of sealing. */
#include "tests/unit/common/base/check.h"

#include "common/base/crypto.h"
#include "common/base/escape.h"

static void check_hex(const uint8_t *bytes, const char *hex)
{
    char text[2 * SHA256_BYTES + 1] = "";

    hex_write(text, bytes, SHA256_BYTES);
    assert_string_equal(text, hex);
}

static void sha256_matches_the_vectors_of_fips_180(void **state)
{
    uint8_t hash[SHA256_BYTES];

    (void)state;
    sha256(VIEW(""), hash);
    check_hex(hash, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha256((struct view){NULL, 0}, hash);
    check_hex(hash, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha256(VIEW("abc"), hash);
    check_hex(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256(VIEW("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), hash);
    check_hex(hash, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void a_hash_in_pieces_equals_the_hash_of_the_whole(void **state)
{
    static char million[1000000];
    struct sha256_stream *stream = sha256_new();
    uint8_t hash[SHA256_BYTES];

    (void)state;
    memset(million, 'a', sizeof(million));
    for (size_t at = 0, step = 1; at < sizeof(million); at += step, step = step * 3 % 70001 + 1) {
        size_t left = sizeof(million) - at;

        if (step > left)
            step = left;
        sha256_update(stream, million + at, step);
        if (step == left)
            break;
    }
    sha256_update(stream, NULL, 0);
    sha256_finish(stream, hash);
    check_hex(hash, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void hmac_matches_the_vectors_of_rfc_4231(void **state)
{
    char key[131], data[50];
    uint8_t mac[SHA256_BYTES];

    (void)state;
    memset(key, 0x0b, 20);
    hmac_sha256(view_from(key, 20), VIEW("Hi There"), mac);
    check_hex(mac, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    hmac_sha256(VIEW("Jefe"), VIEW("what do ya want for nothing?"), mac);
    check_hex(mac, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, 20);
    memset(data, 0xdd, 50);
    hmac_sha256(view_from(key, 20), view_from(data, 50), mac);
    check_hex(mac, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
    memset(key, 0xaa, 131); /* a key longer than a block is hashed first */
    hmac_sha256(view_from(key, 131), VIEW("Test Using Larger Than Block-Size Key - Hash Key First"),
                mac);
    check_hex(mac, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    hmac_sha256((struct view){NULL, 0}, (struct view){NULL, 0}, mac);
    check_hex(mac, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void random_bytes_differ(void **state)
{
    uint8_t a[32] = {0}, b[32] = {0};

    (void)state;
    random_bytes(a, sizeof(a));
    random_bytes(b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
    random_bytes(a, 0);
}

static void comparison_sees_any_difference(void **state)
{
    (void)state;
    assert_true(constant_time_equal(VIEW("secret"), VIEW("secret")));
    assert_false(constant_time_equal(VIEW("secret"), VIEW("secreT")));
    assert_false(constant_time_equal(VIEW("Secret"), VIEW("secret")));
    assert_false(constant_time_equal(VIEW("secret"), VIEW("secrets")));
    assert_true(constant_time_equal(VIEW(""), (struct view){NULL, 0}));
}

static void wiping_overwrites(void **state)
{
    char text[] = "secret";

    (void)state;
    wipe(text, sizeof(text));
    assert_memory_equal(text, "\0\0\0\0\0\0", sizeof(text));
}

static const uint8_t key[32] = {1, 2, 3, 4, 5};

static void what_is_sealed_opens_again(void **state)
{
    static const char *const plains[] = {"", "x", "a longer text of more than one block of AES"};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct buffer sealed, again, plain;

        buffer_init(&sealed, 1000);
        buffer_init(&again, 1000);
        buffer_init(&plain, 1000);
        seal(&sealed, key, view_of(plains[i]), VIEW("app/shop"));
        seal(&again, key, view_of(plains[i]), VIEW("app/shop"));
        assert_int_equal(sealed.length, 12 + strlen(plains[i]) + 16);
        assert_false(view_equal(buffer_view(&sealed), buffer_view(&again))); /* a fresh nonce */
        assert_int_equal(unseal(&plain, key, buffer_view(&sealed), VIEW("app/shop")), ERROR_NONE);
        assert_true(view_equal_string(buffer_view(&plain), plains[i]));
        buffer_release(&sealed);
        buffer_release(&again);
        buffer_release(&plain);
    }
}

static void a_seal_with_any_byte_changed_is_damaged(void **state)
{
    const uint8_t other_key[32] = {1, 2, 3, 4, 6};
    struct buffer sealed, plain;

    (void)state;
    buffer_init(&sealed, 1000);
    buffer_init(&plain, 1000);
    seal(&sealed, key, VIEW("password"), VIEW("app/shop"));
    for (size_t i = 0; i < sealed.length; i++) {
        sealed.data[i] ^= 1;
        assert_int_equal(unseal(&plain, key, buffer_view(&sealed), VIEW("app/shop")),
                         ERROR_DAMAGED);
        sealed.data[i] ^= 1;
    }
    for (size_t length = 0; length < sealed.length; length++)
        assert_int_equal(
            unseal(&plain, key, view_slice(buffer_view(&sealed), 0, length), VIEW("app/shop")),
            ERROR_DAMAGED);
    assert_int_equal(unseal(&plain, key, buffer_view(&sealed), VIEW("app/other")), ERROR_DAMAGED);
    assert_int_equal(unseal(&plain, other_key, buffer_view(&sealed), VIEW("app/shop")),
                     ERROR_DAMAGED);
    assert_int_equal(plain.length, 0);
    assert_int_equal(unseal(&plain, key, buffer_view(&sealed), VIEW("app/shop")), ERROR_NONE);
    check_buffer(&plain, "password");
    buffer_release(&sealed);
    buffer_release(&plain);
}

static void sealing_respects_the_ceiling(void **state)
{
    struct buffer small;

    (void)state;
    buffer_init(&small, 12 + 8 + 15);
    seal(&small, key, VIEW("password"), VIEW(""));
    assert_int_equal(small.error, ERROR_TOO_BIG);
    assert_int_equal(small.length, 0);
    buffer_release(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_matches_the_vectors_of_fips_180),
        cmocka_unit_test(a_hash_in_pieces_equals_the_hash_of_the_whole),
        cmocka_unit_test(hmac_matches_the_vectors_of_rfc_4231),
        cmocka_unit_test(random_bytes_differ),
        cmocka_unit_test(comparison_sees_any_difference),
        cmocka_unit_test(wiping_overwrites),
        cmocka_unit_test(what_is_sealed_opens_again),
        cmocka_unit_test(a_seal_with_any_byte_changed_is_damaged),
        cmocka_unit_test(sealing_respects_the_ceiling),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
