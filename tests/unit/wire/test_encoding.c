/* SPDX-License-Identifier: MIT */
/* base64, base64url and forms: the vectors of the RFCs, and what a decoder must refuse. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "wire/base64.h"
#include "wire/form.h"

static void test_base64_vectors_of_rfc4648(void **state)
{
    static const char *const vectors[][2] = {
        {"",             ""        },
        {"f",            "Zg=="    },
        {"fo",           "Zm8="    },
        {"foo",          "Zm9v"    },
        {"foob",         "Zm9vYg=="},
        {"fooba",        "Zm9vYmE="},
        {"foobar",       "Zm9vYmFy"},
        {"\xfb\xff\xfe", "+//+"    },
    };
    (void) state;

    for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
        _cleanup_(buffer_done) struct buffer b = BUFFER_INIT(64);
        base64_append(&b, vectors[i][0], strlen(vectors[i][0]));
        assert_string_equal(buffer_peek(&b), vectors[i][1]);
    }
}

static void test_base64url_round_trip(void **state)
{
    unsigned char bytes[256];
    (void) state;

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char) (i * 167);
    for (size_t size = 0; size <= sizeof(bytes); size++) {
        _cleanup_(buffer_done) struct buffer text = BUFFER_INIT(512), back = BUFFER_INIT(512);
        base64url_append(&text, bytes, size);
        assert_null(strpbrk(buffer_peek(&text), "+/="));
        assert_int_equal(base64url_append_decoded(&back, buffer_peek(&text), text.size), 0);
        assert_int_equal(back.size, size);
        assert_memory_equal(buffer_peek(&back), bytes, size);
    }
}

static void test_base64url_refuses_what_is_not_exactly_it(void **state)
{
    static const char *const wrong[] = {"A", "AAAAA", "Zg==", "Zm9+", "Zm9/", "Zm 9", "Zh", "Zm9vYmF"};
    (void) state;

    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        _cleanup_(buffer_done) struct buffer b = BUFFER_INIT(64);
        assert_int_equal(base64url_append_decoded(&b, wrong[i], strlen(wrong[i])), -EINVAL);
    }
    _cleanup_(buffer_done) struct buffer b = BUFFER_INIT(64);
    assert_int_equal(base64url_append_decoded(&b, "AA\0A", 4), -EINVAL);
}

static void test_form_encodes_as_rfc6749_appendix_b(void **state)
{
    _cleanup_(buffer_done) struct buffer b = BUFFER_INIT(256);
    (void) state;

    form_append_field(&b, "x", " %&+\xc2\xa3\xe2\x82\xac", 9); /* the RFC's own example */
    form_append_field(&b, "plain", "aZ09*-._", 8);
    form_append_field(&b, "odd name", "=~/:\0", 5);
    assert_string_equal(buffer_peek(&b),
                        "x=+%25%26%2B%C2%A3%E2%82%AC&plain=aZ09*-._&odd+name=%3D%7E%2F%3A%00");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64_vectors_of_rfc4648),
        cmocka_unit_test(test_base64url_round_trip),
        cmocka_unit_test(test_base64url_refuses_what_is_not_exactly_it),
        cmocka_unit_test(test_form_encodes_as_rfc6749_appendix_b),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
