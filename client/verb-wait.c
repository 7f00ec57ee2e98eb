/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/verbs.h"

/*
 * Waiting has no request of its own in the API. Status says whether there is a usable token; asking for the
 * token with wait= then blocks until a fetch ends, so that nothing is polled. The token in the answer is
 * wiped unread. Who may see the status but not use the token (an admin) gets a 404 for it, and polls.
 *
 * A daemon that is not there yet, or that has failed for now, is no reason to give up before the time is
 * over: this runs at boot. A profile that does not exist is.
 */

#define TIMEOUT_DEFAULT (60 * USEC_PER_SEC)

/* Between two looks when nothing blocks: soon at first, then seldom enough to cost nothing. */
#define PAUSE_MIN (200 * USEC_PER_MSEC)
#define PAUSE_MAX (1 * USEC_PER_SEC)

/* How long one request may block while others are missing, too: they may fail meanwhile, and somebody wants
 * to know. */
#define BLOCK_AMONG_OTHERS 5
/* The most an answer may take on top of that. */
#define MARGIN_MAX 5

struct awaited {
    const char *profile;
    char *why; /* the last known reason for being missing, or NULL */
    bool is_ready;
    bool is_failed;   /* as of the last look: a fetch is not in flight, so nothing would block */
    bool is_reported; /* why it failed was said */
    bool is_polled;   /* its token is not ours to ask for */
};

struct waiter {
    struct bearer *b;
    struct awaited *profiles;
    size_t n_profiles;
    usec_t deadline_at; /* CLOCK_BOOTTIME */
    bool is_away;       /* the daemon was not there, or silent, when it was asked last */
    bool is_told;       /* that it is */
};

static void waiter_done(struct waiter *w)
{
    for (size_t i = 0; i < w->n_profiles; i++)
        free(w->profiles[i].why);
    free(w->profiles);
    bearer_free(w->b);
}

static usec_t boottime_now(void)
{
    struct timespec now = {0};

    (void) clock_gettime(CLOCK_BOOTTIME, &now); /* cannot fail: the clock exists, the pointer is good */
    return (usec_t) now.tv_sec * USEC_PER_SEC + (usec_t) now.tv_nsec / 1000;
}

static void sleep_for(usec_t length)
{
    const struct timespec ts = {.tv_sec = (time_t) (length / USEC_PER_SEC),
                                .tv_nsec = (long) (length % USEC_PER_SEC * 1000)};

    (void) clock_nanosleep(CLOCK_BOOTTIME, 0, &ts,
                           NULL); /* cut short by a signal: then the next look is early */
}

static void set_why(struct awaited *a, const char *why)
{
    char *copy = strdup(why ? why : "no reason is known");

    if (!copy)
        return; /* the older reason will do */
    free(a->why);
    a->why = copy;
}

static size_t n_missing(const struct waiter *w)
{
    size_t n = 0;

    for (size_t i = 0; i < w->n_profiles; i++)
        n += !w->profiles[i].is_ready;
    return n;
}

/* With Preload=no, and nobody has asked. */
static bool is_dormant(const struct bearer_status *s)
{
    return bearer_status_state(s) == BEARER_STATE_IDLE ||
           (bearer_status_state(s) == BEARER_STATE_EMPTY && !bearer_status_is_preloaded(s));
}

/* Takes note of what a status says. */
static void note_status(struct awaited *a, const struct bearer_status *s)
{
    char *why = NULL;
    const char *message = bearer_status_error_message(s);

    a->is_ready = bearer_status_is_usable(s);
    a->is_failed = bearer_status_state(s) == BEARER_STATE_FAILED;
    if (a->is_ready)
        return;
    /* Nobody fetches what nobody asks for, and asking is not for us: an older error is not why. */
    if (a->is_polled && is_dormant(s))
        message = "it is fetched on first use, and waits for one of its users to ask";
    if (!message && asprintf(&why, "it is %s", bearer_status_state_name(s)) < 0)
        why = NULL;
    set_why(a, message ? message : why);
    free(why);
    if (a->is_failed && !a->is_reported)
        output_error("%s: %s (still waiting)", a->profile, a->why ? a->why : "it failed");
    a->is_reported = a->is_reported || a->is_failed;
}

static void note_away(struct waiter *w)
{
    const struct bearer_error *e = bearer_peek_error(w->b);
    const char *hint = output_hint(bearer_error_errno(e));

    w->is_away = true;
    if (!w->is_told)
        output_error("%s (still trying%s%s)", bearer_error_message(e), hint ? "; " : "", hint ? hint : "");
    w->is_told = true;
}

/* Looks at one profile. EXIT_DONE to go on, ready or not; another status to end at once. */
static enum exit_status look(struct waiter *w, struct awaited *a)
{
    _cleanup_(bearer_status_free_p) struct bearer_status *s = NULL;

    switch (bearer_get_status(w->b, a->profile, &s)) {
    case BEARER_OK:
        note_status(a, s);
        return EXIT_DONE;
    case BEARER_UNREACHABLE:
    case BEARER_TIMED_OUT:
        note_away(w);
        return EXIT_DONE;
    case BEARER_FAILED:
        set_why(a, bearer_error_message(bearer_peek_error(w->b)));
        return EXIT_DONE;
    case BEARER_REFUSED:
    case BEARER_PROTOCOL:
    case BEARER_INVALID:
    case BEARER_INTERNAL:
        return output_failure(w->b, a->profile);
    }
    return EXIT_DONE;
}

static enum exit_status look_at_all(struct waiter *w)
{
    enum exit_status status = EXIT_DONE;

    w->is_away = false;
    for (size_t i = 0; i < w->n_profiles && status == EXIT_DONE && !w->is_away; i++)
        if (!w->profiles[i].is_ready)
            status = look(w, &w->profiles[i]);
    return status;
}

/* The profile whose fetch is worth blocking on, or NULL. */
static struct awaited *pick(const struct waiter *w)
{
    for (size_t i = 0; i < w->n_profiles; i++) {
        struct awaited *a = &w->profiles[i];
        if (!a->is_ready && !a->is_failed && !a->is_polled)
            return a;
    }
    return NULL;
}

/* Blocks until a fetch ends, where that can be; at most until the deadline. */
static void block(struct waiter *w, usec_t left_for)
{
    _cleanup_(bearer_token_free_p) struct bearer_token *token = NULL;
    struct awaited *a = w->is_away ? NULL : pick(w);
    usec_t most = n_missing(w) > 1 ? BLOCK_AMONG_OTHERS : BEARER_WAIT_MAX;
    usec_t seconds = usec_min(left_for / USEC_PER_SEC, most);

    if (!a || seconds == 0)
        return;
    (void) bearer_set_wait(w->b, (int) seconds);
    enum bearer_result result = bearer_get_token(w->b, a->profile, &token);
    a->is_ready = result == BEARER_OK;
    a->is_polled = result == BEARER_REFUSED;
}

static enum exit_status give_up(const struct waiter *w)
{
    const struct bearer_error *e = bearer_peek_error(w->b);

    for (size_t i = 0; i < w->n_profiles; i++) {
        const struct awaited *a = &w->profiles[i];
        const char *why = w->is_away ? bearer_error_message(e) : a->why;
        if (!a->is_ready)
            output_error("%s: no usable token in time: %s", a->profile, why ? why : "no reason is known");
    }
    return w->is_away && bearer_error_result(e) == BEARER_UNREACHABLE ? EXIT_UNREACHABLE : EXIT_TIMED_OUT;
}

static enum exit_status wait_for_all(struct waiter *w)
{
    for (usec_t pause_for = PAUSE_MIN;; pause_for = usec_min(2 * pause_for, PAUSE_MAX)) {
        usec_t began_at = boottime_now();
        usec_t margin = usec_min(MARGIN_MAX, 1 + usec_sub(w->deadline_at, began_at) / USEC_PER_SEC);

        (void) bearer_set_margin(w->b, (int) margin);
        enum exit_status status = look_at_all(w);
        if (status != EXIT_DONE || n_missing(w) == 0)
            return status;
        usec_t left_for = usec_sub(w->deadline_at, boottime_now());
        if (left_for == 0)
            return give_up(w);
        block(w, left_for);
        if (n_missing(w) == 0)
            return EXIT_DONE;
        /* What answered at once must not be asked again at once. */
        sleep_for(usec_sub(usec_min(began_at + pause_for, w->deadline_at), boottime_now()));
    }
}

enum exit_status verb_wait(const struct options *options)
{
    _cleanup_(waiter_done) struct waiter w = {0};

    enum exit_status status = verb_open(options, &w.b);
    if (status != EXIT_DONE)
        return status;
    (void) bearer_set_min_ttl(w.b, 0); /* any life will do, as it does for the status */
    w.profiles = calloc(options->n_args, sizeof(*w.profiles));
    if (!w.profiles) {
        output_error("out of memory");
        return EXIT_REFUSED;
    }
    w.n_profiles = options->n_args;
    for (size_t i = 0; i < w.n_profiles; i++)
        w.profiles[i].profile = options->args[i];
    w.deadline_at = usec_add(boottime_now(),
                             options->timeout_for == USEC_INFINITY ? TIMEOUT_DEFAULT : options->timeout_for);
    return wait_for_all(&w);
}
