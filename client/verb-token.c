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

enum exit_status verb_token(const struct options *options)
{
    _cleanup_(bearer_free_p) struct bearer *b = NULL;
    _cleanup_(bearer_token_free_p) struct bearer_token *token = NULL;
    const char *profile = options->args[0];

    enum exit_status status = verb_open(options, &b);
    if (status != EXIT_DONE)
        return status;
    /* Both are in range: the options' own limits are no wider. */
    if (options->wait_for != USEC_INFINITY)
        (void) bearer_set_wait(b, (int) options_seconds(options->wait_for));
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
    case BEARER_STATE_UNKNOWN:
        return EXIT_DONE;
    }
    return EXIT_DONE;
}
