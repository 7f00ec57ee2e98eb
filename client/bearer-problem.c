/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "client/bearer-json.h"
#include "client/bearer-objects.h"

/* What bearer_problem_read() and its callers tell apart. */
#define RELOAD_REFUSED   "urn:bearerd:problem:reload-refused"
#define RELOAD_TIMED_OUT "urn:bearerd:problem:reload-timed-out"

struct problem_document {
    const char *type;
    const char *title;
    const char *detail;
    const char *state_name;
};

static const struct bearer_field problem_fields[] = {
    {"type",   BEARER_FIELD_TEXT, false, offsetof(struct problem_document, type)      },
    {"title",  BEARER_FIELD_TEXT, false, offsetof(struct problem_document, title)     },
    {"detail", BEARER_FIELD_TEXT, false, offsetof(struct problem_document, detail)    },
    {"state",  BEARER_FIELD_TEXT, false, offsetof(struct problem_document, state_name)},
};

/*
 * Nothing was refused and nothing has failed: the wait was over before the first fetch was. A fetch that is
 * tried again after a failure has that failure in last_error, and is one.
 */
static bool is_still_fetching(const struct bearer_answer *answer, enum bearer_state state,
                              struct json_object *object)
{
    struct json_object *last_error = NULL;

    (void) json_object_object_get_ex(object, "last_error", &last_error);
    return answer->status == 503 && !last_error &&
           (state == BEARER_STATE_EMPTY || state == BEARER_STATE_FETCHING ||
            state == BEARER_STATE_REFRESHING);
}

static enum bearer_result result_from_status(int status)
{
    if (status == 429) /* too many connections: a no for now, as 503 is */
        return BEARER_FAILED;
    if (status >= 400 && status < 500)
        return BEARER_REFUSED;
    return status >= 500 && status < 600 ? BEARER_FAILED : BEARER_PROTOCOL;
}

enum bearer_result bearer_problem_read(const struct bearer_answer *answer, struct bearer_error *error)
{
    _cleanup_(bearer_json_free_p) struct json_object *object = NULL;
    struct problem_document problem = {0};
    enum bearer_result result = result_from_status(answer->status);

    error->http_status = answer->status;
    error->retry_after = answer->retry_after;
    if (!answer->is_problem ||
        bearer_json_parse(buffer_peek(&answer->body), answer->body.size, false, &object) < 0 ||
        bearer_json_read(object, problem_fields, ARRAY_SIZE(problem_fields), &problem) < 0)
        return bearer_error_set(error, result, "the daemon answered with HTTP status %d and no reason",
                                answer->status);

    error->state = bearer_state_from_name(problem.state_name);
    if (is_still_fetching(answer, error->state, object) ||
        (problem.type && !strcmp(problem.type, RELOAD_TIMED_OUT)))
        result = BEARER_TIMED_OUT;
    if (problem.title) {
        (void) bearer_error_set(error, result, "%s", problem.title);
        (void) snprintf(error->title, sizeof(error->title), "%.*s", (int) sizeof(error->title) - 1,
                        error->message);
    }
    const char *words = problem.detail ? problem.detail : problem.title;
    if (!words)
        return bearer_error_set(error, result, "the daemon answered with HTTP status %d", answer->status);
    return bearer_error_set(error, result, "%s", words);
}

bool bearer_problem_is_reload_refused(const struct bearer_answer *answer)
{
    static const struct bearer_field fields[] = {
        {"type", BEARER_FIELD_TEXT, true, 0}
    };
    _cleanup_(bearer_json_free_p) struct json_object *object = NULL;
    const char *type = NULL;

    return answer->status == 409 && answer->is_problem &&
           bearer_json_parse(buffer_peek(&answer->body), answer->body.size, false, &object) == 0 &&
           bearer_json_read(object, fields, ARRAY_SIZE(fields), &type) == 0 && !strcmp(type, RELOAD_REFUSED);
}
