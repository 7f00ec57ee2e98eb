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

int bearer_token_parse(struct buffer *body_take, struct bearer_token **ret);
int bearer_headers_parse(struct buffer *body_take, enum bearer_headers_format format,
                         struct bearer_headers **ret);
int bearer_status_parse(struct buffer *body_take, struct bearer_status **ret);
int bearer_status_list_parse(struct buffer *body_take, struct bearer_status_list **ret);

/*
 * Makes an error of an answer that is not a 200. Never fails: where the body is no problem document, the HTTP
 * status must do.
 */
enum bearer_result bearer_problem_read(const struct bearer_answer *answer, struct bearer_error *error);
