/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/ini.h"
#include "config_fixture.h"

struct parsed {
    struct ini ini;
    struct problems problems;
};

static void parsed_done(struct parsed *p)
{
    ini_done(&p->ini);
    problems_done(&p->problems);
}

static struct parsed parse_bytes(const char *text, size_t size)
{
    struct parsed p = {0};
    assert_int_equal(ini_parse(text, size, "f", &p.problems, &p.ini), 0);
    return p;
}

static struct parsed parse(const char *text)
{
    return parse_bytes(text, strlen(text));
}

static void assert_item(const struct parsed *p, size_t i, const char *key, const char *value, unsigned line)
{
    assert_true(i < p->ini.n_items);
    assert_string_equal(p->ini.items[i].key, key);
    assert_string_equal(p->ini.items[i].value, value);
    assert_int_equal(p->ini.items[i].line, line);
}

static void test_keys_come_with_section_and_line(void **state)
{
    (void) state;
    _cleanup_(parsed_done) struct parsed p =
        parse("# head\n\n[One]\nA=1\n  B \t= two words \t\n[Two]\nC=\nD=x=y");
    assert_int_equal(p.problems.n_items, 0);
    assert_int_equal(p.ini.n_items, 6);
    assert_null(p.ini.items[0].key);
    assert_string_equal(p.ini.items[0].section, "One");
    assert_item(&p, 1, "A", "1", 4);
    assert_item(&p, 2, "B", "two words", 5);
    assert_string_equal(p.ini.items[3].section, "Two");
    assert_int_equal(p.ini.items[3].line, 6);
    assert_item(&p, 4, "C", "", 7);
    assert_item(&p, 5, "D", "x=y", 8);
    assert_string_equal(p.ini.items[5].section, "Two");
}

static void test_comments_stand_on_lines_of_their_own(void **state)
{
    (void) state;
    _cleanup_(parsed_done) struct parsed p = parse("[S]\n;A=1\n  # B=2\nC=50% # half\nD=#1\n");
    assert_int_equal(p.problems.n_items, 0);
    assert_int_equal(p.ini.n_items, 3);
    assert_item(&p, 1, "C", "50% # half", 4);
    assert_item(&p, 2, "D", "#1", 5);
}

static void test_a_backslash_joins_lines_as_in_systemd(void **state)
{
    (void) state;
    _cleanup_(parsed_done) struct parsed p = parse("[S]\n"
                                                   "A=one\\\n"
                                                   "   two\\\n"
                                                   "# a comment between\n"
                                                   "three\n"
                                                   "B=path\\\\\n"
                                                   "C=x\\\n"
                                                   "\n"
                                                   "D=last\\");
    assert_int_equal(p.problems.n_items, 0);
    assert_item(&p, 1, "A", "one two three", 2);
    assert_item(&p, 2, "B", "path\\\\", 6);
    assert_item(&p, 3, "C", "x", 7);
    assert_item(&p, 4, "D", "last", 9);
    assert_int_equal(p.ini.n_items, 5);
}

static void test_other_editors_files_are_read(void **state)
{
    (void) state;
    _cleanup_(parsed_done) struct parsed p =
        parse("\xef\xbb\xbf[S]\r\nA=\xc3\xa6\xc3\xb8\xc3\xa5\r\nB=a\\\r\nb\r\n");
    assert_int_equal(p.problems.n_items, 0);
    assert_item(&p, 1, "A", "\xc3\xa6\xc3\xb8\xc3\xa5", 2);
    assert_item(&p, 2, "B", "a b", 3);
}

static void test_every_broken_line_is_found_and_the_rest_read(void **state)
{
    (void) state;
    static const char text[] = "Early=1\n"        /* 1: before a section */
                               "[S]\n"            /* 2 */
                               "no equals\n"      /* 3 */
                               "=value\n"         /* 4 */
                               "A=\x1b[31mred\n"  /* 5: control character */
                               "B=\xff\n"         /* 6: not UTF-8 */
                               "C=\xc0\xaf\n"     /* 7: overlong */
                               "D=\xed\xa0\x80\n" /* 8: surrogate */
                               "E=\xc2\x85\n"     /* 9: C1 control */
                               "F=a\0b\n"         /* 10 */
                               "[Broken\n"        /* 11 */
                               "G=1\n"            /* 12: nobody knows where it belongs */
                               "[T] # remark\n"   /* 13 */
                               "[]\n"             /* 14 */
                               "[U]\n"            /* 15 */
                               "H=ok\n"           /* 16 */
                               "J\tK=1\n"         /* 17 */
                               "[V\tW]\n"         /* 18 */
                               "# old\rI=1\n";    /* 19: hidden behind a bare CR */
    _cleanup_(parsed_done) struct parsed p = parse_bytes(text, sizeof(text) - 1);
    assert_true(has_error(&p.problems, "f:1", "before the first [Section]"));
    assert_true(has_error(&p.problems, "f:3", "neither"));
    assert_true(has_error(&p.problems, "f:4", "no key"));
    assert_true(has_error(&p.problems, "f:5", "control character"));
    assert_true(has_error(&p.problems, "f:6", "UTF-8"));
    assert_true(has_error(&p.problems, "f:7", "UTF-8"));
    assert_true(has_error(&p.problems, "f:8", "UTF-8"));
    assert_true(has_error(&p.problems, "f:9", "control character"));
    assert_true(has_error(&p.problems, "f:10", "NUL"));
    assert_true(has_error(&p.problems, "f:11", "section header"));
    assert_true(has_error(&p.problems, "f:13", "section header"));
    assert_true(has_error(&p.problems, "f:14", "section header"));
    assert_true(has_error(&p.problems, "f:19", "control character"));
    assert_true(has_error(&p.problems, "f:17", "a tab"));
    assert_true(has_error(&p.problems, "f:18", "section header"));
    assert_int_equal(p.problems.n_errors, 15);
    assert_int_equal(p.ini.n_items, 3);
    assert_item(&p, 2, "H", "ok", 16);
}

static void test_a_broken_line_takes_its_continuations_along(void **state)
{
    (void) state;
    _cleanup_(parsed_done) struct parsed p = parse("[S]\nA=\x01\\\nB=2\nC=3\n");
    assert_int_equal(p.problems.n_errors, 1);
    assert_int_equal(p.ini.n_items, 2);
    assert_item(&p, 1, "C", "3", 4);
}

static void test_a_pasted_secret_is_not_repeated(void **state)
{
    (void) state;
    _cleanup_(parsed_done) struct parsed p = parse("[Keys]\n0123456789abcdef0123456789abcdef\n");
    assert_int_equal(p.problems.n_errors, 1);
    assert_true(fixture_never_says(&p.problems, "0123456789"));
}

static void test_a_line_may_be_so_long_and_no_longer(void **state)
{
    (void) state;
    char *text = malloc(INI_LINE_MAX + 16);
    assert_non_null(text);
    memcpy(text, "[S]\nA=", 6);
    memset(text + 6, 'x', INI_LINE_MAX + 10);
    {
        _cleanup_(parsed_done) struct parsed p = parse_bytes(text, 4 + INI_LINE_MAX);
        assert_int_equal(p.problems.n_errors, 0);
        assert_int_equal(strlen(p.ini.items[1].value), INI_LINE_MAX - 2);
    }
    {
        _cleanup_(parsed_done) struct parsed p = parse_bytes(text, 4 + INI_LINE_MAX + 1);
        assert_true(has_error(&p.problems, "f:2", "longer than"));
        assert_int_equal(p.ini.n_items, 1);
    }
    /* Continued lines count together. */
    text[100] = '\\';
    text[101] = '\n';
    {
        _cleanup_(parsed_done) struct parsed p = parse_bytes(text, 4 + INI_LINE_MAX + 1);
        assert_int_equal(p.problems.n_errors, 0);
    }
    {
        _cleanup_(parsed_done) struct parsed p = parse_bytes(text, 4 + INI_LINE_MAX + 2);
        assert_int_equal(p.problems.n_errors, 1);
    }
    free(text);
}

static void test_a_hopeless_file_is_given_up_aloud(void **state)
{
    (void) state;
    char text[1000];
    for (size_t i = 0; i < sizeof(text); i += 2)
        memcpy(text + i, "x\n", 2);
    _cleanup_(parsed_done) struct parsed p = parse_bytes(text, sizeof(text));
    assert_int_equal(p.problems.n_errors, 101);
    assert_true(has_error(&p.problems, "f:100", "not read"));
}

static void test_nothing_is_nothing(void **state)
{
    (void) state;
    _cleanup_(parsed_done) struct parsed p = parse("");
    assert_int_equal(p.ini.n_items, 0);
    assert_int_equal(p.problems.n_items, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_come_with_section_and_line),
        cmocka_unit_test(test_comments_stand_on_lines_of_their_own),
        cmocka_unit_test(test_a_backslash_joins_lines_as_in_systemd),
        cmocka_unit_test(test_other_editors_files_are_read),
        cmocka_unit_test(test_every_broken_line_is_found_and_the_rest_read),
        cmocka_unit_test(test_a_broken_line_takes_its_continuations_along),
        cmocka_unit_test(test_a_pasted_secret_is_not_repeated),
        cmocka_unit_test(test_a_line_may_be_so_long_and_no_longer),
        cmocka_unit_test(test_a_hopeless_file_is_given_up_aloud),
        cmocka_unit_test(test_nothing_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
