/* SPDX-License-Identifier: MIT */
#include "client/key-places.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bearerd-paths.h"
#include "client/creds.h"
#include "client/key-store.h"
#include "client/output.h"
#include "host/check.h"

void key_place_done(struct key_place *place)
{
    free(place->plain);
    free(place->encrypted);
    *place = (struct key_place){0};
}

/* When the file was last written, or KEY_ABSENT. What cannot be looked at is taken for absent. */
static int64_t written_at(const char *path)
{
    struct stat st;

    return path && stat(path, &st) == 0 ? (int64_t) st.st_mtim.tv_sec : KEY_ABSENT;
}

/* Whether `copy` was made since `path` was put there. That is its change, not when it says it was written: a
 * key that was brought back from a backup is an old one in a new place. */
static bool is_newer(const char *copy, const char *path)
{
    struct stat ours, theirs;

    if (stat(copy, &ours) < 0 || stat(path, &theirs) < 0)
        return false;
    return ours.st_mtim.tv_sec != theirs.st_ctim.tv_sec ? ours.st_mtim.tv_sec > theirs.st_ctim.tv_sec
                                                        : ours.st_mtim.tv_nsec > theirs.st_ctim.tv_nsec;
}

/* FOLDER/PREFIXPROFILE.KIND, or NULL. */
static char *path_of(const char *folder, const char *prefix, const struct key_facts *f)
{
    char *path;

    return asprintf(&path, "%s/%s%s.%s", folder, prefix, f->profile, f->kind) < 0 ? NULL : path;
}

static void take_settings(struct key_facts *f, unsigned kind, const struct profile_keys *keys)
{
    f->has_profile = keys->has_settings;
    f->has_provider = keys->provider;
    for (size_t i = 0; i < keys->n_keys; i++) {
        const struct catalog_key *key = &keys->keys[i];
        if (key->kind.id != kind)
            continue;
        f->is_wanted = true;
        f->is_required = keys->provider && !key->is_optional;
        f->file = key->file;
    }
}

int key_place_look(struct key_place *place, const char *profile, unsigned kind,
                   const struct profile_keys *keys)
{
    const struct catalog_kind words = key_catalog_kind(kind);
    struct key_facts *f = &place->facts;

    *place = (struct key_place){
        .facts = {.profile = profile, .kind = words.name, .setting = words.setting}
    };
    take_settings(f, kind, keys);
    place->plain = path_of(BEARERD_KEY_DIRECTORY, "", f);
    place->encrypted = path_of(BEARERD_CREDENTIAL_DIRECTORY, "", f);
    _cleanup_free_ char *passed = path_of(SERVICE_CREDENTIAL_DIRECTORY, "", f);
    _cleanup_free_ char *loaded = path_of(SERVICE_CREDENTIAL_DIRECTORY, KEY_CREDENTIAL_PREFIX, f);
    if (!place->plain || !place->encrypted || !passed || !loaded) {
        key_place_done(place);
        return -ENOMEM;
    }
    f->plain = place->plain;
    f->file_at = written_at(f->file);
    f->plain_at = written_at(place->plain);
    f->encrypted_at = written_at(place->encrypted);
    f->passed_at = written_at(passed);
    f->loaded_at = written_at(loaded);
    f->is_read = is_newer(loaded, place->encrypted);
    return 0;
}

void key_place_try(struct key_place *place, struct buffer *complaint)
{
    _cleanup_fd_ int fd = open(place->encrypted, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    _cleanup_free_ char *name = NULL;
    struct key_facts *f = &place->facts;

    if (fd < 0)
        return;
    if (asprintf(&name, KEY_CREDENTIAL_PREFIX "%s.%s", f->profile, f->kind) < 0) {
        name = NULL;
        return;
    }
    int r = creds_verify(name, fd, complaint);
    f->decryption = r == 0 ? KEY_DECRYPTED : r == -EBADMSG ? KEY_DAMAGED : KEY_UNTRIED;
}

/* ---- names ---- */

/* The size of the profile's name in "shop.client-secret"; 0: it is not the name of a key. */
static size_t profile_size(const char *entry)
{
    const char *dot = strrchr(entry, '.');

    for (unsigned kind = 0; dot && kind < CATALOG_N_KINDS; kind++)
        if (!strcmp(dot + 1, key_catalog_kind(kind).name))
            return (size_t) (dot - entry);
    return 0;
}

/* Files of any name may lie among the plain ones, where settings name them; in the other folder they are
 * lost. */
static void complain_stray(const char *folder, const char *entry)
{
    if (!strcmp(folder, BEARERD_CREDENTIAL_DIRECTORY))
        output_note("%s/%s: not read by anybody, since its name is not PROFILE.KIND", folder, entry);
}

static int add_entry(struct profile_names *names, const char *folder, const char *entry)
{
    size_t size = profile_size(entry);
    _cleanup_free_ char *name = strndup(entry, size);

    if (!name)
        return -ENOMEM;
    if (!key_catalog_is_profile(name)) {
        complain_stray(folder, entry);
        return 0;
    }
    char **items = reallocarray(names->items, names->n_items + 1, sizeof(*items));
    if (!items)
        return -ENOMEM;
    names->items = items;
    names->items[names->n_items++] = TAKE_PTR(name);
    return 0;
}

static void close_folder(DIR **folder)
{
    if (*folder)
        (void) closedir(*folder);
}

static int add_folder(struct profile_names *names, const char *path)
{
    _cleanup_(close_folder) DIR *folder = opendir(path);
    int r = 0;

    if (!folder && errno == ENOENT)
        return 0;
    if (!folder) {
        r = -errno;
        output_error("%s cannot be read: %s", path, strerror(-r));
        return r;
    }
    for (const struct dirent *entry; r == 0 && (entry = readdir(folder));)
        if (entry->d_name[0] != '.')
            r = add_entry(names, path, entry->d_name);
    return r;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}

/* Sorts, and leaves one of each. */
static void make_unique(struct profile_names *names)
{
    size_t n = 0;

    if (names->n_items == 0)
        return;
    qsort(names->items, names->n_items, sizeof(*names->items), by_name);
    for (size_t i = 1; i < names->n_items; i++)
        if (!strcmp(names->items[n], names->items[i]))
            free(names->items[i]);
        else
            names->items[++n] = names->items[i];
    names->n_items = n + 1;
}

int key_places_profiles(struct profile_names *names)
{
    static const char *const folders[] = {BEARERD_CREDENTIAL_DIRECTORY, BEARERD_KEY_DIRECTORY};
    int r = 0;

    for (size_t i = 0; i < ARRAY_SIZE(folders) && r == 0; i++)
        r = add_folder(names, folders[i]);
    make_unique(names);
    return r;
}
