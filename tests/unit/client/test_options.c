/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/options.h"

#define WORDS_MAX 16

/* Parses "bearerctl" and these words; argv lives as long as the test. */
struct line {
    char *argv[WORDS_MAX];
    char words[WORDS_MAX][64];
    struct options options;
    struct buffer complaint;
};

static int parse(struct line *line, const char *const *words, size_t n)
{
    *line = (struct line){.complaint = BUFFER_INIT(4096)};
    assert_true(n + 2 <= WORDS_MAX);
    line->argv[0] = memcpy(line->words[0], "bearerctl", 10);
    for (size_t i = 0; i < n; i++)
        line->argv[i + 1] = memcpy(line->words[i + 1], words[i], strlen(words[i]) + 1);
    return options_parse((int) n + 1, line->argv, &line->options, &line->complaint);
}

#define PARSE(line, ...)                                                                                     \
    parse((line), (const char *const[]){__VA_ARGS__}, ARRAY_SIZE(((const char *const[]){__VA_ARGS__})))

static void assert_refused(int r, struct line *line, const char *words)
{
    assert_int_equal(r, -EINVAL);
    if (!strstr(buffer_peek(&line->complaint), words))
        fail_msg("\"%s\" is not in: %s", words, buffer_peek(&line->complaint));
    buffer_done(&line->complaint);
}

static void reads_a_verb_and_its_profile(void **state _unused_)
{
    struct line line;

    assert_int_equal(PARSE(&line, "token", "shop"), 0);
    assert_int_equal(line.options.verb, VERB_TOKEN);
    assert_int_equal(line.options.n_args, 1);
    assert_string_equal(line.options.args[0], "shop");
    assert_null(line.options.socket_path);
    assert_true(line.options.wait_for == USEC_INFINITY);
    assert_true(line.options.min_ttl_for == USEC_INFINITY);
}

static void takes_options_anywhere(void **state _unused_)
{
    struct line line;

    assert_int_equal(
        PARSE(&line, "--socket", "/x", "token", "--json", "shop", "--wait=1min", "--min-ttl", "90"), 0);
    assert_string_equal(line.options.socket_path, "/x");
    assert_string_equal(line.options.args[0], "shop");
    assert_true(line.options.is_json);
    assert_true(line.options.wait_for == 60 * USEC_PER_SEC);
    assert_true(line.options.min_ttl_for == 90 * USEC_PER_SEC);
}

static void keeps_what_follows_the_dashes(void **state _unused_)
{
    struct line line;

    assert_int_equal(PARSE(&line, "token", "--", "--json"), 0);
    assert_string_equal(line.options.args[0], "--json");
    assert_false(line.options.is_json);
}

static void waits_for_many(void **state _unused_)
{
    struct line line;

    assert_int_equal(PARSE(&line, "wait", "a", "b", "--timeout", "500ms", "c"), 0);
    assert_int_equal(line.options.n_args, 3);
    assert_string_equal(line.options.args[2], "c");
    assert_true(line.options.timeout_for == 500 * USEC_PER_MSEC);
}

static void refuses_a_wait_the_daemon_would_not_take(void **state _unused_)
{
    struct line line;

    assert_int_equal(PARSE(&line, "token", "shop", "--wait", "60"), 0);
    assert_refused(PARSE(&line, "token", "shop", "--wait", "60001ms"), &line, "at most 1min");
}

static void refuses_what_is_no_length_of_time(void **state _unused_)
{
    static const char *const values[] = {"", "-1", "soon", "5 parsecs", "infinity", "0x10"};
    struct line line;

    for (size_t i = 0; i < ARRAY_SIZE(values); i++)
        assert_refused(PARSE(&line, "token", "shop", "--min-ttl", values[i]), &line, "--min-ttl=");
}

static void asks_for_whom(void **state _unused_)
{
    struct line line;

    assert_int_equal(PARSE(&line, "explain", "shop", "--user", "www-data", "--pid=71"), 0);
    assert_string_equal(line.options.user, "www-data");
    assert_int_equal(line.options.pid, 71);
    assert_int_equal(PARSE(&line, "explain", "shop"), 0);
    assert_null(line.options.user);
    assert_int_equal(line.options.pid, 0);
    assert_int_equal(PARSE(&line, "rejected", "shop", "--fingerprint", "x", "--wait", "5", "--json"), 0);
    assert_string_equal(line.options.fingerprint, "x");
}

static void asks_for_keys_or_lists_them(void **state _unused_)
{
    struct line line;

    assert_int_equal(PARSE(&line, "keys", "shop"), 0);
    assert_false(line.options.is_list);
    assert_int_equal(PARSE(&line, "keys", "shop", "client-secret", "subscription-key"), 0);
    assert_int_equal(line.options.n_args, 3);
    assert_int_equal(PARSE(&line, "keys", "--list"), 0);
    assert_true(line.options.is_list);
    assert_int_equal(line.options.n_args, 0);
    assert_int_equal(PARSE(&line, "keys", "shop", "--list"), 0);
    assert_refused(PARSE(&line, "keys"), &line, "keys needs the name of a profile");
    assert_refused(PARSE(&line, "keys", "--list", "shop", "till"), &line, "one argument too many: till");
    assert_refused(PARSE(&line, "status", "--list"), &line, "--list does not go with status");
}

static void refuses_what_is_no_process(void **state _unused_)
{
    static const char *const values[] = {"",    "0",    "-1",         "self",
                                         "1.5", "0x10", "2147483648", "99999999999999999999"};
    struct line line;

    for (size_t i = 0; i < ARRAY_SIZE(values); i++)
        assert_refused(PARSE(&line, "explain", "shop", "--pid", values[i]), &line,
                       "is not a number from 1 to 2147483647");
}

static void suggests_what_was_meant(void **state _unused_)
{
    struct line line;

    assert_refused(PARSE(&line, "tokne", "shop"), &line, "unknown verb tokne; did you mean token?");
    assert_refused(PARSE(&line, "token", "shop", "--min-tll", "5"), &line,
                   "unknown option --min-tll; did you mean --min-ttl?");
    assert_refused(PARSE(&line, "xyzzy"), &line, "unknown verb xyzzy");
    assert_refused(PARSE(&line, "token", "-q", "shop"), &line, "unknown option -q");
}

static void refuses_an_option_of_another_verb(void **state _unused_)
{
    struct line line;

    assert_refused(PARSE(&line, "status", "--wait", "5"), &line, "--wait does not go with status");
    assert_refused(PARSE(&line, "refresh", "shop", "--json"), &line, "--json does not go with refresh");
    assert_refused(PARSE(&line, "token", "shop", "--config", "/x"), &line, "--config does not go with token");
    assert_refused(PARSE(&line, "token", "shop", "--user", "x"), &line, "--user does not go with token");
    assert_refused(PARSE(&line, "rejected", "shop", "--min-ttl", "5"), &line,
                   "--min-ttl does not go with rejected");
    assert_refused(PARSE(&line, "reload", "shop"), &line, "one argument too many: shop");
    assert_refused(PARSE(&line, "explain", "--pid", "5"), &line, "explain needs the name of a profile");
}

static void refuses_missing_and_surplus_words(void **state _unused_)
{
    struct line line;

    assert_refused(parse(&line, NULL, 0), &line, "which verb?");
    assert_refused(PARSE(&line, "token"), &line, "token needs the name of a profile");
    assert_refused(PARSE(&line, "wait"), &line, "wait needs the name of a profile");
    assert_refused(PARSE(&line, "token", "a", "b"), &line, "one argument too many: b");
    assert_refused(PARSE(&line, "check", "x"), &line, "one argument too many: x");
    assert_refused(PARSE(&line, "token", "a", "--wait"), &line, "--wait needs a value");
    assert_refused(PARSE(&line, "token", "a", "--json=yes"), &line, "--json takes no value");
    assert_refused(PARSE(&line, "status", "--socket="), &line, "--socket= needs a value");
}

static void helps_without_a_verb(void **state _unused_)
{
    struct line line;

    assert_int_equal(PARSE(&line, "--help"), 0);
    assert_true(line.options.is_help);
    assert_int_equal(PARSE(&line, "help", "token"), 0);
    assert_true(line.options.is_help);
    assert_int_equal(PARSE(&line, "token", "-h"), 0);
    assert_true(line.options.is_help);
    assert_int_equal(PARSE(&line, "--version"), 0);
    assert_true(line.options.is_version);
}

/* 1.2 s rounded down would ask for a token with less life than was wanted. */
static void rounds_up_to_whole_seconds(void **state _unused_)
{
    assert_int_equal(options_seconds(0), 0);
    assert_int_equal(options_seconds(1), 1);
    assert_int_equal(options_seconds(USEC_PER_SEC), 1);
    assert_int_equal(options_seconds(1200 * USEC_PER_MSEC), 2);
    assert_true(options_seconds(USEC_INFINITY) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_verb_and_its_profile),
        cmocka_unit_test(takes_options_anywhere),
        cmocka_unit_test(keeps_what_follows_the_dashes),
        cmocka_unit_test(waits_for_many),
        cmocka_unit_test(refuses_a_wait_the_daemon_would_not_take),
        cmocka_unit_test(refuses_what_is_no_length_of_time),
        cmocka_unit_test(asks_for_whom),
        cmocka_unit_test(asks_for_keys_or_lists_them),
        cmocka_unit_test(refuses_what_is_no_process),
        cmocka_unit_test(suggests_what_was_meant),
        cmocka_unit_test(refuses_an_option_of_another_verb),
        cmocka_unit_test(refuses_missing_and_surplus_words),
        cmocka_unit_test(helps_without_a_verb),
        cmocka_unit_test(rounds_up_to_whole_seconds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
