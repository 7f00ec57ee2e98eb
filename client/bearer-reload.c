/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "client/bearer-json.h"
#include "client/bearer-objects.h"

struct bearer_change {
    const char *profile;
    const char *what;
    const char *proof_name;
    const char *message;
};

struct bearer_problem {
    const char *place;
    const char *severity;
    const char *message;
};

struct bearer_reload_report {
    struct buffer text;
    struct json_object *json; /* what everything below points into */
    const char *outcome;      /* of one that is in force */
    const char *detail;       /* of one that was refused */
    int64_t n_unchanged;
    struct json_object *added;   /* texts, or NULL */
    struct json_object *removed; /* likewise */
    struct json_object *change_list;
    struct json_object *problem_list;
    struct bearer_change *changes;
    size_t n_changes;
    struct bearer_problem *problems;
    size_t n_problems;
};

/* Both forms are read by one table: what the other has is absent. */
static const struct bearer_field report_fields[] = {
    {"outcome",   BEARER_FIELD_TEXT,   false, offsetof(struct bearer_reload_report, outcome)     },
    {"detail",    BEARER_FIELD_TEXT,   false, offsetof(struct bearer_reload_report, detail)      },
    {"unchanged", BEARER_FIELD_NUMBER, false, offsetof(struct bearer_reload_report, n_unchanged) },
    {"added",     BEARER_FIELD_TEXTS,  false, offsetof(struct bearer_reload_report, added)       },
    {"removed",   BEARER_FIELD_TEXTS,  false, offsetof(struct bearer_reload_report, removed)     },
    {"changed",   BEARER_FIELD_LIST,   false, offsetof(struct bearer_reload_report, change_list) },
    {"problems",  BEARER_FIELD_LIST,   false, offsetof(struct bearer_reload_report, problem_list)},
};

static const struct bearer_field change_fields[] = {
    {"profile", BEARER_FIELD_TEXT, true,  offsetof(struct bearer_change, profile)   },
    {"change",  BEARER_FIELD_TEXT, true,  offsetof(struct bearer_change, what)      },
    {"proof",   BEARER_FIELD_TEXT, false, offsetof(struct bearer_change, proof_name)},
    {"message", BEARER_FIELD_TEXT, false, offsetof(struct bearer_change, message)   },
};

static const struct bearer_field problem_fields[] = {
    {"place",    BEARER_FIELD_TEXT, false, offsetof(struct bearer_problem, place)   },
    {"severity", BEARER_FIELD_TEXT, true,  offsetof(struct bearer_problem, severity)},
    {"message",  BEARER_FIELD_TEXT, true,  offsetof(struct bearer_problem, message) },
};

DEFINE_CLEANUP(struct bearer_reload_report *, bearer_reload_report_free, bearer_reload_report_free)

void bearer_reload_report_free(struct bearer_reload_report *r)
{
    if (!r)
        return;
    free(r->changes);
    free(r->problems);
    bearer_json_free(r->json);
    buffer_done(&r->text);
    free(r);
}

static int read_report(struct bearer_reload_report *report)
{
    void *changes = NULL, *problems = NULL;

    int r = bearer_json_read(report->json, report_fields, ARRAY_SIZE(report_fields), report);
    if (r < 0)
        return r;
    r = bearer_json_read_list(report->change_list, change_fields, ARRAY_SIZE(change_fields),
                              sizeof(*report->changes), &changes, &report->n_changes);
    report->changes = changes;
    if (r < 0)
        return r;
    r = bearer_json_read_list(report->problem_list, problem_fields, ARRAY_SIZE(problem_fields),
                              sizeof(*report->problems), &problems, &report->n_problems);
    report->problems = problems;
    return r;
}

int bearer_reload_parse(struct buffer *body_take, bool is_refused, struct bearer_reload_report **ret)
{
    _cleanup_(bearer_reload_report_free_p) struct bearer_reload_report *report = calloc(1, sizeof(*report));

    if (!report)
        return -ENOMEM;
    int r = bearer_json_parse(buffer_peek(body_take), body_take->size, false, &report->json);
    if (r == 0)
        r = read_report(report);
    if (r < 0)
        return r;
    /* An outcome that this library does not know must not pass for one that it does. */
    if (is_refused)
        report->outcome = NULL;
    else if (!report->outcome || strcmp(report->outcome, "reloaded") != 0)
        return -EBADMSG;
    bearer_body_take(&report->text, body_take);
    *ret = TAKE_PTR(report);
    return 0;
}

bool bearer_reload_is_in_force(const struct bearer_reload_report *r)
{
    return r->outcome != NULL;
}

const char *bearer_reload_message(const struct bearer_reload_report *r)
{
    return r->outcome ? NULL : r->detail;
}

size_t bearer_reload_n_added(const struct bearer_reload_report *r)
{
    return bearer_json_texts_size(r->added);
}

const char *bearer_reload_added(const struct bearer_reload_report *r, size_t i)
{
    return bearer_json_texts_at(r->added, i);
}

size_t bearer_reload_n_removed(const struct bearer_reload_report *r)
{
    return bearer_json_texts_size(r->removed);
}

const char *bearer_reload_removed(const struct bearer_reload_report *r, size_t i)
{
    return bearer_json_texts_at(r->removed, i);
}

int64_t bearer_reload_n_unchanged(const struct bearer_reload_report *r)
{
    return r->n_unchanged;
}

size_t bearer_reload_n_changes(const struct bearer_reload_report *r)
{
    return r->n_changes;
}

const struct bearer_change *bearer_reload_change_at(const struct bearer_reload_report *r, size_t i)
{
    return i < r->n_changes ? &r->changes[i] : NULL;
}

size_t bearer_reload_n_problems(const struct bearer_reload_report *r)
{
    return r->n_problems;
}

const struct bearer_problem *bearer_reload_problem_at(const struct bearer_reload_report *r, size_t i)
{
    return i < r->n_problems ? &r->problems[i] : NULL;
}

const char *bearer_reload_json(const struct bearer_reload_report *r)
{
    return buffer_peek(&r->text);
}

/* ---- a change ---- */

const char *bearer_change_profile(const struct bearer_change *c)
{
    return c->profile;
}

const char *bearer_change_what(const struct bearer_change *c)
{
    return c->what;
}

enum bearer_proof bearer_change_proof(const struct bearer_change *c)
{
    static const struct {
        const char *name;
        enum bearer_proof proof;
    } proofs[] = {
        {"proven",   BEARER_PROOF_PROVEN  },
        {"fallback", BEARER_PROOF_FALLBACK},
        {"failed",   BEARER_PROOF_FAILED  },
        {"pending",  BEARER_PROOF_PENDING },
    };

    for (size_t i = 0; c->proof_name && i < ARRAY_SIZE(proofs); i++)
        if (!strcmp(proofs[i].name, c->proof_name))
            return proofs[i].proof;
    return BEARER_PROOF_NONE;
}

const char *bearer_change_message(const struct bearer_change *c)
{
    return c->message;
}

/* ---- a problem ---- */

const char *bearer_problem_place(const struct bearer_problem *p)
{
    return p->place ? p->place : "";
}

bool bearer_problem_is_warning(const struct bearer_problem *p)
{
    return !strcmp(p->severity, "warning");
}

const char *bearer_problem_message(const struct bearer_problem *p)
{
    return p->message;
}
