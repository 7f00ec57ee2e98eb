/* SPDX-License-Identifier: MIT */
#pragma once

/* What api.c, api_access.c and api_views.c share; for nobody else. */

#include "api.h"

struct refusal {
    enum problem_kind kind;
    const char *name;            /* the profile as asked for, or NULL */
    const struct profile *known; /* for a caller that may know it, or NULL */
    usec_t retry_in;             /* Retry-After, rounded up; 0: none */
    const char *allow;           /* 405 */
};

#define REFUSAL(...) (&(struct refusal){__VA_ARGS__})

/* Refuses with words. Counted. NULL when memory is out. */
_printf_(4, 5) struct response *api_refuse(struct api *a, struct request *r, const struct refusal *refusal,
                                           const char *format, ...);

/* 200 with the body, which is taken. Counted. */
struct response *api_answer_json(struct api *a, struct request *r, struct buffer *body);

/* Counts an answer. Returns it. */
struct response *api_count(struct api *a, const struct request *r, struct response *response);

struct reply_time api_time(const struct api *a);

/* ---- api_access.c ---- */

bool api_may_use(const struct entry *e, struct request *r);
bool api_is_admin(const struct api *a, struct request *r);

/* The same answer for a profile that is not there and for one the caller may not use. Tells the log of the
 * latter. */
struct response *api_refuse_unknown(struct api *a, struct request *r);

/* The token of r->handout has gone out: tells the audit. The profile may be gone by now. */
void api_tell_handout(struct api *a, struct request *r);

/* A token of r->entry was reported as rejected, and what the registry said: tells the log, once a token. */
void api_note_rejection(struct api *a, struct request *r, const char *fingerprint, enum answer answer);

/* ---- endpoints of api_views.c ---- */

struct response *api_answer_status(struct api *a, struct request *r);
struct response *api_handle_profile(struct api *a, struct request *r);
struct response *api_handle_profiles(struct api *a, struct request *r);
struct response *api_handle_explain(struct api *a, struct request *r);
struct response *api_handle_healthz(struct api *a, struct request *r);
struct response *api_handle_readyz(struct api *a, struct request *r);
struct response *api_handle_metrics(struct api *a, struct request *r);
