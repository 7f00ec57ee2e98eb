/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "client/verbs.h"

enum exit_status verb_open(const struct options *options, struct bearer **ret)
{
    int r = bearer_new(options->socket_path, ret);
    if (r == -ENAMETOOLONG) {
        output_error("the path of the socket is too long: no socket can have it");
        return EXIT_USAGE;
    }
    if (r < 0) {
        output_error("%s", strerror(-r));
        return EXIT_REFUSED;
    }
    return EXIT_DONE;
}

static void set_wait(const struct options *options, struct bearer *b)
{
    if (options->wait_for != USEC_INFINITY)
        (void) bearer_set_wait(b, (int) options_seconds(options->wait_for));
}

enum exit_status verb_token(const struct options *options)
{
    _cleanup_(bearer_free_p) struct bearer *b = NULL;
    _cleanup_(bearer_token_free_p) struct bearer_token *token = NULL;
    const char *profile = options->args[0];

    enum exit_status status = verb_open(options, &b);
    if (status != EXIT_DONE)
        return status;
    /* Both are in range: the options' own limits are no wider. */
    set_wait(options, b);
    if (options->min_ttl_for != USEC_INFINITY)
        (void) bearer_set_min_ttl(b, options_seconds(options->min_ttl_for));

    if (bearer_get_token(b, profile, &token) != BEARER_OK)
        return output_failure(b, profile);
    return output_line(options->is_json ? bearer_token_json(token) : bearer_token_value(token));
}

enum exit_status verb_headers(const struct options *options)
{
    _cleanup_(bearer_free_p) struct bearer *b = NULL;
    _cleanup_(bearer_headers_free_p) struct bearer_headers *headers = NULL;
    const char *profile = options->args[0];

    enum exit_status status = verb_open(options, &b);
    if (status != EXIT_DONE)
        return status;
    if (bearer_get_headers(b, profile, options->is_json ? BEARER_HEADERS_JSON : BEARER_HEADERS_LINES,
                           &headers) != BEARER_OK)
        return output_failure(b, profile);
    if (options->is_json)
        return output_line(bearer_headers_json(headers));
    for (size_t i = 0; i < bearer_headers_n_lines(headers) && status == EXIT_DONE; i++)
        status = output_line(bearer_headers_line(headers, i));
    return status;
}

/* The fingerprint of the token that there is now, without waiting for one that is not. */
static enum exit_status get_fingerprint(struct bearer *b, const char *profile, struct bearer_token **ret)
{
    (void) bearer_set_wait(b, 0);
    (void) bearer_set_min_ttl(b, 0);
    if (bearer_get_token(b, profile, ret) != BEARER_OK)
        return output_failure(b, profile);
    (void) bearer_set_wait(b, BEARER_DEFAULT);
    (void) bearer_set_min_ttl(b, BEARER_DEFAULT);
    if (bearer_token_fingerprint(*ret))
        return EXIT_DONE;
    output_error("%s: the daemon gave the token no fingerprint", profile);
    return EXIT_UNREACHABLE;
}

/* Prints the token to go on with, as the verb token does. */
enum exit_status verb_rejected(const struct options *options)
{
    _cleanup_(bearer_free_p) struct bearer *b = NULL;
    _cleanup_(bearer_token_free_p) struct bearer_token *rejected = NULL, *token = NULL;
    const char *profile = options->args[0], *fingerprint = options->fingerprint;
    char span[TEXT_SPAN_SIZE];

    enum exit_status status = verb_open(options, &b);
    if (status == EXIT_DONE && !fingerprint)
        status = get_fingerprint(b, profile, &rejected);
    if (status != EXIT_DONE)
        return status;
    if (rejected)
        fingerprint = bearer_token_fingerprint(rejected);

    set_wait(options, b);
    if (bearer_report_rejected(b, profile, fingerprint, &token) != BEARER_OK) {
        int64_t retry_after = bearer_error_retry_after(bearer_peek_error(b));
        status = output_failure(b, profile);
        if (bearer_error_http_status(bearer_peek_error(b)) == 429 && retry_after >= 0)
            output_error("%s: it can be reported again in %s", profile, text_span(retry_after, span));
        return status;
    }
    return output_line(options->is_json ? bearer_token_json(token) : bearer_token_value(token));
}

/* The daemon answers with the status that came of it; a token that was good before stays so, but that is not
 * done. */
enum exit_status verb_refresh(const struct options *options)
{
    _cleanup_(bearer_free_p) struct bearer *b = NULL;
    _cleanup_(bearer_status_free_p) struct bearer_status *after = NULL;
    const char *profile = options->args[0];

    enum exit_status status = verb_open(options, &b);
    if (status != EXIT_DONE)
        return status;
    if (bearer_refresh(b, profile, &after) != BEARER_OK)
        return output_failure(b, profile);

    switch (bearer_status_state(after)) {
    case BEARER_STATE_STALE:
    case BEARER_STATE_FAILED: {
        const char *why = bearer_status_error_message(after);
        output_error("%s: %s", profile, why ? why : "the refresh failed");
        return EXIT_REFUSED;
    }
    case BEARER_STATE_EMPTY:
    case BEARER_STATE_FETCHING:
    case BEARER_STATE_REFRESHING:
        output_error("%s: the fetch is still under way; see: bearerctl status %s", profile, profile);
        return EXIT_DONE;
    case BEARER_STATE_FRESH:
    case BEARER_STATE_IDLE:
    case BEARER_STATE_UNKNOWN:
        return EXIT_DONE;
    }
    return EXIT_DONE;
}
