/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "client/explain.h"
#include "client/identity.h"
#include "client/verbs.h"

/* Longer than the longest answer that is read, as text. */
#define TEXT_MAX ((size_t) 16 * 1024 * 1024)

static enum exit_status resolve_user(const char *user, struct identity *ret)
{
    int r = identity_of_user(user, ret);

    if (r == -ENOENT) {
        output_error("there is no user %s", user);
        return EXIT_REFUSED;
    }
    if (r < 0) {
        output_error("user %s: %s", user, strerror(-r));
        return EXIT_REFUSED;
    }
    if (!ret->user)
        output_error("uid %s has no entry in the user database: judged without any group", user);
    return EXIT_DONE;
}

static enum exit_status resolve_process(uint64_t pid, struct identity *ret)
{
    int r = identity_of_process(pid, ret);

    if (r == -ESRCH) {
        output_error("there is no process %" PRIu64, pid);
        return EXIT_REFUSED;
    }
    if (r < 0) {
        output_error("process %" PRIu64 ": %s", pid, strerror(-r));
        return EXIT_REFUSED;
    }
    return EXIT_DONE;
}

/* Of both, the user has the ids, and the process the unit: may this user ask from within that service? */
static enum exit_status resolve(const struct options *options, struct identity *ret)
{
    if (!options->user)
        return resolve_process(options->pid, ret);
    enum exit_status status = resolve_user(options->user, ret);
    if (status == EXIT_DONE && options->pid > 0)
        ret->caller.pid = (int64_t) options->pid;
    return status;
}

enum exit_status verb_explain(const struct options *options)
{
    _cleanup_(bearer_free_p) struct bearer *b = NULL;
    _cleanup_(bearer_explanation_free_p) struct bearer_explanation *explanation = NULL;
    _cleanup_(identity_done) struct identity identity = IDENTITY_INIT;
    _cleanup_(buffer_done) struct buffer out = BUFFER_INIT(TEXT_MAX);
    const bool has_caller = options->user || options->pid > 0;
    const struct style style = output_style();

    enum exit_status status = verb_open(options, &b);
    if (status == EXIT_DONE && has_caller)
        status = resolve(options, &identity);
    if (status != EXIT_DONE)
        return status;
    if (bearer_explain(b, options->args[0], has_caller ? &identity.caller : NULL, &explanation) != BEARER_OK)
        return output_failure(b, options->args[0]);
    if (options->is_json)
        return output_line(bearer_explanation_json(explanation));
    const struct explained about = {.user = identity.user, .caller = &identity.caller};
    explain_append(&out, explanation, has_caller ? &about : NULL, time(NULL), &style);
    return output_buffer(&out);
}
