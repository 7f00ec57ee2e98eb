/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "client/bearer-json.h"
#include "client/bearer-objects.h"

/* `caller` of an explanation. */
struct verdict {
    bool is_admitted;
    bool is_admin;
    const char *rule;
    const char *why;
    const char *unit;
    const char *unit_problem;
};

struct bearer_attempt {
    int64_t at;
    const char *outcome;
    int64_t http_status;
};

struct bearer_explanation {
    struct buffer text;
    struct json_object *json; /* what everything below points into */
    struct json_object *profile;
    struct json_object *caller; /* or NULL */
    struct json_object *allow;  /* texts */
    struct json_object *admin;  /* likewise */
    struct json_object *attempt_list;
    struct bearer_status *status;
    struct verdict verdict;
    struct bearer_attempt *attempts;
    size_t n_attempts;
};

static const struct bearer_field explanation_fields[] = {
    {"profile",  BEARER_FIELD_OBJECT, true,  offsetof(struct bearer_explanation, profile)     },
    {"caller",   BEARER_FIELD_OBJECT, false, offsetof(struct bearer_explanation, caller)      },
    {"allow",    BEARER_FIELD_TEXTS,  true,  offsetof(struct bearer_explanation, allow)       },
    {"admin",    BEARER_FIELD_TEXTS,  true,  offsetof(struct bearer_explanation, admin)       },
    {"attempts", BEARER_FIELD_LIST,   false, offsetof(struct bearer_explanation, attempt_list)},
};

/* The uid, gid and pid are what was asked, and need no reading back. */
static const struct bearer_field verdict_fields[] = {
    {"admitted",     BEARER_FIELD_BOOL, true,  offsetof(struct verdict, is_admitted) },
    {"is_admin",     BEARER_FIELD_BOOL, false, offsetof(struct verdict, is_admin)    },
    {"rule",         BEARER_FIELD_TEXT, false, offsetof(struct verdict, rule)        },
    {"why",          BEARER_FIELD_TEXT, false, offsetof(struct verdict, why)         },
    {"unit",         BEARER_FIELD_TEXT, false, offsetof(struct verdict, unit)        },
    {"unit_problem", BEARER_FIELD_TEXT, false, offsetof(struct verdict, unit_problem)},
};

static const struct bearer_field attempt_fields[] = {
    {"at",          BEARER_FIELD_MOMENT, true,  offsetof(struct bearer_attempt, at)         },
    {"outcome",     BEARER_FIELD_TEXT,   true,  offsetof(struct bearer_attempt, outcome)    },
    {"http_status", BEARER_FIELD_NUMBER, false, offsetof(struct bearer_attempt, http_status)},
};

DEFINE_CLEANUP(struct bearer_explanation *, bearer_explanation_free, bearer_explanation_free)

void bearer_explanation_free(struct bearer_explanation *e)
{
    if (!e)
        return;
    free(e->attempts);
    bearer_status_free(e->status);
    bearer_json_free(e->json);
    buffer_done(&e->text);
    free(e);
}

static int read_explanation(struct bearer_explanation *e)
{
    void *attempts = NULL;

    int r = bearer_json_read(e->json, explanation_fields, ARRAY_SIZE(explanation_fields), e);
    if (r == 0)
        r = bearer_status_read(e->profile, &e->status);
    if (r == 0 && e->caller)
        r = bearer_json_read(e->caller, verdict_fields, ARRAY_SIZE(verdict_fields), &e->verdict);
    if (r == 0)
        r = bearer_json_read_list(e->attempt_list, attempt_fields, ARRAY_SIZE(attempt_fields),
                                  sizeof(*e->attempts), &attempts, &e->n_attempts);
    e->attempts = attempts;
    return r;
}

int bearer_explanation_parse(struct buffer *body_take, struct bearer_explanation **ret)
{
    _cleanup_(bearer_explanation_free_p) struct bearer_explanation *e = calloc(1, sizeof(*e));

    if (!e)
        return -ENOMEM;
    int r = bearer_json_parse(buffer_peek(body_take), body_take->size, false, &e->json);
    if (r == 0)
        r = read_explanation(e);
    if (r < 0)
        return r;
    bearer_body_take(&e->text, body_take);
    *ret = TAKE_PTR(e);
    return 0;
}

const struct bearer_status *bearer_explanation_status(const struct bearer_explanation *e)
{
    return e->status;
}

size_t bearer_explanation_n_allow(const struct bearer_explanation *e)
{
    return bearer_json_texts_size(e->allow);
}

const char *bearer_explanation_allow(const struct bearer_explanation *e, size_t i)
{
    return bearer_json_texts_at(e->allow, i);
}

size_t bearer_explanation_n_admin(const struct bearer_explanation *e)
{
    return bearer_json_texts_size(e->admin);
}

const char *bearer_explanation_admin(const struct bearer_explanation *e, size_t i)
{
    return bearer_json_texts_at(e->admin, i);
}

bool bearer_explanation_has_caller(const struct bearer_explanation *e)
{
    return e->caller != NULL;
}

bool bearer_explanation_is_admitted(const struct bearer_explanation *e)
{
    return e->verdict.is_admitted;
}

bool bearer_explanation_is_admin(const struct bearer_explanation *e)
{
    return e->verdict.is_admin;
}

const char *bearer_explanation_rule(const struct bearer_explanation *e)
{
    return e->verdict.rule;
}

const char *bearer_explanation_why(const struct bearer_explanation *e)
{
    return e->verdict.why;
}

const char *bearer_explanation_unit(const struct bearer_explanation *e)
{
    return e->verdict.unit;
}

const char *bearer_explanation_unit_problem(const struct bearer_explanation *e)
{
    return e->verdict.unit_problem;
}

size_t bearer_explanation_n_attempts(const struct bearer_explanation *e)
{
    return e->n_attempts;
}

const struct bearer_attempt *bearer_explanation_attempt_at(const struct bearer_explanation *e, size_t i)
{
    return i < e->n_attempts ? &e->attempts[i] : NULL;
}

const char *bearer_explanation_json(const struct bearer_explanation *e)
{
    return buffer_peek(&e->text);
}

/* ---- an attempt ---- */

int64_t bearer_attempt_at(const struct bearer_attempt *a)
{
    return a->at;
}

const char *bearer_attempt_outcome(const struct bearer_attempt *a)
{
    return a->outcome;
}

int64_t bearer_attempt_http_status(const struct bearer_attempt *a)
{
    return a->http_status;
}
