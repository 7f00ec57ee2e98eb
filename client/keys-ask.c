/* SPDX-License-Identifier: MIT */
#include "client/keys-ask.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/key-places.h"
#include "client/terminal.h"

/* Of a prompt: a profile, a kind, a path and some words. */
#define PROMPT_MAX ((size_t) 8192)
/* Of what systemd-creds says. */
#define COMPLAINT_MAX ((size_t) 4 * 4096)

void asked_keys_done(struct asked_keys *keys)
{
    for (size_t i = 0; i < keys->n_items; i++)
        secret_done(&keys->items[i].value);
}

/* Says what is wrong or odd with a key. True when it can be used. */
static bool is_usable(const struct asked_key *asked, const struct secret *value)
{
    const struct catalog_kind *kind = &asked->key->kind;
    const struct catalog_verdict verdict = key_catalog_judge(kind, value);

    for (size_t i = 0; i < verdict.n_warnings; i++)
        output_note("warning: the %s %s", kind->words, verdict.warnings[i]);
    if (verdict.error)
        output_error("the %s %s", kind->words, verdict.error);
    return !verdict.error;
}

/* ---- at the terminal ---- */

/* One question. */
struct question {
    int fd;
    struct asked_key *asked;
    bool is_required; /* and not there yet */
    struct buffer prompt;
};

static void question_done(struct question *q)
{
    buffer_done(&q->prompt);
}

/* Appends where the key lies now; false: nowhere that counts. */
static bool append_place(struct buffer *out, const struct key_facts *f, int64_t now)
{
    char age[TEXT_SPAN_SIZE];

    if (f->file_at != KEY_ABSENT)
        buffer_appendf(out, " (in %s, %s; Enter keeps it)", f->file, text_moment(f->file_at, now, age));
    else if (f->passed_at != KEY_ABSENT)
        buffer_append_string(out, " (a credential of the unit; Enter keeps it)");
    else if (f->encrypted_at == KEY_ABSENT)
        return false;
    else if (f->decryption != KEY_DAMAGED)
        buffer_appendf(out, " (stored %s; Enter keeps it)", text_moment(f->encrypted_at, now, age));
    else {
        buffer_appendf(out, " (stored %s, but cannot be decrypted here)",
                       text_moment(f->encrypted_at, now, age));
        return false;
    }
    return true;
}

/* "client secret (stored 3d ago; Enter keeps it): " */
static int prepare(struct question *q, const struct asked_keys *keys)
{
    _cleanup_(buffer_done) struct buffer complaint = BUFFER_INIT(COMPLAINT_MAX);
    _cleanup_(key_place_done) struct key_place place = {0};
    const struct catalog_key *key = q->asked->key;

    int r = key_place_look(&place, keys->profile, key->kind.id, keys->profile_keys);
    if (r < 0)
        return r;
    key_place_try(&place, &complaint);
    buffer_append_string(&q->prompt, key->kind.words);
    bool is_there = append_place(&q->prompt, &place.facts, time(NULL));
    if (!is_there && key->is_optional)
        buffer_append_string(&q->prompt, " (optional; Enter skips it)");
    q->is_required = !is_there && !key->is_optional;
    buffer_append_string(&q->prompt, key->kind.is_pem ? ", in PEM, to its END line: " : ": ");
    return buffer_error(&q->prompt);
}

/* What went wrong while asking; true: ask again. */
static bool is_worth_another(const struct question *q, int r)
{
    const char *words = q->asked->key->kind.words;

    if (r == -EBADMSG)
        output_error("the %s is one line, and there came several: nothing of them was taken", words);
    else if (r == -EMSGSIZE)
        output_error("that is more than a terminal passes on: pipe it (bearerctl keys PROFILE %s < FILE)",
                     q->asked->key->kind.name);
    else if (r == -ENODATA)
        output_error("no answer: nothing was stored");
    else
        output_error("cannot read from the terminal: %s; nothing was stored", strerror(-r));
    return r == -EBADMSG || r == -EMSGSIZE;
}

/* The same clipboard, pasted twice. */
static void warn_about_twins(const struct asked_keys *keys, const struct asked_key *asked)
{
    for (const struct asked_key *other = keys->items; other < asked; other++)
        if (secret_equal(&other->value, &asked->value))
            output_note("warning: the %s is the same as the %s: are they mixed up?", asked->key->kind.words,
                        other->key->kind.words);
}

/* Asks until there is an answer. The key is then set, or passed over. */
static enum exit_status ask_until_answered(struct question *q)
{
    const struct catalog_kind *kind = &q->asked->key->kind;

    for (;;) {
        _cleanup_(secret_done) struct secret value = SECRET_INIT;

        int r = terminal_ask(q->fd, buffer_peek(&q->prompt), kind->is_pem, &value);
        if (r < 0 && !is_worth_another(q, r))
            return EXIT_REFUSED;
        if (r < 0)
            continue;
        if (value.size == 0 && !q->is_required)
            return EXIT_DONE;
        if (value.size == 0) {
            output_error("the profile cannot do without its %s (Ctrl-C leaves, and stores nothing)",
                         kind->words);
            continue;
        }
        if (!is_usable(q->asked, &value))
            continue;
        output_note("  %zu characters", value.size);
        secret_move(&q->asked->value, &value);
        return EXIT_DONE;
    }
}

static enum exit_status ask(int fd, const struct asked_keys *keys, struct asked_key *asked)
{
    _cleanup_(question_done) struct question q = {
        .fd = fd, .asked = asked, .prompt = BUFFER_INIT(PROMPT_MAX)};

    int r = prepare(&q, keys);
    if (r < 0) {
        output_error("%s: %s", asked->key->kind.name, strerror(-r));
        return EXIT_REFUSED;
    }
    enum exit_status status = ask_until_answered(&q);
    if (status == EXIT_DONE)
        warn_about_twins(keys, asked);
    return status;
}

enum exit_status keys_ask(struct asked_keys *keys)
{
    _cleanup_fd_ int fd = terminal_open();
    enum exit_status status = EXIT_DONE;

    if (fd < 0) {
        output_error("there is no terminal to ask at: %s", strerror(-fd));
        return EXIT_REFUSED;
    }
    output_note("Keys of %s: paste each and press Enter. Nothing is shown.", keys->profile);
    for (size_t i = 0; i < keys->n_items && status == EXIT_DONE; i++)
        status = ask(fd, keys, &keys->items[i]);
    return status;
}

/* ---- from a pipe ---- */

enum exit_status keys_read_piped(struct asked_keys *keys)
{
    _cleanup_(secret_done) struct secret value = SECRET_INIT;
    struct asked_key *asked = &keys->items[0];

    int r = terminal_read_piped(STDIN_FILENO, &value);
    if (r < 0) {
        output_error("standard input: %s", r == -EMSGSIZE ? "longer than 64 KiB" : strerror(-r));
        return EXIT_REFUSED;
    }
    if (!is_usable(asked, &value))
        return EXIT_REFUSED;
    secret_move(&asked->value, &value);
    return EXIT_DONE;
}
