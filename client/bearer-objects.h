/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the daemon answers, as the objects of bearer.h: made from the bytes of an answer, checked whole before
 * anybody sees them. Inside libbearer only; unit tests make objects here without a daemon.
 *
 * Each function returns 0, -EBADMSG (not what bearerd answers) or -ENOMEM. `body_x` is consumed by success
 * alone; on failure the caller still owns (and wipes) it.
 */

#include "base/buffer.h"
#include "client/bearer-http.h"
#include "client/bearer.h"

struct json_object;

int bearer_token_parse(struct buffer *body_take, struct bearer_token **ret);
int bearer_headers_parse(struct buffer *body_take, enum bearer_headers_format format,
                         struct bearer_headers **ret);
int bearer_status_parse(struct buffer *body_take, struct bearer_status **ret);
int bearer_status_list_parse(struct buffer *body_take, struct bearer_status_list **ret);
int bearer_explanation_parse(struct buffer *body_take, struct bearer_explanation **ret);

/* The report of a reload, or, where `is_refused`, the problem document that says why there was none. */
int bearer_reload_parse(struct buffer *body_take, bool is_refused, struct bearer_reload_report **ret);

/* A status within another answer: it points into `object`, which must live as long. */
int bearer_status_read(struct json_object *object, struct bearer_status **ret);

/* BEARER_STATE_UNKNOWN for NULL or a word that is none. */
enum bearer_state bearer_state_from_name(const char *name);

/* True when this answer is the refusal of new settings, which is read as a report. */
bool bearer_problem_is_reload_refused(const struct bearer_answer *answer);

/* Moves a body into an object; what stays behind is empty. */
static inline void bearer_body_take(struct buffer *to, struct buffer *from)
{
    *to = *from;
    *from = (struct buffer){.max = from->max};
}

/*
 * Makes an error of an answer that is not a 200. Never fails: where the body is no problem document, the HTTP
 * status must do.
 */
enum bearer_result bearer_problem_read(const struct bearer_answer *answer, struct bearer_error *error);
