/* SPDX-License-Identifier: MIT */
#include "client/key-places.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bearerd-paths.h"
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

/* FOLDER/PREFIXPROFILE.KIND, or NULL. */
static char *path_of(const char *folder, const char *prefix, const struct key_facts *f)
{
    char *path;

    return asprintf(&path, "%s/%s%s.%s", folder, prefix, f->profile, f->kind) < 0 ? NULL : path;
}

static void take_settings(struct key_facts *f, unsigned kind, const struct profile_keys *keys)
{
    f->has_profile = keys->has_settings;
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
    return 0;
}

/* ---- names ---- */

static bool has_name(const struct profile_names *names, const char *name, size_t size)
{
    for (size_t i = 0; i < names->n_items; i++)
        if (strlen(names->items[i]) == size && !memcmp(names->items[i], name, size))
            return true;
    return false;
}

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
    if (has_name(names, name, size))
        return 0;
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

int key_places_profiles(struct profile_names *names)
{
    static const char *const folders[] = {BEARERD_CREDENTIAL_DIRECTORY, BEARERD_KEY_DIRECTORY};
    int r = 0;

    for (size_t i = 0; i < ARRAY_SIZE(folders) && r == 0; i++)
        r = add_folder(names, folders[i]);
    if (r == 0 && names->n_items > 0)
        qsort(names->items, names->n_items, sizeof(*names->items), by_name);
    return r;
}
