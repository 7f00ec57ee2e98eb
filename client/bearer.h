/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Asking bearerd for access tokens, header sets and states, from a C program, over its Unix socket.
 *
 *     struct bearer *b = NULL;
 *     struct bearer_token *token = NULL;
 *
 *     if (bearer_new(NULL, &b) < 0)
 *         ...
 *     if (bearer_get_token(b, "shop", &token) == BEARER_OK)
 *         use(bearer_token_value(token));
 *     else
 *         fprintf(stderr, "%s\n", bearer_error_message(bearer_peek_error(b)));
 *     bearer_token_free(token);
 *     bearer_free(b);
 *
 * Not for caching: the daemon does that, and answers from memory. Ask again before each use instead of
 * keeping a token.
 *
 * Ownership. A call that succeeds stores an object in *ret, to be released with its _free function, which
 * takes NULL. On failure *ret is untouched. Every string an accessor returns is borrowed from the object and
 * lives as long as it.
 *
 * Units. Lengths of time are whole seconds. Moments are seconds since 1970-01-01 UTC. BEARER_ABSENT stands
 * for a number or moment the daemon did not give, NULL for such a text.
 *
 * Failure. A call returns what came out as an enum bearer_result; bearer_peek_error() then has the
 * particulars. No error text ever holds a token.
 *
 * Threads. There is no global state. A handle, and what was made by it, may be used by one thread at a time;
 * different handles by different threads. bearer_new() initialises libcurl when nobody has: a program that
 * has threads before its first bearer_new() and a libcurl older than 7.84 must call curl_global_init()
 * itself. No signal is raised or handled: a daemon that hangs up is an error, never a SIGPIPE.
 *
 * Secrets. Tokens are wiped when their object is released, and so are the copies made on the way, but for
 * libcurl's receive buffer, which only a program can reach (curl_global_init_mem()).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A setting left to the daemon. */
#define BEARER_DEFAULT (-1)
/* A number or moment the daemon did not give. */
#define BEARER_ABSENT ((int64_t) -1)
/* The longest that the daemon lets a request wait, in seconds. */
#define BEARER_WAIT_MAX 60

/* A connection to one daemon, and how to ask. */
struct bearer;
/* What went wrong in the last call of a handle. */
struct bearer_error;
/* An access token and its life. */
struct bearer_token;
/* The headers that a call of the upstream's API needs, Authorization among them. */
struct bearer_headers;
/* How a profile is doing. */
struct bearer_status;
/* The same of all profiles that the caller may use or see. */
struct bearer_status_list;
/* What came of reading the settings anew. */
struct bearer_reload_report;
/* Who may use a profile, and how it came to be as it is. */
struct bearer_explanation;

/* How a call ended. */
enum bearer_result {
    BEARER_OK = 0,
    BEARER_UNREACHABLE, /* no daemon at the socket, or it went away before the answer was whole */
    BEARER_TIMED_OUT,   /* no answer in time, or the fetch of a token did not end within the wait */
    BEARER_REFUSED,  /* the daemon says no (4xx): no such profile for this caller, or a demand it cannot meet
                      */
    BEARER_FAILED,   /* nothing usable for now (5xx, 429): the message tells why; later it may be different */
    BEARER_PROTOCOL, /* something answered, but not as bearerd does */
    BEARER_INVALID,  /* an argument of this call is unusable; nothing was asked */
    BEARER_INTERNAL, /* this process is out of memory or descriptors */
};

/* What a profile is doing. */
enum bearer_state {
    BEARER_STATE_UNKNOWN, /* none given, or one that this library does not know */
    BEARER_STATE_EMPTY,
    BEARER_STATE_FETCHING,
    BEARER_STATE_FRESH,
    BEARER_STATE_REFRESHING,
    BEARER_STATE_STALE, /* usable, but the last refresh failed */
    BEARER_STATE_FAILED,
    BEARER_STATE_IDLE, /* refreshing has stopped because nobody asked; the next request starts it again. There
                          may still be a usable token */
};

/* What became of keys that a reload changed: they are tried before they take the place of good ones. */
enum bearer_proof {
    BEARER_PROOF_NONE, /* none is needed, or one that this library does not know */
    BEARER_PROOF_PROVEN,
    BEARER_PROOF_FALLBACK, /* a token came, but one of two keys was refused */
    BEARER_PROOF_FAILED,   /* refused upstream, or the first attempt failed for another reason */
    BEARER_PROOF_PENDING,  /* not over by the time of the answer */
};

/* ---- the handle ---- */

/*
 * Makes a handle for the daemon at `socket_path`; when that is NULL, at $BEARERD_SOCKET; when that is unset
 * or empty, at the path the library was built with. Nothing is connected yet. Returns 0, -EINVAL (an empty
 * path), -ENAMETOOLONG (no socket can have such a path) or -ENOMEM.
 */
int bearer_new(const char *socket_path, struct bearer **ret);
void bearer_free(struct bearer *b);

/* The path that the handle connects to. */
const char *bearer_socket_path(const struct bearer *b);

/*
 * How long the daemon may wait for a fetch in flight, for bearer_get_token() and bearer_get_headers(): 0 to
 * BEARER_WAIT_MAX seconds, or BEARER_DEFAULT (10 s). Returns 0 or -ERANGE.
 */
int bearer_set_wait(struct bearer *b, int seconds);

/*
 * How much life a token must have left, for the same calls: 0 or more seconds, or BEARER_DEFAULT (the smaller
 * of 30 s and a tenth of the lifetime). Returns 0 or -ERANGE.
 */
int bearer_set_min_ttl(struct bearer *b, int64_t seconds);

/*
 * How long an answer may take on top of what the daemon was asked to wait: 1 to 3600 seconds; 5 at first. So
 * every call returns, whatever the daemon does. Returns 0 or -ERANGE.
 */
int bearer_set_margin(struct bearer *b, int seconds);

/* ---- calls ---- */

/* The current token, fetched first where there is none. May wait: see bearer_set_wait(). */
enum bearer_result bearer_get_token(struct bearer *b, const char *profile, struct bearer_token **ret);

/* How a header set is asked for. */
enum bearer_headers_format {
    BEARER_HEADERS_LINES, /* for use: bearer_headers_line() */
    BEARER_HEADERS_JSON,  /* for passing on: bearer_headers_json() */
};

/* The header set of an upstream call. May wait, as bearer_get_token(). */
enum bearer_result bearer_get_headers(struct bearer *b, const char *profile,
                                      enum bearer_headers_format format, struct bearer_headers **ret);

/* The status of one profile. */
enum bearer_result bearer_get_status(struct bearer *b, const char *profile, struct bearer_status **ret);

/* The status of all profiles that this caller may use or see. */
enum bearer_result bearer_list(struct bearer *b, struct bearer_status_list **ret);

/* For admins: fetches a new token now. The status says what came of it; the token that was there stays
 * usable. */
enum bearer_result bearer_refresh(struct bearer *b, const char *profile, struct bearer_status **ret);

/*
 * "The upstream refused this token": has the daemon fetch another, unless it has one already. `fingerprint`
 * names the token that was refused: 16 hex digits, in any case. The token in the answer is the one to go on
 * with. May wait: see bearer_set_wait(). BEARER_FAILED with HTTP status 429 when this was said too often.
 */
enum bearer_result bearer_report_rejected(struct bearer *b, const char *profile, const char *fingerprint,
                                          struct bearer_token **ret);

/*
 * For admins: has the daemon read its settings and keys anew, and waits for what comes of it, 60 s at most.
 * BEARER_OK means that there is a report; bearer_reload_is_in_force() then says whether the new settings are
 * used, or were refused and the old ones stay.
 */
enum bearer_result bearer_reload(struct bearer *b, struct bearer_reload_report **ret);

/* A process as the daemon would see it. What is not known is BEARER_ABSENT. */
struct bearer_caller {
    int64_t uid;
    int64_t gid;
    int64_t pid;            /* only to find the unit that it belongs to */
    const uint32_t *groups; /* supplementary groups; borrowed */
    size_t n_groups;
};

#define BEARER_CALLER_INIT                                                                                   \
    {                                                                                                        \
        BEARER_ABSENT, BEARER_ABSENT, BEARER_ABSENT, NULL, 0                                                 \
    }

/* For admins: who may use a profile, and, unless `caller` is NULL, whether this one may and why. */
enum bearer_result bearer_explain(struct bearer *b, const char *profile, const struct bearer_caller *caller,
                                  struct bearer_explanation **ret);

/* ---- errors ---- */

/* The failure of the last call; of BEARER_OK when it succeeded. Borrowed until the next call of the handle.
 */
const struct bearer_error *bearer_peek_error(const struct bearer *b);

/* What the call returned. */
enum bearer_result bearer_error_result(const struct bearer_error *e);
/* For a human: one line, no control character, no newline at the end; "" when there was no error. */
const char *bearer_error_message(const struct bearer_error *e);
/* The title of a refusal or failure (RFC 9457), or NULL. */
const char *bearer_error_title(const struct bearer_error *e);
/* The HTTP status that was answered, or 0. */
int bearer_error_http_status(const struct bearer_error *e);
/* The state of the profile, where the daemon told. */
enum bearer_state bearer_error_state(const struct bearer_error *e);
/* After how many seconds asking again can help, or BEARER_ABSENT. */
int64_t bearer_error_retry_after(const struct bearer_error *e);
/* Why no connection came about, as errno (ENOENT, EACCES, ECONNREFUSED), ECONNRESET when it ended before the
 * answer did, or 0. */
int bearer_error_errno(const struct bearer_error *e);

/* ---- a token ---- */

void bearer_token_free(struct bearer_token *t);
/* The token itself: printable ASCII, not empty. Wiped by bearer_token_free(). */
const char *bearer_token_value(const struct bearer_token *t);
/* "Bearer", or NULL. */
const char *bearer_token_type(const struct bearer_token *t);
/* Seconds left when the daemon answered, rounded down. */
int64_t bearer_token_expires_in(const struct bearer_token *t);
int64_t bearer_token_expires_at(const struct bearer_token *t);
/* Identifies the token in logs and reports; not secret. */
const char *bearer_token_fingerprint(const struct bearer_token *t);
/* The daemon's answer as it came, token included. Wiped by bearer_token_free(). */
const char *bearer_token_json(const struct bearer_token *t);

/* ---- a header set ---- */

void bearer_headers_free(struct bearer_headers *h);
/* How many lines there are; 0 for one asked for as JSON. */
size_t bearer_headers_n_lines(const struct bearer_headers *h);
/* "Name: value" without a line end, as curl_slist_append() takes it; NULL behind the last. */
const char *bearer_headers_line(const struct bearer_headers *h, size_t i);
/* The JSON object as it came; NULL for one asked for as lines. */
const char *bearer_headers_json(const struct bearer_headers *h);

/* ---- a status ---- */

void bearer_status_free(struct bearer_status *s);
const char *bearer_status_name(const struct bearer_status *s);
const char *bearer_status_description(const struct bearer_status *s);
const char *bearer_status_provider(const struct bearer_status *s);
enum bearer_state bearer_status_state(const struct bearer_status *s);
/* The state as the daemon writes it, so that one from a newer daemon can be shown. Never NULL. */
const char *bearer_status_state_name(const struct bearer_status *s);
/* True when there is a token that can be used now. */
bool bearer_status_is_usable(const struct bearer_status *s);
/* Counts the tokens of this profile. */
int64_t bearer_status_generation(const struct bearer_status *s);
int64_t bearer_status_issued_at(const struct bearer_status *s);
int64_t bearer_status_expires_at(const struct bearer_status *s);
/* Seconds left when the daemon answered. */
int64_t bearer_status_expires_in(const struct bearer_status *s);
int64_t bearer_status_next_refresh_at(const struct bearer_status *s);
const char *bearer_status_fingerprint(const struct bearer_status *s);
/* Which client secret is in use, "current" or "next", and which subscription key, "primary" or "secondary";
 * NULL where there is nothing to choose from, or nothing was fetched yet. */
const char *bearer_status_client_secret(const struct bearer_status *s);
const char *bearer_status_subscription_key(const struct bearer_status *s);
/* False for Preload=no: fetched on first use, and idle when unused. */
bool bearer_status_is_preloaded(const struct bearer_status *s);
/* The rules that let callers use the profile, as in its settings: for admins only. NULL behind the last. */
size_t bearer_status_n_allow(const struct bearer_status *s);
const char *bearer_status_allow(const struct bearer_status *s, size_t i);
/* How many attempts in a row have failed. */
int64_t bearer_status_consecutive_failures(const struct bearer_status *s);
/* What the last failed attempt said, or NULL when none is remembered; then the three below are absent, too.
 */
const char *bearer_status_error_message(const struct bearer_status *s);
/* A short word that never changes: "timeout", "invalid-keys". */
const char *bearer_status_error_reason(const struct bearer_status *s);
int64_t bearer_status_error_at(const struct bearer_status *s);
/* What the upstream answered, or BEARER_ABSENT when it did not. */
int64_t bearer_status_error_http_status(const struct bearer_status *s);
/* The daemon's answer as it came; NULL for a member of a list. */
const char *bearer_status_json(const struct bearer_status *s);

void bearer_status_list_free(struct bearer_status_list *l);
size_t bearer_status_list_size(const struct bearer_status_list *l);
/* The i-th; NULL behind the last. Borrowed from the list: not to be freed by itself. */
const struct bearer_status *bearer_status_list_at(const struct bearer_status_list *l, size_t i);
/* The daemon's answer as it came. */
const char *bearer_status_list_json(const struct bearer_status_list *l);

/* ---- a reload ---- */

/* A profile whose settings or keys are others than before. Borrowed from the report, as are all below. */
struct bearer_change;
/* Something that is wrong with the settings or keys. */
struct bearer_problem;

void bearer_reload_report_free(struct bearer_reload_report *r);
/* False: refused; the settings and keys of before stay in force. Then there are problems, and no changes. */
bool bearer_reload_is_in_force(const struct bearer_reload_report *r);
/* Why it was refused, for a human; NULL when it is in force. */
const char *bearer_reload_message(const struct bearer_reload_report *r);
/* The names of profiles that are new, or gone; NULL behind the last. */
size_t bearer_reload_n_added(const struct bearer_reload_report *r);
const char *bearer_reload_added(const struct bearer_reload_report *r, size_t i);
size_t bearer_reload_n_removed(const struct bearer_reload_report *r);
const char *bearer_reload_removed(const struct bearer_reload_report *r, size_t i);
/* How many profiles are as they were, or BEARER_ABSENT. */
int64_t bearer_reload_n_unchanged(const struct bearer_reload_report *r);
size_t bearer_reload_n_changes(const struct bearer_reload_report *r);
const struct bearer_change *bearer_reload_change_at(const struct bearer_reload_report *r, size_t i);
size_t bearer_reload_n_problems(const struct bearer_reload_report *r);
const struct bearer_problem *bearer_reload_problem_at(const struct bearer_reload_report *r, size_t i);
/* The daemon's answer as it came. */
const char *bearer_reload_json(const struct bearer_reload_report *r);

const char *bearer_change_profile(const struct bearer_change *c);
/* "keys", "policy", "access", "identity", or "added" for one that is new; more words may come. */
const char *bearer_change_what(const struct bearer_change *c);
enum bearer_proof bearer_change_proof(const struct bearer_change *c);
/* Why the new keys brought no token, or NULL. */
const char *bearer_change_message(const struct bearer_change *c);

/* "/etc/bearerd/profiles.d/shop.conf:3", or "" where there is no place. */
const char *bearer_problem_place(const struct bearer_problem *p);
/* True for what is odd but usable. */
bool bearer_problem_is_warning(const struct bearer_problem *p);
const char *bearer_problem_message(const struct bearer_problem *p);

/* ---- an explanation ---- */

/* One request for a token, and what came of it. */
struct bearer_attempt;

void bearer_explanation_free(struct bearer_explanation *e);
/* Borrowed from the explanation. */
const struct bearer_status *bearer_explanation_status(const struct bearer_explanation *e);
/* The rules of Allow= and of Admin=; NULL behind the last. */
size_t bearer_explanation_n_allow(const struct bearer_explanation *e);
const char *bearer_explanation_allow(const struct bearer_explanation *e, size_t i);
size_t bearer_explanation_n_admin(const struct bearer_explanation *e);
const char *bearer_explanation_admin(const struct bearer_explanation *e, size_t i);
/* True when it was asked about a caller: else the six below are absent, false or NULL. */
bool bearer_explanation_has_caller(const struct bearer_explanation *e);
bool bearer_explanation_is_admitted(const struct bearer_explanation *e);
bool bearer_explanation_is_admin(const struct bearer_explanation *e);
/* The rule that admits the caller, or NULL. */
const char *bearer_explanation_rule(const struct bearer_explanation *e);
/* One sentence for a human, or NULL. */
const char *bearer_explanation_why(const struct bearer_explanation *e);
/* The unit of the process, or NULL; then perhaps why it is not known. */
const char *bearer_explanation_unit(const struct bearer_explanation *e);
const char *bearer_explanation_unit_problem(const struct bearer_explanation *e);
/* The last few attempts, newest first. */
size_t bearer_explanation_n_attempts(const struct bearer_explanation *e);
const struct bearer_attempt *bearer_explanation_attempt_at(const struct bearer_explanation *e, size_t i);
/* The daemon's answer as it came. */
const char *bearer_explanation_json(const struct bearer_explanation *e);

int64_t bearer_attempt_at(const struct bearer_attempt *a);
/* "token", or a short word that never changes, as bearer_status_error_reason(). */
const char *bearer_attempt_outcome(const struct bearer_attempt *a);
/* What the upstream answered, or BEARER_ABSENT when it did not. */
int64_t bearer_attempt_http_status(const struct bearer_attempt *a);

#ifdef __cplusplus
}
#endif
