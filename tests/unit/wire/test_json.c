/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "wire/json.h"

#define TEXT_MAX 4096
#define REPLACED "\xef\xbf\xbd" /* U+FFFD */

static void assert_written(const char *text, const char *expected)
{
    _cleanup_(buffer_done) struct buffer out = BUFFER_INIT(TEXT_MAX);
    struct json j = {.out = &out};

    json_string(&j, NULL, text);
    assert_int_equal(buffer_error(&out), 0);
    assert_string_equal(buffer_peek(&out), expected);
}

static void what_json_reserves_is_escaped(void **state _unused_)
{
    static const struct {
        const char *text;
        const char *written;
    } cases[] = {
        {"",                   "\"\""                                   },
        {"plain text/[]{}:,'", "\"plain text/[]{}:,'\""                 },
        {"\"",                 "\"\\\"\""                               },
        {"\\",                 "\"\\\\\""                               },
        {"a\"b\\c",            "\"a\\\"b\\\\c\""                        },
        {"\\\\\"\"",           "\"\\\\\\\\\\\"\\\"\""                   },
        {"\n\r\t\b\f",         "\"\\u000a\\u000d\\u0009\\u0008\\u000c\""},
        {"\x01 \x1f\x7f",      "\"\\u0001 \\u001f\\u007f\""             },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_written(cases[i].text, cases[i].written);
}

static void utf8_stays_and_what_is_none_is_replaced(void **state _unused_)
{
    static const struct {
        const char *text;
        const char *written;
    } cases[] = {
        {"\xc2\x80",                 "\"\xc2\x80\""                               },
        {"\xc3\xa6\xc3\xb8\xc3\xa5", "\"\xc3\xa6\xc3\xb8\xc3\xa5\""               },
        {"\xe0\xa0\x80",             "\"\xe0\xa0\x80\""                           },
        {"\xed\x9f\xbf\xee\x80\x80", "\"\xed\x9f\xbf\xee\x80\x80\""               },
        {"\xf0\x9f\x98\x80",         "\"\xf0\x9f\x98\x80\""                       },
        {"\xf4\x8f\xbf\xbf",         "\"\xf4\x8f\xbf\xbf\""                       },
 /* Bytes that begin nothing. */
        {"\x80",                     "\"" REPLACED "\""                           },
        {"a\xff"
         "b",               "\"a" REPLACED "b\""                         },
        {"\xc0\x80",                 "\"" REPLACED REPLACED "\""                  },
        {"\xc1\xbf",                 "\"" REPLACED REPLACED "\""                  },
        {"\xf5\x80\x80\x80",         "\"" REPLACED REPLACED REPLACED REPLACED "\""},
 /* Longer than needed, surrogates, beyond U+10FFFF. */
        {"\xe0\x9f\xbf",             "\"" REPLACED REPLACED REPLACED "\""         },
        {"\xed\xa0\x80",             "\"" REPLACED REPLACED REPLACED "\""         },
        {"\xed\xbf\xbf",             "\"" REPLACED REPLACED REPLACED "\""         },
        {"\xf0\x8f\xbf\xbf",         "\"" REPLACED REPLACED REPLACED REPLACED "\""},
        {"\xf4\x90\x80\x80",         "\"" REPLACED REPLACED REPLACED REPLACED "\""},
 /* Cut off, at the end and in front of something else. */
        {"\xc3",                     "\"" REPLACED "\""                           },
        {"\xe2\x82",                 "\"" REPLACED REPLACED "\""                  },
        {"\xf0\x9f\x98",             "\"" REPLACED REPLACED REPLACED "\""         },
        {"\xc3\"",                   "\"" REPLACED "\\\"\""                       },
        {"\xe2\x82\xc3\xa6",         "\"" REPLACED REPLACED "\xc3\xa6\""          },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_written(cases[i].text, cases[i].written);
}

/* Every byte, alone and in front of each other one: always JSON, and always UTF-8. */
static void every_pair_of_bytes_is_readable(void **state _unused_)
{
    enum json_tokener_error error;

    for (unsigned a = 1; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            _cleanup_(buffer_done) struct buffer out = BUFFER_INIT(TEXT_MAX);
            struct json j = {.out = &out};
            const char text[] = {(char) a, (char) b, '\0'};

            json_string(&j, NULL, text);
            struct json_tokener *tokener = json_tokener_new();
            json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
            struct json_object *o = json_tokener_parse_ex(tokener, out.data, (int) out.size + 1);
            error = json_tokener_get_error(tokener);
            assert_int_equal(error, json_tokener_success);
            if (a < 0x80 && b < 0x80)
                assert_string_equal(json_object_get_string(o), text);
            json_object_put(o);
            json_tokener_free(tokener);
        }
    }
}

static void members_and_elements_get_their_commas(void **state _unused_)
{
    _cleanup_(buffer_done) struct buffer out = BUFFER_INIT(TEXT_MAX);
    struct json j = {.out = &out};

    json_open(&j, NULL, '{');
    json_open(&j, "empty", '{');
    json_close(&j, '}');
    json_open(&j, "list", '[');
    json_string(&j, NULL, "a");
    json_u64(&j, NULL, UINT64_MAX);
    json_open(&j, NULL, '[');
    json_close(&j, ']');
    json_null(&j, NULL);
    json_close(&j, ']');
    json_string(&j, "k\"ey", "b");
    json_string(&j, "nothing", NULL);
    json_u64(&j, "zero", 0);
    json_close(&j, '}');
    assert_string_equal(buffer_peek(&out), "{\"empty\":{},\"list\":[\"a\",18446744073709551615,[],null],"
                                           "\"k\\\"ey\":\"b\",\"nothing\":null,\"zero\":0}");
}

static void an_overflow_sticks(void **state _unused_)
{
    for (size_t max = 0; max < 20; max++) {
        _cleanup_(buffer_done) struct buffer out = BUFFER_INIT_SECRET(max);
        struct json j = {.out = &out};

        json_open(&j, NULL, '{');
        json_string(&j, "a", "\"\\\x01");
        json_close(&j, '}');
        /* {"a":"\"\\\u0001"} */
        assert_int_equal(buffer_error(&out), max < 18 ? -EMSGSIZE : 0);
        assert_true(out.size <= max);
        /* What would fit on its own does not make it whole again. */
        json_close(&j, '}');
        if (max < 18)
            assert_int_equal(buffer_error(&out), -EMSGSIZE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_json_reserves_is_escaped),
        cmocka_unit_test(utf8_stays_and_what_is_none_is_replaced),
        cmocka_unit_test(every_pair_of_bytes_is_readable),
        cmocka_unit_test(members_and_elements_get_their_commas),
        cmocka_unit_test(an_overflow_sticks),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
