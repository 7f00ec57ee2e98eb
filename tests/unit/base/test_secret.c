/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/locked.h"
#include "base/secret.h"

static const char text[] = "K3y-with-32-hex-digits-or-so.....and some more of it";

/* Fails when a piece of the text is left where a secret lay. The slab stays mapped, so looking is allowed. */
static void assert_wiped(const char *block, size_t size)
{
    for (size_t i = sizeof(void *); i < locked_usable_size(size); i++)
        assert_int_equal(block[i], 0);
}

static void starts_not_set(void **state _unused_)
{
    struct secret s = SECRET_INIT;

    assert_false(secret_is_set(&s));
    assert_string_equal(secret_peek(&s), "");
    secret_done(&s);
    secret_done(NULL);
}

static void keeps_a_copy_with_a_nul_behind(void **state _unused_)
{
    _cleanup_(secret_done) struct secret s = SECRET_INIT;
    char mine[sizeof(text)];

    memcpy(mine, text, sizeof(text));
    assert_int_equal(secret_set(&s, mine, 10), 0);
    memset(mine, 'x', sizeof(mine));
    assert_true(secret_is_set(&s));
    assert_int_equal(s.size, 10);
    assert_int_equal(strlen(secret_peek(&s)), 10);
    assert_memory_equal(secret_peek(&s), text, 10);

    assert_int_equal(secret_set(&s, "a\0b", 3), 0);
    assert_int_equal(s.size, 3);
    assert_memory_equal(secret_peek(&s), "a\0b", 4);
}

static void an_empty_value_counts_as_set(void **state _unused_)
{
    _cleanup_(secret_done) struct secret s = SECRET_INIT;

    assert_int_equal(secret_set(&s, NULL, 0), 0);
    assert_true(secret_is_set(&s));
    assert_string_equal(secret_peek(&s), "");
}

static void done_wipes(void **state _unused_)
{
    for (size_t size = 1; size < sizeof(text); size++) {
        struct secret s = SECRET_INIT;
        assert_int_equal(secret_set(&s, text, size), 0);
        const char *block = s.data;
        secret_done(&s);
        assert_false(secret_is_set(&s));
        assert_wiped(block, size + 1);
    }
}

static void replacing_wipes_the_old_value(void **state _unused_)
{
    _cleanup_(secret_done) struct secret s = SECRET_INIT;

    assert_int_equal(secret_set(&s, text, 40), 0);
    const char *block = s.data;
    assert_int_equal(secret_set(&s, "new", 3), 0);
    assert_wiped(block, 41);
    assert_string_equal(secret_peek(&s), "new");
}

static void a_value_can_be_set_from_itself(void **state _unused_)
{
    _cleanup_(secret_done) struct secret s = SECRET_INIT;

    assert_int_equal(secret_set(&s, text, 40), 0);
    assert_int_equal(secret_set(&s, s.data + 4, 8), 0);
    assert_memory_equal(secret_peek(&s), text + 4, 8);
    assert_int_equal(s.size, 8);
}

static void failure_keeps_the_old_value(void **state _unused_)
{
    _cleanup_(secret_done) struct secret s = SECRET_INIT;

    assert_int_equal(secret_set(&s, "old", 3), 0);
    assert_int_equal(secret_set(&s, text, SIZE_MAX), -ENOMEM);
    assert_int_equal(secret_set(&s, text, SIZE_MAX - 1), -ENOMEM);
    assert_string_equal(secret_peek(&s), "old");
}

static void moving_leaves_nothing_behind(void **state _unused_)
{
    _cleanup_(secret_done) struct secret a = SECRET_INIT, b = SECRET_INIT;

    assert_int_equal(secret_set(&a, text, 20), 0);
    assert_int_equal(secret_set(&b, text + 1, 30), 0);
    const char *old = b.data, *moved = a.data;
    secret_move(&b, &a);
    assert_wiped(old, 31);
    assert_false(secret_is_set(&a));
    assert_ptr_equal(b.data, moved);
    assert_int_equal(b.size, 20);
    secret_move(&b, &b);
    assert_ptr_equal(b.data, moved);
    secret_move(&b, &a);
    assert_false(secret_is_set(&b));
}

static void equal_is_of_all_bytes(void **state _unused_)
{
    _cleanup_(secret_done) struct secret a = SECRET_INIT, b = SECRET_INIT;

    assert_false(secret_equal(&a, &b));
    assert_int_equal(secret_set(&a, text, 16), 0);
    assert_false(secret_equal(&a, &b));
    assert_false(secret_equal(&b, &a));
    assert_int_equal(secret_set(&b, text, 16), 0);
    assert_true(secret_equal(&a, &b));
    for (size_t i = 0; i < 16; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            b.data[i] = (char) (b.data[i] ^ (1 << bit));
            assert_false(secret_equal(&a, &b));
            b.data[i] = (char) (b.data[i] ^ (1 << bit));
        }
    }
    /* Two differences that cancel out must not look equal. */
    b.data[0] ^= 0x11;
    b.data[1] ^= 0x11;
    assert_false(secret_equal(&a, &b));
    assert_int_equal(secret_set(&b, text, 15), 0);
    assert_false(secret_equal(&a, &b));
    assert_int_equal(secret_set(&a, NULL, 0), 0);
    assert_int_equal(secret_set(&b, NULL, 0), 0);
    assert_true(secret_equal(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_not_set),
        cmocka_unit_test(keeps_a_copy_with_a_nul_behind),
        cmocka_unit_test(an_empty_value_counts_as_set),
        cmocka_unit_test(done_wipes),
        cmocka_unit_test(replacing_wipes_the_old_value),
        cmocka_unit_test(a_value_can_be_set_from_itself),
        cmocka_unit_test(failure_keeps_the_old_value),
        cmocka_unit_test(moving_leaves_nothing_behind),
        cmocka_unit_test(equal_is_of_all_bytes),
    };
    return cmocka_run_group_tests_name("secret", tests, NULL, NULL);
}
