/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/problem.h"
#include "bearerd-paths.h"
#include "client/key-store.h"
#include "client/keys-ask.h"
#include "client/keys-list.h"
#include "client/verbs.h"
#include "host/check.h"

/* Of what systemd-creds says. */
#define COMPLAINT_MAX ((size_t) 4 * 4096)

/* ---- who may ---- */

/* Root, or whoever an installation for one user belongs to. */
static bool is_permitted(void)
{
    static const char file[] = BEARERD_CONFIG_FILE;
    char folder[sizeof(file)];
    struct stat st;

    if (geteuid() == 0)
        return true;
    memcpy(folder, file, sizeof(file));
    *strrchr(folder, '/') = '\0';
    return stat(folder, &st) == 0 && st.st_uid == geteuid();
}

/* ---- which keys ---- */

static enum exit_status complain_kind(const struct profile_keys *keys, const char *profile, const char *word)
{
    const char *names[CATALOG_N_KINDS];

    for (size_t i = 0; i < keys->n_keys; i++)
        names[i] = keys->keys[i].kind.name;
    const char *near = problem_suggest(word, names, keys->n_keys);
    output_error("%s has no key %s%s%s%s", profile, word, near ? "; did you mean " : "", near ? near : "",
                 near ? "?" : "; it has:");
    for (size_t i = 0; !near && i < keys->n_keys; i++)
        output_note("  %s", names[i]);
    return EXIT_USAGE;
}

static const struct catalog_key *find_key(const struct profile_keys *keys, const char *word)
{
    for (size_t i = 0; i < keys->n_keys; i++)
        if (!strcmp(keys->keys[i].kind.name, word))
            return &keys->keys[i];
    return NULL;
}

static bool is_chosen(const struct asked_keys *asked, const struct catalog_key *key)
{
    for (size_t i = 0; i < asked->n_items; i++)
        if (asked->items[i].key == key)
            return true;
    return false;
}

/* The kinds of the command line, else all. */
static enum exit_status choose(const struct options *options, const struct profile_keys *keys,
                               struct asked_keys *ret)
{
    for (size_t i = 1; i < options->n_args; i++) {
        const struct catalog_key *key = find_key(keys, options->args[i]);
        if (!key)
            return complain_kind(keys, options->args[0], options->args[i]);
        if (!is_chosen(ret, key))
            ret->items[ret->n_items++].key = key;
    }
    for (size_t i = 0; options->n_args == 1 && i < keys->n_keys; i++)
        ret->items[ret->n_items++].key = &keys->keys[i];
    return EXIT_DONE;
}

static enum exit_status get(const struct options *options, struct asked_keys *asked)
{
    if (isatty(STDIN_FILENO))
        return keys_ask(asked);
    if (options->n_args == 2)
        return keys_read_piped(asked);
    output_error("standard input is no terminal: name the one key that it holds, as in");
    output_note("  bearerctl keys %s %s < FILE", options->args[0], asked->items[0].key->kind.name);
    return EXIT_USAGE;
}

/* ---- storing ---- */

/* What was done, so that the end can say what follows from it. */
struct outcome {
    const struct asked_keys *asked;
    bool cannot_encrypt; /* the first one failed: the others are not tried */
    bool is_any_encrypted, is_any_plain;
};

/* An encrypted key counts only where no file goes before it. */
static void stored_encrypted(struct outcome *o, const struct catalog_key *key)
{
    o->is_any_encrypted = true;
    output_note("stored encrypted: %s", key->kind.name);
    if (key->file)
        output_note("  but %s:%u goes before it: take that line out, and then delete %s",
                    o->asked->profile_keys->settings_file, key->line, key->file);
}

/* A plain file counts only where the settings name it. */
static void stored_plain(struct outcome *o, const struct catalog_key *key, const char *path)
{
    o->is_any_plain = true;
    output_note("stored, not encrypted: %s", path);
    if (!key->file || strcmp(key->file, path) != 0)
        output_note("  [Keys] of %s must say: %sFile=%s", o->asked->profile_keys->settings_file,
                    key->kind.setting, path);
}

static int store_plain(struct outcome *o, const struct asked_key *item, struct buffer *complaint)
{
    const struct key_name name = {o->asked->profile, item->key->kind.name};
    const struct daemon_user user = check_daemon_user();
    const struct key_owner owner = {user.uid, user.gid};
    _cleanup_free_ char *path = NULL;

    if (asprintf(&path, BEARERD_KEY_DIRECTORY "/%s.%s", name.profile, name.kind) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    int r = key_store_plain(&name, &item->value, &owner, complaint);
    if (r < 0)
        return r;
    stored_plain(o, item->key, path);
    if (geteuid() == 0 && !user.is_found)
        output_note("  it is root's, since there is no user bearerd");
    return 0;
}

static int store(struct outcome *o, const struct asked_key *item, struct buffer *complaint)
{
    const struct key_name name = {o->asked->profile, item->key->kind.name};

    if (!o->cannot_encrypt) {
        int r = key_store_encrypted(&name, &item->value, complaint);
        if (r == 0)
            stored_encrypted(o, item->key);
        if (r != -EBADMSG)
            return r;
        output_note("keys cannot be encrypted here: %s", buffer_peek(complaint));
        buffer_reset(complaint);
        o->cannot_encrypt = true;
    }
    return store_plain(o, item, complaint);
}

static void say_what_next(const struct outcome *o)
{
    if (!o->is_any_encrypted && !o->is_any_plain)
        output_note("nothing was changed");
    if (o->is_any_plain)
        output_note("The daemon reads it at: bearerctl reload");
    if (!o->is_any_encrypted)
        return;
    output_note("The daemon reads it when it starts: systemctl restart bearerd");
    output_note("(That costs nobody anything: tokens are kept, and requests wait for a moment.)");
}

static enum exit_status store_all(const struct asked_keys *asked)
{
    _cleanup_(buffer_done) struct buffer complaint = BUFFER_INIT(COMPLAINT_MAX);
    struct outcome outcome = {.asked = asked};

    for (size_t i = 0; i < asked->n_items; i++) {
        const struct asked_key *item = &asked->items[i];
        int r = secret_is_set(&item->value) ? store(&outcome, item, &complaint) : 0;
        if (r < 0) {
            output_error("%s: not stored: %s", item->key->kind.name,
                         complaint.size > 0 ? buffer_peek(&complaint) : strerror(-r));
            return EXIT_REFUSED;
        }
    }
    say_what_next(&outcome);
    return EXIT_DONE;
}

/* ---- the verb ---- */

/* Settings that do not say which keys they want are to be put right first; none at all are still to come. */
static enum exit_status check_settings_of(const char *profile, const struct profile_keys *keys,
                                          const struct problems *problems)
{
    if (keys->provider)
        return EXIT_DONE;
    if (!keys->has_settings) {
        output_note("There are no settings %s yet. These are the keys for Provider=vipps.",
                    keys->settings_file);
        return EXIT_DONE;
    }
    for (size_t i = 0; i < problems->n_items; i++)
        check_print_problem(&problems->items[i], stderr);
    output_error("which keys %s wants is not known: its settings do not say which provider", profile);
    return EXIT_REFUSED;
}

static enum exit_status ask_and_store(const struct options *options, const char *directory)
{
    const char *profile = options->args[0];
    _cleanup_(problems_done) struct problems problems = {0};
    _cleanup_(profile_keys_done) struct profile_keys keys = {0};

    int r = key_catalog_read(directory, profile, &problems, &keys);
    if (r < 0) {
        output_error("%s: %s", profile, strerror(-r));
        return EXIT_REFUSED;
    }
    enum exit_status status = check_settings_of(profile, &keys, &problems);
    if (status != EXIT_DONE)
        return status;
    _cleanup_(asked_keys_done) struct asked_keys asked = {.profile = profile, .profile_keys = &keys};
    status = choose(options, &keys, &asked);
    if (status == EXIT_DONE)
        status = get(options, &asked);
    return status == EXIT_DONE ? store_all(&asked) : status;
}

enum exit_status verb_keys(const struct options *options)
{
    const char *profile = options->n_args > 0 ? options->args[0] : NULL;
    _cleanup_(problems_done) struct problems problems = {0};
    _cleanup_free_ char *directory = NULL;

    if (profile && !key_catalog_is_profile(profile)) {
        output_error("%s is not the name of a profile: up to 63 of a-z 0-9 . _ -, first a letter or digit",
                     profile);
        return EXIT_USAGE;
    }
    if (!is_permitted()) {
        output_error("keys are root's matter: run this as root");
        return EXIT_REFUSED;
    }
    int r = key_catalog_directory(&problems, &directory);
    if (r < 0) {
        for (size_t i = 0; i < problems.n_items; i++)
            check_print_problem(&problems.items[i], stderr);
        output_error("%s cannot be used", BEARERD_CONFIG_FILE);
        return EXIT_REFUSED;
    }
    return options->is_list ? keys_list(directory, profile) : ask_and_store(options, directory);
}
