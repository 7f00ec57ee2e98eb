/* SPDX-License-Identifier: MIT */
#include "host/key_catalog.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "config/daemon_settings.h"
#include "config/profile_settings.h"
#include "host/files.h"
#include "host/key_form.h"
#include "host/keys.h"
#include "host/user_names.h"
#include "wire/pem.h"

_Static_assert(N_KEY_KINDS == CATALOG_N_KINDS, "the client knows every kind");
_Static_assert(CATALOG_KEY_MAX == KEY_FILE_MAX, "what can be stored can be read");
_Static_assert(KEY_FORM_WARNINGS_MAX + 1 <= CATALOG_WARNINGS_MAX, "every warning has a place");

#define PROFILE_SUFFIX ".conf"

/* ---- kinds ---- */

struct catalog_kind key_catalog_kind(unsigned id)
{
    enum key_kind kind = (enum key_kind) id;

    return (struct catalog_kind){
        .id = id,
        .name = key_kind_credential(kind),
        .setting = key_kind_setting(kind),
        .words = key_kind_words(kind),
        .is_pem = key_form_is_pem(kind),
    };
}

/* ---- settings ---- */

void profile_keys_done(struct profile_keys *keys)
{
    for (size_t i = 0; i < keys->n_keys; i++)
        free(keys->keys[i].file);
    free(keys->settings_file);
    *keys = (struct profile_keys){0};
}

bool key_catalog_is_profile(const char *name)
{
    return profile_name_is_valid(name);
}

int key_catalog_directory(struct problems *problems, char **ret)
{
    _cleanup_(buffer_done) struct buffer text = BUFFER_INIT(SETTINGS_FILE_MAX);
    _cleanup_(daemon_settings_done) struct daemon_settings settings = {0};
    _cleanup_(user_names_done) struct user_names names = {0};
    const struct name_resolver resolver = user_names_resolver(&names);
    const char *path = daemon_settings_default_file();

    int r = file_read_settings(path, problems, &text);
    if (r < 0 && r != -ENOENT)
        return r;
    const struct settings_text source = {path, buffer_peek(&text), text.size, &resolver};
    r = daemon_settings_parse(&source, problems, &settings);
    /* Other settings may be wrong: they are for `check` to tell. */
    if (r < 0 && (r != -EINVAL || !settings.profile_directory))
        return r;
    *ret = TAKE_PTR(settings.profile_directory);
    return 0;
}

/* Takes what the settings say of the keys of their provider. */
static void take_keys(struct profile_settings *settings, const struct profile_notes *notes,
                      struct profile_keys *ret)
{
    struct wanted_key wanted[N_KEY_KINDS];

    ret->n_keys = keys_wanted(settings, wanted);
    for (size_t i = 0; i < ret->n_keys; i++) {
        enum key_kind kind = wanted[i].kind;
        ret->keys[i] = (struct catalog_key){
            .kind = key_catalog_kind(kind),
            .is_optional = wanted[i].is_optional,
            .file = TAKE_PTR(settings->key_files[kind]),
            .line = notes->key_lines[kind],
        };
    }
}

int key_catalog_read(const char *directory, const char *name, struct problems *problems,
                     struct profile_keys *ret)
{
    _cleanup_(buffer_done) struct buffer text = BUFFER_INIT(SETTINGS_FILE_MAX);
    _cleanup_(profile_settings_done) struct profile_settings settings = {0};
    _cleanup_(user_names_done) struct user_names names = {0};
    const struct name_resolver resolver = user_names_resolver(&names);
    _cleanup_(profile_keys_done) struct profile_keys keys = {0};
    struct profile_notes notes = {0};

    if (asprintf(&keys.settings_file, "%s/%s" PROFILE_SUFFIX, directory, name) < 0) {
        keys.settings_file = NULL;
        return -ENOMEM;
    }
    int r = file_read_settings(keys.settings_file, problems, &text);
    if (r == -ENOMEM)
        return r;
    keys.has_settings = r != -ENOENT;
    if (r == 0) {
        const struct settings_text source = {keys.settings_file, buffer_peek(&text), text.size, &resolver};
        r = profile_settings_parse(&source, name, problems, &settings, &notes);
        if (r < 0 && r != -EINVAL)
            return r;
    }
    if (notes.is_provider_known)
        keys.provider = provider_name(settings.provider);
    else
        settings.provider = PROVIDER_VIPPS;
    take_keys(&settings, &notes, &keys);
    *ret = keys;
    keys = (struct profile_keys){0};
    return 0;
}

/* ---- the folder ---- */

void profile_names_done(struct profile_names *list)
{
    for (size_t i = 0; i < list->n_items; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct profile_names){0};
}

static int is_settings_entry(const struct dirent *entry)
{
    const char *suffix = strrchr(entry->d_name, '.');
    char name[PROFILE_NAME_MAX + 1] = "";

    if (!suffix || strcmp(suffix, PROFILE_SUFFIX) != 0 || suffix - entry->d_name > PROFILE_NAME_MAX)
        return 0;
    memcpy(name, entry->d_name, (size_t) (suffix - entry->d_name));
    return profile_name_is_valid(name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}

int key_catalog_profiles(const char *directory, struct profile_names *ret)
{
    _cleanup_(profile_names_done) struct profile_names list = {0};
    _cleanup_free_ struct dirent **entries = NULL;
    int result = 0;

    int n = scandir(directory, &entries, is_settings_entry, NULL);
    if (n < 0)
        return errno == ENOENT ? 0 : -errno;
    list.items = calloc((size_t) n + 1, sizeof(*list.items));
    for (int i = 0; i < n; i++) {
        char *name = list.items
                         ? strndup(entries[i]->d_name, strlen(entries[i]->d_name) - strlen(PROFILE_SUFFIX))
                         : NULL;
        if (name)
            list.items[list.n_items++] = name;
        else
            result = -ENOMEM;
        free(entries[i]);
    }
    if (result < 0 || !list.items)
        return -ENOMEM;
    qsort(list.items, list.n_items, sizeof(*list.items), by_name);
    *ret = list;
    list = (struct profile_names){0};
    return 0;
}

/* ---- judging a key ---- */

/* libcrypto's own look at a key of the right form. */
static const char *pem_error(const struct secret *key)
{
    _cleanup_(pem_key_p) EVP_PKEY *parsed = NULL;
    const char *problem = NULL;

    return pem_read_key(key, &parsed, &problem) < 0 ? "holds no private key that can be read: it is damaged"
                                                    : NULL;
}

static bool is_subscription(enum key_kind kind)
{
    return kind == KEY_SUBSCRIPTION || kind == KEY_SECONDARY_SUBSCRIPTION || kind == KEY_API_SUBSCRIPTION;
}

struct catalog_verdict key_catalog_judge(const struct catalog_kind *kind, const struct secret *key)
{
    struct catalog_verdict verdict = {0};

    if (key->size == 0)
        return (struct catalog_verdict){.error = "is empty"};
    if (key->size > CATALOG_KEY_MAX)
        return (struct catalog_verdict){.error = "is longer than 64 KiB"};
    const struct key_form form = key_form_check((enum key_kind) kind->id, key);
    verdict.error = !form.error && kind->is_pem ? pem_error(key) : form.error;
    for (size_t i = 0; i < form.n_warnings; i++)
        verdict.warnings[verdict.n_warnings++] = form.warnings[i];
    if (is_subscription((enum key_kind) kind->id) && key_form_is_guid(key))
        verdict.warnings[verdict.n_warnings++] =
            "looks like a client id; a subscription key is 32 hex digits";
    return verdict;
}
