/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <wchar.h>

#include "base/buffer.h"
#include "base/locked.h"

static void starts_empty(void **state _unused_)
{
    struct buffer b = BUFFER_INIT(10);

    assert_string_equal(buffer_peek(&b), "");
    assert_int_equal(buffer_error(&b), 0);
    buffer_reset(&b);
    buffer_done(&b);
    buffer_done(NULL);
    buffer_free_block(NULL, 10, true);
}

static void grows_and_stays_terminated(void **state _unused_)
{
    for (int is_secret = 0; is_secret < 2; is_secret++) {
        _cleanup_(buffer_done) struct buffer b = is_secret ? BUFFER_INIT_SECRET(20000) : BUFFER_INIT(20000);

        for (unsigned i = 0; i < 20000; i++) {
            buffer_append_char(&b, (char) ('a' + i % 26));
            assert_int_equal(b.size, i + 1);
            assert_int_equal(b.data[b.size], '\0');
            assert_true(b.capacity > b.size);
        }
        assert_int_equal(buffer_error(&b), 0);
        for (unsigned i = 0; i < 20000; i++)
            assert_int_equal(buffer_peek(&b)[i], 'a' + i % 26);
    }
}

static void pieces_of_every_kind_join(void **state _unused_)
{
    _cleanup_(buffer_done) struct buffer b = BUFFER_INIT(100);

    buffer_append_string(&b, "a=");
    buffer_appendf(&b, "%d,%s", 42, "x");
    buffer_append_char(&b, ';');
    buffer_append(&b, "y\0z", 3);
    buffer_append(&b, NULL, 0);
    buffer_append_string(&b, "");
    assert_int_equal(b.size, 10);
    assert_memory_equal(buffer_peek(&b), "a=42,x;y\0z", 11);
}

static void the_maximum_is_exact(void **state _unused_)
{
    static const size_t maxima[] = {0, 1, 127, 128, 129, 1000, 4095, 4096, 5000};

    for (size_t i = 0; i < 2 * ARRAY_SIZE(maxima); i++) {
        size_t max = maxima[i / 2];
        _cleanup_(buffer_done) struct buffer b = i % 2 ? BUFFER_INIT_SECRET(max) : BUFFER_INIT(max);
        for (size_t k = 0; k < max; k++)
            buffer_append_char(&b, 'x');
        assert_int_equal(buffer_error(&b), 0);
        assert_int_equal(b.size, max);
        buffer_append_char(&b, 'x');
        assert_int_equal(buffer_error(&b), -EMSGSIZE);
        assert_int_equal(b.size, max);
    }
}

static void errors_stick(void **state _unused_)
{
    _cleanup_(buffer_done) struct buffer b = BUFFER_INIT(4);

    buffer_append_string(&b, "abc");
    buffer_append_string(&b, "de");
    assert_int_equal(buffer_error(&b), -EMSGSIZE);
    buffer_append_char(&b, 'f');
    buffer_appendf(&b, "%s", "");
    assert_string_equal(buffer_peek(&b), "abc");
    assert_int_equal(buffer_error(&b), -EMSGSIZE);
    buffer_reset(&b);
    assert_int_equal(buffer_error(&b), 0);
    buffer_appendf(&b, "%d", 12345);
    assert_int_equal(buffer_error(&b), -EMSGSIZE);
    buffer_done(&b);
    assert_int_equal(buffer_error(&b), 0);
    buffer_append_string(&b, "abcd");
    assert_string_equal(buffer_peek(&b), "abcd");
}

/* A piece that cannot be formatted is a failure like any other: no text with a hole goes out. */
static void formatting_that_fails_sticks(void **state _unused_)
{
    _cleanup_(buffer_done) struct buffer b = BUFFER_INIT(100);

    buffer_append_string(&b, "a");
    buffer_appendf(&b, "%lc", (wint_t) 0x7fffffff);
    assert_true(buffer_error(&b) < 0);
}

static void sizes_without_end_do_not_wrap(void **state _unused_)
{
    _cleanup_(buffer_done) struct buffer b = BUFFER_INIT(SIZE_MAX);
    _cleanup_(buffer_done) struct buffer s = BUFFER_INIT_SECRET(SIZE_MAX);

    buffer_append_string(&b, "hello");
    assert_string_equal(buffer_peek(&b), "hello");
    buffer_append_string(&s, "hello");
    assert_string_equal(buffer_peek(&s), "hello");
    buffer_append(&b, "x", SIZE_MAX);
    assert_true(buffer_error(&b) < 0);
    buffer_append(&s, "x", SIZE_MAX - 5);
    assert_true(buffer_error(&s) < 0);
    assert_string_equal(buffer_peek(&s), "hello");
}

static void assert_wiped(const char *block, size_t size)
{
    for (size_t i = sizeof(void *); i < size; i++)
        assert_int_equal(block[i], 0);
}

/* Each time a secret buffer moves to a larger block, the old one, still mapped in its slab, is clean. */
static void growing_wipes_the_old_block(void **state _unused_)
{
    _cleanup_(buffer_done) struct buffer b = BUFFER_INIT_SECRET(4000);
    unsigned n_moves = 0;

    for (unsigned i = 0; i < 4000; i++) {
        char *before = b.data;
        size_t capacity = b.capacity;
        buffer_append_char(&b, 's');
        if (before && b.data != before) {
            assert_wiped(before, capacity);
            n_moves++;
        }
    }
    assert_true(n_moves >= 3);
}

static void done_and_reset_wipe(void **state _unused_)
{
    struct buffer b = BUFFER_INIT_SECRET(1000);

    for (unsigned i = 0; i < 500; i++)
        buffer_append_char(&b, 's');
    char *block = b.data;
    size_t capacity = b.capacity;
    buffer_reset(&b);
    assert_int_equal(b.size, 0);
    assert_ptr_equal(b.data, block);
    assert_string_equal(buffer_peek(&b), "");
    for (size_t i = 0; i < capacity; i++)
        assert_int_equal(block[i], 0);
    for (unsigned i = 0; i < 500; i++)
        buffer_append_char(&b, 's');
    buffer_done(&b);
    assert_wiped(block, capacity);
    assert_int_equal(b.max, 1000);
    assert_true(b.is_secret);
    assert_null(b.data);
}

static void a_block_can_be_taken_out(void **state _unused_)
{
    struct buffer b = BUFFER_INIT_SECRET(100);

    buffer_append_string(&b, "secret text that is longer than one pointer");
    size_t capacity = b.capacity;
    char *data = TAKE_PTR(b.data);
    buffer_free_block(data, capacity, true);
    assert_wiped(data, capacity);
    buffer_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_empty),
        cmocka_unit_test(grows_and_stays_terminated),
        cmocka_unit_test(pieces_of_every_kind_join),
        cmocka_unit_test(the_maximum_is_exact),
        cmocka_unit_test(errors_stick),
        cmocka_unit_test(formatting_that_fails_sticks),
        cmocka_unit_test(sizes_without_end_do_not_wrap),
        cmocka_unit_test(growing_wipes_the_old_block),
        cmocka_unit_test(done_and_reset_wipe),
        cmocka_unit_test(a_block_can_be_taken_out),
    };
    return cmocka_run_group_tests_name("buffer", tests, NULL, NULL);
}
