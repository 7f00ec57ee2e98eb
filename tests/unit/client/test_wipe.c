/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "client/bearer-objects.h"

#include "../host/memory_scan.h"

#define BODY_MAX ((size_t) 65536)

/* An answer whose token is canary 0. Long enough that the parser's scratch buffer would have to grow for it.
 */
static void write_answer(struct buffer *body, const char *before, const char *after)
{
    char canary[CANARY_SIZE + 1] = {0};

    canary_write(canary, 0);
    buffer_append_string(body, before);
    buffer_append_string(body, canary);
    buffer_append_string(body, after);
    explicit_bzero(canary, sizeof(canary));
}

static void leaves_no_token_behind(void **state _unused_)
{
    _cleanup_(buffer_done) struct buffer body = BUFFER_INIT(BODY_MAX);
    struct bearer_token *token = NULL;

    if (!memory_can_scan()) {
        print_message("skipped: this memory cannot be scanned (sanitizer or valgrind)\n");
        skip();
    }
    /* An escape makes the parser gather the string in pieces. */
    write_answer(&body, "{\"access_token\":\"a\\/", "\\/b\",\"expires_in\":5}");
    assert_int_equal(bearer_token_parse(&body, &token), 0);
    assert_true(memory_count(0, MEMORY_OTHER) > 0); /* the scan does find it */
    bearer_token_free(token);
    buffer_done(&body);
    assert_int_equal(memory_count(0, MEMORY_OTHER), 0);
}

static void leaves_no_header_behind(void **state _unused_)
{
    struct {
        enum bearer_headers_format format;
        const char *before, *after;
    } cases[] = {
        {BEARER_HEADERS_LINES, "Authorization: Bearer ",       "\n" },
        {BEARER_HEADERS_JSON,  "{\"Authorization\":\"Bearer ", "\"}"},
    };

    if (!memory_can_scan()) {
        print_message("skipped: this memory cannot be scanned (sanitizer or valgrind)\n");
        skip();
    }
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        _cleanup_(buffer_done) struct buffer body = BUFFER_INIT(BODY_MAX);
        struct bearer_headers *headers = NULL;

        write_answer(&body, cases[i].before, cases[i].after);
        assert_int_equal(bearer_headers_parse(&body, cases[i].format, &headers), 0);
        bearer_headers_free(headers);
        buffer_done(&body);
        assert_int_equal(memory_count(0, MEMORY_OTHER), 0);
    }
}

/* A token that is refused for what else is in the answer is wiped all the same. */
static void leaves_nothing_of_a_refused_answer(void **state _unused_)
{
    _cleanup_(buffer_done) struct buffer body = BUFFER_INIT(BODY_MAX);
    struct bearer_token *token = NULL;

    if (!memory_can_scan()) {
        print_message("skipped: this memory cannot be scanned (sanitizer or valgrind)\n");
        skip();
    }
    write_answer(&body, "{\"access_token\":\"", "\",\"expires_in\":\"soon\"}");
    assert_int_equal(bearer_token_parse(&body, &token), -EBADMSG);
    buffer_done(&body);
    assert_int_equal(memory_count(0, MEMORY_OTHER), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leaves_no_token_behind),
        cmocka_unit_test(leaves_no_header_behind),
        cmocka_unit_test(leaves_nothing_of_a_refused_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
