/* SPDX-License-Identifier: MIT */
#include "host/check.h"

#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "bearerd-paths.h"
#include "host/clock.h"
#include "host/settings_load.h"

void check_print_problem(const struct problem *p, FILE *out)
{
    const char *word = p->severity == PROBLEM_ERROR ? "error" : "warning";
    (void) fprintf(out, "%s%s%s: %s\n", p->place, *p->place ? ": " : "", word, p->message);
}

struct daemon_user check_daemon_user(void)
{
    const struct passwd *user = geteuid() == 0 ? getpwnam("bearerd") : NULL;

    if (!user)
        return (struct daemon_user){geteuid(), getegid(), false};
    return (struct daemon_user){user->pw_uid, user->pw_gid, true};
}

/* What the daemon is given: within its service, or, seen from outside, what the running one has. */
static const char *credentials_directory(void)
{
    const char *own = getenv("CREDENTIALS_DIRECTORY");

    if (own)
        return own;
    return access(SERVICE_CREDENTIAL_DIRECTORY, R_OK | X_OK) == 0 ? SERVICE_CREDENTIAL_DIRECTORY : NULL;
}

static const char *plural(size_t n)
{
    return n == 1 ? "" : "s";
}

static void print_summary(const struct settings *s, FILE *out)
{
    size_t n_warnings = 0;

    for (size_t i = 0; i < s->problems.n_items; i++)
        n_warnings += s->problems.items[i].severity == PROBLEM_WARNING;
    (void) fprintf(out, "%zu profile%s usable, %zu not; %zu error%s, %zu warning%s\n", s->n_profiles,
                   plural(s->n_profiles), s->n_failed, s->problems.n_errors, plural(s->problems.n_errors),
                   n_warnings, plural(n_warnings));
}

/* Who is not root looks with rights that need not be the daemon's: what is found must not pass for its. */
static void print_rights(FILE *out)
{
    const uid_t own = geteuid();
    const struct passwd *user = getpwnam("bearerd");
    const bool has_daemon = user != NULL;
    const uid_t daemon = has_daemon ? user->pw_uid : 0;

    if (own == 0 || (has_daemon && own == daemon))
        return;
    user = getpwuid(own);
    (void) fprintf(out, "checked with the rights of %s (uid %u), as though the daemon ran as that user",
                   user ? user->pw_name : "a user without a name", (unsigned) own);
    if (has_daemon)
        (void) fprintf(out, "; for those of bearerd (uid %u), run this as root", (unsigned) daemon);
    (void) fputc('\n', out);
}

int check_settings(const char *config_file, FILE *out, size_t *ret_n_errors)
{
    const struct settings_source source = {
        .config_path = config_file,
        .credentials_directory = credentials_directory(),
        .encrypted_directory = BEARERD_CREDENTIAL_DIRECTORY,
        .daemon_uid = check_daemon_user().uid,
        .wall_now = clock_wall(),
    };
    _cleanup_(settings_done) struct settings settings = {0};

    int r = settings_load(&source, &settings);
    if (r < 0)
        return r;
    for (size_t i = 0; i < settings.problems.n_items; i++)
        check_print_problem(&settings.problems.items[i], out);
    print_summary(&settings, out);
    print_rights(out);
    *ret_n_errors = settings.problems.n_errors;
    return 0;
}
