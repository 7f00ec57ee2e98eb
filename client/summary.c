/* SPDX-License-Identifier: MIT */
#include "client/summary.h"

#include <inttypes.h>
#include <string.h>

/* Profiles of which the report has the names. */
struct names {
    const char *word;
    size_t (*count)(const struct bearer_reload_report *r);
    const char *(*at)(const struct bearer_reload_report *r, size_t i);
};

static const struct names added = {"added", bearer_reload_n_added, bearer_reload_added};
static const struct names removed = {"removed", bearer_reload_n_removed, bearer_reload_removed};

/* ", ", but for the first. */
static void separate(struct buffer *out, bool *is_first)
{
    buffer_append_string(out, *is_first ? "" : ", ");
    *is_first = false;
}

static const char *proof_words(enum bearer_proof proof)
{
    switch (proof) {
    case BEARER_PROOF_NONE:
        return "";
    case BEARER_PROOF_PROVEN:
        return ", proven";
    case BEARER_PROOF_FALLBACK:
        return ", one key refused";
    case BEARER_PROOF_FAILED:
        return ", failed";
    case BEARER_PROOF_PENDING:
        return ", not proven yet";
    }
    return "";
}

/* "2 added (a, b)", or nothing of nothing. */
static void append_names(struct buffer *out, bool *is_first, const struct bearer_reload_report *r,
                         const struct names *names)
{
    size_t n = names->count(r);

    if (n == 0)
        return;
    separate(out, is_first);
    buffer_appendf(out, "%zu %s (", n, names->word);
    for (size_t i = 0; i < n; i++)
        buffer_appendf(out, "%s%s", i > 0 ? ", " : "", names->at(r, i));
    buffer_append_char(out, ')');
}

/* New profiles are told of by name; their keys are in the list for the sake of the proof. */
static bool is_new(const struct bearer_change *c)
{
    return !strcmp(bearer_change_what(c), "added");
}

static void append_changes(struct buffer *out, bool *is_first, const struct bearer_reload_report *r)
{
    size_t n = 0, n_all = bearer_reload_n_changes(r);
    const char *separator = "";

    for (size_t i = 0; i < n_all; i++)
        n += !is_new(bearer_reload_change_at(r, i));
    if (n == 0)
        return;
    separate(out, is_first);
    buffer_appendf(out, "%zu changed (", n);
    for (size_t i = 0; i < n_all; i++) {
        const struct bearer_change *c = bearer_reload_change_at(r, i);
        if (is_new(c))
            continue;
        buffer_appendf(out, "%s%s: %s%s", separator, bearer_change_profile(c), bearer_change_what(c),
                       proof_words(bearer_change_proof(c)));
        separator = "; ";
    }
    buffer_append_char(out, ')');
}

static void append_in_force(struct buffer *out, const struct bearer_reload_report *r)
{
    bool is_first = true;

    buffer_append_string(out, "reloaded: ");
    append_names(out, &is_first, r, &added);
    append_names(out, &is_first, r, &removed);
    append_changes(out, &is_first, r);
    if (bearer_reload_n_unchanged(r) >= 0) {
        separate(out, &is_first);
        buffer_appendf(out, "%" PRId64 " unchanged", bearer_reload_n_unchanged(r));
    }
}

static const char *plural(size_t n)
{
    return n == 1 ? "" : "s";
}

static void append_refused(struct buffer *out, const struct bearer_reload_report *r)
{
    size_t n = bearer_reload_n_problems(r), n_warnings = 0;

    for (size_t i = 0; i < n; i++)
        n_warnings += bearer_problem_is_warning(bearer_reload_problem_at(r, i));
    buffer_append_string(out, "not reloaded: ");
    if (n > n_warnings)
        buffer_appendf(out, "%zu error%s, %zu warning%s", n - n_warnings, plural(n - n_warnings), n_warnings,
                       plural(n_warnings));
    else
        buffer_append_string(out, bearer_reload_message(r) ? bearer_reload_message(r) : "no reason is known");
    buffer_append_string(out, "; the old settings stay in force");
}

void summary_append(struct buffer *out, const struct bearer_reload_report *r)
{
    if (bearer_reload_is_in_force(r))
        append_in_force(out, r);
    else
        append_refused(out, r);
}
