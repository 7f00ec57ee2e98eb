/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/bearer-objects.h"
#include "client/table.h"

#define OUT_MAX ((size_t) 65536)

/* 2026-01-31T12:00:00Z */
#define NOW INT64_C(1769860800)

static const struct style plain = {.is_utf8 = true};
static const struct style ascii = {0};

static struct table_row fresh_row(void)
{
    return (struct table_row){.profile = "shop",
                              .state_name = "fresh",
                              .state = BEARER_STATE_FRESH,
                              .left = 53 * 60 + 12,
                              .lifetime = 7200,
                              .next_refresh_at = NOW + 23 * 60,
                              .error_at = BEARER_ABSENT};
}

static struct table_row failed_row(void)
{
    return (struct table_row){.profile = "partner.no-1",
                              .state_name = "failed",
                              .state = BEARER_STATE_FAILED,
                              .left = BEARER_ABSENT,
                              .next_refresh_at = NOW + 40,
                              .error = "vipps answered 401: Access denied due to invalid subscription key",
                              .error_at = NOW - 120};
}

static void assert_text(struct buffer *out, const char *expected)
{
    assert_int_equal(buffer_error(out), 0);
    assert_string_equal(buffer_peek(out), expected);
    buffer_done(out);
}

static void assert_bar(int64_t left, int64_t lifetime, const char *expected)
{
    struct buffer out = BUFFER_INIT(OUT_MAX);

    bar_append(&out, left, lifetime, false);
    assert_text(&out, expected);
}

static void draws_a_bar(void **state _unused_)
{
    assert_bar(0, 3600, "----------");
    assert_bar(1, 3600, "#---------"); /* something is left, and is seen */
    assert_bar(1800, 3600, "#####-----");
    assert_bar(3599, 3600, "#########-"); /* something is gone, and is seen */
    assert_bar(3600, 3600, "##########");
    assert_bar(9999, 3600, "##########");
    assert_bar(INT64_MAX - 1, INT64_MAX, "#########-");
}

static void draws_a_bar_of_blocks(void **state _unused_)
{
    struct buffer out = BUFFER_INIT(OUT_MAX);

    bar_append(&out, 1800, 3600, true);
    assert_text(&out, "█████░░░░░");
}

static void assert_span(int64_t seconds, const char *expected)
{
    char buf[TEXT_SPAN_SIZE];

    assert_string_equal(text_span(seconds, buf), expected);
}

static void says_lengths_as_people_do(void **state _unused_)
{
    assert_span(0, "0s");
    assert_span(59, "59s");
    assert_span(3192, "53min");
    assert_span(3600, "1h");
    assert_span(18720, "5h 12min");
    assert_span(90061, "1d 1h");
    assert_span(86400 + 59 * 60, "1d");
}

static void says_moments_as_people_do(void **state _unused_)
{
    char buf[TEXT_SPAN_SIZE];

    assert_string_equal(text_moment(NOW, NOW, buf), "now");
    assert_string_equal(text_moment(NOW + 61, NOW, buf), "in 1min");
    assert_string_equal(text_moment(NOW - 7200, NOW, buf), "2h ago");
    assert_string_equal(text_moment(BEARER_ABSENT, NOW, buf), "-");
}

static void shows_a_table(void **state _unused_)
{
    const struct table_row rows[] = {fresh_row(), failed_row()};
    struct buffer out = BUFFER_INIT(OUT_MAX);

    table_append(&out, rows, 2, NOW, &plain);
    assert_text(
        &out,
        "PROFILE       STATE   LEFT              NEXT REFRESH  LAST ERROR\n"
        "shop          fresh   ████░░░░░░ 53min  in 23min\n"
        "partner.no-1  failed  -                 in 40s        2min ago: vipps answered 401: Access denied"
        " due to invalid subscription key\n");
}

static void puts_a_long_error_below_its_row(void **state _unused_)
{
    const struct table_row row = failed_row();
    struct buffer out = BUFFER_INIT(OUT_MAX);

    table_append(&out, &row, 1, NOW, &(struct style){.width = 60});
    assert_text(&out, "PROFILE       STATE   LEFT  NEXT REFRESH  LAST ERROR\n"
                      "partner.no-1  failed  -     in 40s\n"
                      "    2min ago: vipps answered 401: Access denied due to\n"
                      "    invalid subscription key\n");
}

/* Whatever the width, no line is longer, as long as the columns can be had at all. */
static void fits_every_width(void **state _unused_)
{
    const struct table_row rows[] = {fresh_row(), failed_row()};

    for (unsigned width = 44; width < 160; width++) {
        struct buffer out = BUFFER_INIT(OUT_MAX);

        table_append(&out, rows, 2, NOW, &(struct style){.width = width});
        for (const char *line = buffer_peek(&out); *line; line = strchr(line, '\n') + 1)
            assert_true((size_t) (strchr(line, '\n') - line) <= width);
        assert_non_null(strstr(buffer_peek(&out), "key\n")); /* and nothing is cut off */
        buffer_done(&out);
    }
}

static void leaves_the_bars_out_where_it_is_narrow(void **state _unused_)
{
    const struct table_row row = fresh_row();
    struct buffer out = BUFFER_INIT(OUT_MAX);

    table_append(&out, &row, 1, NOW, &(struct style){.width = 40});
    assert_text(&out, "PROFILE  STATE  LEFT   NEXT REFRESH\n"
                      "shop     fresh  53min  in 23min\n");
}

static void keeps_a_long_word_whole(void **state _unused_)
{
    struct buffer out = BUFFER_INIT(OUT_MAX);

    text_append_wrapped(&out, "see https://example.org/a/long/path now", 4, &(struct style){.width = 16});
    assert_text(&out, "    see\n    https://example.org/a/long/path\n    now\n");
}

static void colours_only_when_asked(void **state _unused_)
{
    const struct table_row row = failed_row();
    struct buffer out = BUFFER_INIT(OUT_MAX);

    state_append(&out, &row, 8, &(struct style){.has_colour = true});
    assert_text(&out, "\033[1;31mfailed\033[0m  ");
    state_append(&out, &row, 8, &plain);
    assert_text(&out, "failed  ");
}

/* What an upstream says ends up in last_error: it must not reach the terminal's own language. */
static void obeys_no_control_character(void **state _unused_)
{
    struct buffer out = BUFFER_INIT(OUT_MAX);

    text_append_clean(&out,
                      "a\033]0;owned\007b\r\nc\xc2\x9b"
                      "31md\x7f",
                      true);
    assert_text(&out, "a?]0;owned?b??c?31md?");
    text_append_clean(&out, "blåbær", true);
    assert_text(&out, "blåbær");
    text_append_clean(&out, "blåbær", false);
    assert_text(&out, "bl?b?r");
}

static struct bearer_status *status_from(const char *json)
{
    struct buffer body = BUFFER_INIT(OUT_MAX);
    struct bearer_status *s = NULL;

    buffer_append_string(&body, json);
    assert_int_equal(bearer_status_parse(&body, &s), 0);
    buffer_done(&body);
    return s;
}

static void shows_all_about_one(void **state _unused_)
{
    struct buffer out = BUFFER_INIT(OUT_MAX);
    struct bearer_status *s = status_from(
        "{\"name\":\"shop\",\"description\":\"Web "
        "shop\",\"provider\":\"vipps\",\"state\":\"stale\",\"generation\":7,"
        "\"issued_at\":\"2026-01-31T11:30:00Z\",\"expires_at\":\"2026-01-31T12:30:00Z\",\"expires_in\":1800,"
        "\"next_refresh_at\":\"2026-01-31T12:00:40Z\",\"fingerprint\":\"0123456789abcdef\","
        "\"client_secret\":\"current\",\"subscription_key\":\"primary\",\"preload\":null,"
        "\"consecutive_failures\":2,\"last_error\":{\"at\":\"2026-01-31T11:58:00Z\",\"reason\":\"timeout\","
        "\"http_status\":null,\"message\":\"no whole answer within 15s\"}}");

    detail_append(&out, s, NOW, &ascii);
    assert_text(&out, "     Profile: shop\n"
                      " Description: Web shop\n"
                      "    Provider: vipps\n"
                      "       State: stale\n"
                      "        Left: #####----- 30min\n"
                      "      Issued: 2026-01-31T11:30:00Z (30min ago)\n"
                      "     Expires: 2026-01-31T12:30:00Z (in 30min)\n"
                      "Next refresh: 2026-01-31T12:00:40Z (in 40s)\n"
                      " Fingerprint: 0123456789abcdef\n"
                      "  Generation: 7\n"
                      "    Failures: 2 in a row\n"
                      "  Last error: no whole answer within 15s\n"
                      "      Reason: timeout\n"
                      "      Failed: 2026-01-31T11:58:00Z (2min ago)\n");
    bearer_status_free(s);
}

static void shows_one_that_has_nothing_yet(void **state _unused_)
{
    struct buffer out = BUFFER_INIT(OUT_MAX);
    struct bearer_status *s = status_from("{\"name\":\"shop\",\"state\":\"empty\",\"issued_at\":null,"
                                          "\"expires_in\":null,\"last_error\":null}");

    detail_append(&out, s, NOW, &ascii);
    assert_text(&out, "     Profile: shop\n"
                      "       State: empty\n"
                      "        Left: -\n");
    bearer_status_free(s);
}

static void shows_an_idle_one_and_its_second_keys(void **state _unused_)
{
    struct buffer out = BUFFER_INIT(OUT_MAX);
    struct bearer_status *s = status_from(
        "{\"name\":\"shop\",\"state\":\"idle\",\"expires_in\":60,\"preload\":false,"
        "\"client_secret\":\"next\",\"subscription_key\":\"secondary\",\"allow\":[\"user:bob\",\"any\"]}");

    assert_int_equal(bearer_status_state(s), BEARER_STATE_IDLE);
    assert_true(bearer_status_is_usable(s));
    detail_append(&out, s, NOW, &ascii);
    assert_text(&out, "     Profile: shop\n"
                      "       Allow: user:bob\n"
                      "              any\n"
                      "       State: idle\n"
                      "        Left: 1min\n"
                      "Next refresh: at the next request: nobody has asked for a while\n"
                      " Keys in use: next client secret, secondary subscription key\n");
    bearer_status_free(s);
    s = status_from("{\"name\":\"shop\",\"state\":\"idle\",\"expires_in\":null}");
    assert_false(bearer_status_is_usable(s));   /* its token is over */
    assert_true(bearer_status_is_preloaded(s)); /* as long as nobody says otherwise */
    bearer_status_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_a_bar),
        cmocka_unit_test(draws_a_bar_of_blocks),
        cmocka_unit_test(says_lengths_as_people_do),
        cmocka_unit_test(says_moments_as_people_do),
        cmocka_unit_test(shows_a_table),
        cmocka_unit_test(puts_a_long_error_below_its_row),
        cmocka_unit_test(fits_every_width),
        cmocka_unit_test(leaves_the_bars_out_where_it_is_narrow),
        cmocka_unit_test(keeps_a_long_word_whole),
        cmocka_unit_test(colours_only_when_asked),
        cmocka_unit_test(obeys_no_control_character),
        cmocka_unit_test(shows_all_about_one),
        cmocka_unit_test(shows_one_that_has_nothing_yet),
        cmocka_unit_test(shows_an_idle_one_and_its_second_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
