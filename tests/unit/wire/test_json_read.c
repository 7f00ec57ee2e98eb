/* SPDX-License-Identifier: MIT */
/*
 * The JSON reader: what it takes, what it refuses, and that json-c, strict, agrees on which texts are JSON
 * (where it does not, the text stands in a list of its own with the reason).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "wire/json_read.h"

static enum json_outcome read_text(const char *text)
{
    struct json_member m[] = {{.name = "a"}};
    /* An exact copy on the heap, so that a sanitizer sees a read beyond the end. */
    size_t size = strlen(text);
    _cleanup_free_ char *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, text, size);
    return json_read_object(copy, size, m, ARRAY_SIZE(m));
}

static bool json_c_takes(const char *text)
{
    struct json_tokener *tok = json_tokener_new_ex(JSON_DEPTH_MAX + 1);
    json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    struct json_object *object = json_tokener_parse_ex(tok, text, (int) strlen(text) + 1);
    bool is_taken = json_tokener_get_error(tok) == json_tokener_success &&
                    json_tokener_get_parse_end(tok) == strlen(text);
    json_object_put(object);
    json_tokener_free(tok);
    return is_taken;
}

static const char *const good[] = {
    "{}",
    " \t\r\n{ } \n",
    "{\"a\":1}",
    "{\"a\":-0}",
    "{\"a\":0.5e+10,\"b\":1E-3,\"c\":12e5}",
    "{\"a\":true,\"b\":false,\"c\":null}",
    "{\"a\":[1,[2,[3]],{\"x\":\"y\"}]}",
    "{\"a\":[]}",
    "{ \"a\" : { } , \"b\" : [ ] }",
    "{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e6\\ud83d\\ude00\"}",
    "{\"a\":\"\xc3\xa6\xe2\x82\xac\xf0\x9f\x98\x80\"}",
    "{\"\":\"\"}",
    "{\"b\":1,\"b\":2}",
};

static const char *const broken[] = {
    "",
    " ",
    "{",
    "}",
    "{}}",
    "{}{}",
    "{} x",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{,}",
    "{\"a\":1 \"b\":2}",
    "{a:1}",
    "{\"a\":'x'}",
    "{\"a\":[1,]}",
    "{\"a\":[1 2]}",
    "{\"a\":[1}",
    "{\"a\":tru}",
    "{\"a\":True}",
    "{\"a\":nul}",
    "{\"a\":01}",
    "{\"a\":+1}",
    "{\"a\":.5}",
    "{\"a\":1.e}",
    "{\"a\":1e}",
    "{\"a\":1e+}",
    "{\"a\":-}",
    "{\"a\":0x10}",
    "{\"a\":\"x}",
    "{\"a\":\"x\\\"}",
    "{\"a\":\"\\x41\"}",
    "{\"a\":\"\\u12\"}",
    "{\"a\":\"\\u12g4\"}",
    "{\"a\":\"\xc3\"}",
    "{\"a\":\"\xff\"}",
    "{\"a\":1}/* c */",
    "{\"a\":1}//",
    "\xef\xbb\xbf{}",
};

/* JSON by json-c, not by RFC 8259 or RFC 3629. */
static const char *const broken_though_json_c_takes_it[] = {
    "{\"a\":\"\n\"}", /* control characters must be escaped */
    "{'a':1}",
    "{\"a\":NaN}",
    "{\"a\":Infinity}",
    "{\"a\":\"\\ud800\"}", /* half a surrogate pair */
    "{\"a\":\"\\ude00\\ud83d\"}",
    "{\"a\":\"\xc0\xaf\"}",         /* overlong */
    "{\"a\":\"\xed\xa0\x80\"}",     /* a surrogate in UTF-8 */
    "{\"a\":\"\xf4\x90\x80\x80\"}", /* above U+10FFFF */
};

static void test_takes_and_refuses_the_right_texts(void **state)
{
    (void) state;

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_int_equal(read_text(good[i]), JSON_READ);
        assert_true(json_c_takes(good[i]));
    }
    for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
        if (read_text(broken[i]) != JSON_BROKEN || json_c_takes(broken[i]))
            fail_msg("wrong about %s", broken[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(broken_though_json_c_takes_it); i++) {
        if (read_text(broken_though_json_c_takes_it[i]) != JSON_BROKEN)
            fail_msg("wrong about %s", broken_though_json_c_takes_it[i]);
    }
}

/* No text that is cut off anywhere passes: the rest of a token would be missing. */
static void test_every_prefix_is_broken(void **state)
{
    const char text[] = "{\"access_token\":\"a\\u00e6\xc3\xa6\",\"n\":[1.5e3,{\"x\":null}],\"a\":true}";
    (void) state;

    for (size_t size = 0; size < sizeof(text) - 1; size++) {
        _cleanup_free_ char *copy = strndup(text, size);
        assert_int_equal(read_text(copy), JSON_BROKEN);
    }
    assert_int_equal(read_text(text), JSON_READ);
}

static void test_what_is_not_an_object(void **state)
{
    static const char *const texts[] = {"[]", "\"a\"", "1", "null", " true ", "[{\"a\":1}]"};
    (void) state;

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        assert_int_equal(read_text(texts[i]), JSON_NOT_OBJECT);
}

static void test_a_zero_byte_ends_nothing(void **state)
{
    struct json_member m[] = {{.name = "a"}};
    (void) state;

    assert_int_equal(json_read_object("{}\0", 3, m, 1), JSON_BROKEN);
    assert_int_equal(json_read_object("{\"a\":\"x\0y\"}", 11, m, 1), JSON_BROKEN);
    assert_int_equal(json_read_object("{\"a\":1\0}", 8, m, 1), JSON_BROKEN);
}

static void test_depth_is_limited(void **state)
{
    (void) state;

    for (unsigned extra = 0; extra < 2; extra++) {
        char text[256] = "{\"a\":";
        size_t size = strlen(text), n = JSON_DEPTH_MAX - 1 + extra;
        memset(text + size, '[', n);
        memset(text + size + n, ']', n);
        text[size + 2 * n] = '}';
        assert_int_equal(read_text(text), extra ? JSON_BROKEN : JSON_READ);
    }
    /* and the recursion with it */
    _cleanup_free_ char *deep = malloc(60001);
    assert_non_null(deep);
    memset(deep, '[', 60000);
    deep[60000] = '\0';
    assert_int_equal(read_text(deep), JSON_BROKEN);
}

static void test_a_wanted_name_twice_is_refused(void **state)
{
    (void) state;

    assert_int_equal(read_text("{\"a\":1,\"a\":1}"), JSON_DUPLICATE);
    assert_int_equal(read_text("{\"a\":1,\"\\u0061\":1}"), JSON_DUPLICATE);
    assert_int_equal(read_text("{\"a\":null,\"x\":{\"a\":2}}"), JSON_READ);
    assert_int_equal(read_text("{\"a\":1,\"ab\":1,\"\":1,\"a\\u0000\":1}"), JSON_READ);
}

static void test_members_are_found_with_kind_and_text(void **state)
{
    struct json_member m[] = {
        {.name = "s"}, {.name = "n"}, {.name = "o"}, {.name = "missing"}, {.name = "z"}};
    const char text[] =
        "{\"n\": 86398 ,\"o\":{\"s\":\"inner\"},\"\\u0073\":\"a\\/b\\u00e6\\ud83d\\ude00\",\"z\":null}";
    _cleanup_(buffer_done) struct buffer value = BUFFER_INIT(64);
    (void) state;

    assert_int_equal(json_read_object(text, sizeof(text) - 1, m, ARRAY_SIZE(m)), JSON_READ);
    assert_int_equal(m[0].kind, JSON_STRING);
    json_append_string(&value, &m[0]);
    assert_string_equal(buffer_peek(&value), "a/b\xc3\xa6\xf0\x9f\x98\x80");
    assert_int_equal(m[1].kind, JSON_NUMBER);
    assert_int_equal(m[1].size, 5);
    assert_memory_equal(m[1].text, "86398", 5);
    assert_int_equal(m[2].kind, JSON_OBJECT);
    assert_memory_equal(m[2].text, "{\"s\":\"inner\"}", m[2].size);
    assert_int_equal(m[3].kind, JSON_ABSENT);
    assert_int_equal(m[4].kind, JSON_NULL);
    assert_string_equal(m[3].name, "missing");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_takes_and_refuses_the_right_texts),
        cmocka_unit_test(test_every_prefix_is_broken),
        cmocka_unit_test(test_what_is_not_an_object),
        cmocka_unit_test(test_a_zero_byte_ends_nothing),
        cmocka_unit_test(test_depth_is_limited),
        cmocka_unit_test(test_a_wanted_name_twice_is_refused),
        cmocka_unit_test(test_members_are_found_with_kind_and_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
