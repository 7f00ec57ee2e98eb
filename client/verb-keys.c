/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/problem.h"
#include "bearerd-paths.h"
#include "client/key-places.h"
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

/* An encrypted key counts only where nothing goes before it. */
static void tell_encrypted(const struct asked_keys *asked, const struct catalog_key *key)
{
    _cleanup_(key_place_done) struct key_place place = {0};

    output_note("stored encrypted: %s", key->kind.name);
    if (key->file)
        output_note("  but %s:%u goes before it: take that line out, and then delete %s",
                    asked->profile_keys->settings_file, key->line, key->file);
    else if (key_place_look(&place, asked->profile, key->kind.id, asked->profile_keys) == 0 &&
             place.facts.passed_at != KEY_ABSENT)
        output_note("  but the unit passes the credential %s.%s, which goes before it: take that out "
                    "(systemctl cat bearerd)",
                    asked->profile, key->kind.name);
}

/* A plain file counts only where the settings name it. */
static void tell_plain(const struct asked_keys *asked, const struct catalog_key *key)
{
    _cleanup_free_ char *path = NULL;

    if (asprintf(&path, BEARERD_KEY_DIRECTORY "/%s.%s", asked->profile, key->kind.name) < 0) {
        path = NULL;
        return;
    }
    output_note("stored, not encrypted: %s", path);
    if (!key->file || strcmp(key->file, path) != 0)
        output_note("  [Keys] of %s must say: %sFile=%s", asked->profile_keys->settings_file,
                    key->kind.setting, path);
}

/* What was stored, and what brings it into force. */
static void tell(const struct asked_keys *asked, bool is_encrypted)
{
    for (size_t i = 0; i < asked->n_items; i++) {
        if (!secret_is_set(&asked->items[i].value))
            continue;
        if (is_encrypted)
            tell_encrypted(asked, asked->items[i].key);
        else
            tell_plain(asked, asked->items[i].key);
    }
    if (!is_encrypted && geteuid() == 0 && !check_daemon_user().is_found)
        output_note("They are root's, since there is no user bearerd.");
    if (!is_encrypted) {
        output_note("The daemon reads it at: bearerctl reload");
        return;
    }
    output_note("The daemon reads it when it starts: systemctl restart bearerd");
    output_note(
        "(No connection is refused meanwhile, and other profiles keep their tokens; %s gets a new one.)",
        asked->profile);
}

/* Encrypted, or where that does not work in plain files: all of them, or none. */
static int store(struct key_batch *batch, bool *ret_is_encrypted, struct buffer *complaint)
{
    const struct daemon_user user = check_daemon_user();
    const struct key_owner owner = {user.uid, user.gid};

    int r = key_batch_encrypt(batch, complaint);
    *ret_is_encrypted = r == 0;
    if (r == -EBADMSG) {
        output_note("keys cannot be encrypted here: %s", buffer_peek(complaint));
        buffer_reset(complaint);
        r = 0;
    }
    return r < 0 ? r : key_batch_store(batch, &owner, complaint);
}

static enum exit_status store_all(const struct asked_keys *asked)
{
    _cleanup_(buffer_done) struct buffer complaint = BUFFER_INIT(COMPLAINT_MAX);
    _cleanup_(key_batch_done) struct key_batch batch = {0};
    bool is_encrypted = false;

    for (size_t i = 0; i < asked->n_items; i++) {
        const struct key_name name = {asked->profile, asked->items[i].key->kind.name};
        if (secret_is_set(&asked->items[i].value))
            key_batch_add(&batch, &name, &asked->items[i].value);
    }
    if (batch.n_items == 0) {
        output_note("nothing was changed");
        return EXIT_DONE;
    }
    int r = store(&batch, &is_encrypted, &complaint);
    if (r < 0) {
        output_error("not stored: %s", complaint.size > 0 ? buffer_peek(&complaint) : strerror(-r));
        return EXIT_REFUSED;
    }
    tell(asked, is_encrypted);
    return EXIT_DONE;
}

/* ---- the verb ---- */

/* A profile without settings may be one that is to come, or one whose name was mistyped. */
static void tell_no_settings(const char *directory, const char *profile, const struct profile_keys *keys)
{
    _cleanup_(profile_names_done) struct profile_names names = {0};
    const char *near = NULL;

    if (key_catalog_profiles(directory, &names) == 0)
        near = problem_suggest(profile, (const char *const *) names.items, names.n_items);
    output_note("There are no settings %s yet%s%s%s These are the keys for Provider=vipps.",
                keys->settings_file, near ? "; did you mean " : ".", near ? near : "", near ? "?" : "");
}

/* Settings that do not say which keys they want are to be put right first; none at all are still to come. */
static enum exit_status check_settings_of(const char *directory, const char *profile,
                                          const struct profile_keys *keys, const struct problems *problems)
{
    if (keys->provider)
        return EXIT_DONE;
    if (!keys->has_settings) {
        tell_no_settings(directory, profile, keys);
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
    enum exit_status status = check_settings_of(directory, profile, &keys, &problems);
    if (status != EXIT_DONE)
        return status;
    _cleanup_(asked_keys_done) struct asked_keys asked = {.profile = profile, .profile_keys = &keys};
    status = choose(options, &keys, &asked);
    if (status == EXIT_DONE)
        status = get(options, &asked);
    return status == EXIT_DONE ? store_all(&asked) : status;
}

/* Neither we nor systemd-creds leave a core: 1 byte is too little for a file, and to a program that collects
 * cores (core(5)) the kernel then gives none either, which it would at 0. Who has less already keeps it. */
static void forbid_cores(void)
{
    const struct rlimit limit = {.rlim_cur = 1, .rlim_max = 1};

    if (setrlimit(RLIMIT_CORE, &limit) < 0)
        return;
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
    forbid_cores();
    int r = key_catalog_directory(&problems, &directory);
    if (r < 0) {
        for (size_t i = 0; i < problems.n_items; i++)
            check_print_problem(&problems.items[i], stderr);
        output_error("%s cannot be used", BEARERD_CONFIG_FILE);
        return EXIT_REFUSED;
    }
    return options->is_list ? keys_list(directory, profile) : ask_and_store(options, directory);
}
