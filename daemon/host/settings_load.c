/* SPDX-License-Identifier: MIT */
#include "host/settings_load.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/parse.h"
#include "config/daemon_settings.h"
#include "config/profile_settings.h"
#include "core/access.h"
#include "host/files.h"
#include "host/key_proof.h"
#include "host/keys.h"
#include "host/user_names.h"

#define PROFILE_SUFFIX ".conf"

struct loader {
    const struct settings_source *source;
    struct settings *settings;
    struct user_names names;
    struct name_resolver resolver;
    struct buffer text; /* of the file being read; kept from one to the next */
};

/* ---- the main file ---- */

/* 0, -EINVAL (recorded) or -ENOMEM. The text is then in the loader, empty without the default file. */
static int read_main_file(struct loader *l, const char *path)
{
    struct problems *problems = &l->settings->problems;
    int r = file_read_settings(path, problems, &l->text);

    if (r != -ENOENT)
        return r;
    if (!l->source->config_path)
        return 0;
    problem_error(problems, path, 0, "does not exist");
    return -EINVAL;
}

/* --socket goes before Socket=. It may be relative, as paths on a command line are. */
static int override_socket(struct loader *l)
{
    const char *path = l->source->socket_path;

    if (!path)
        return 0;
    if (*path == '\0' || strlen(path) > SOCKET_PATH_MAX) {
        problem_error(&l->settings->problems, NULL, 0, "--socket must be a path of 1 to %zu bytes",
                      SOCKET_PATH_MAX);
        return 0;
    }
    char *copy = strdup(path);
    if (!copy)
        return -ENOMEM;
    free(l->settings->daemon.socket_path);
    l->settings->daemon.socket_path = copy;
    return 0;
}

static int load_daemon(struct loader *l)
{
    struct settings *s = l->settings;
    const char *path = l->source->config_path ? l->source->config_path : daemon_settings_default_file();

    int r = read_main_file(l, path);
    if (r < 0 && r != -EINVAL)
        return r;
    /* Without the file there is no telling where the profiles are: the default place would be a guess. */
    if (r == 0) {
        const struct settings_text text = {path, buffer_peek(&l->text), l->text.size, &l->resolver};
        r = daemon_settings_parse(&text, &s->problems, &s->daemon);
        if (r < 0 && r != -EINVAL)
            return r;
    }
    r = override_socket(l);
    s->is_daemon_usable = s->problems.n_errors == 0;
    return r;
}

/* ---- the profile directory ---- */

struct name_list {
    char **items;
    size_t n_items;
};

static void name_list_done(struct name_list *list)
{
    for (size_t i = 0; i < list->n_items; i++)
        free(list->items[i]);
    free(list->items);
}

static int name_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}

static bool has_profile_suffix(const char *entry)
{
    size_t size = strlen(entry), suffix = strlen(PROFILE_SUFFIX);

    return size >= suffix && strcmp(entry + size - suffix, PROFILE_SUFFIX) == 0;
}

/* A file name as it can stand in a message: control characters would forge lines. */
static void make_printable(char *text)
{
    for (; *text; text++) {
        if ((unsigned char) *text < 0x20 || *text == 0x7f)
            *text = '?';
    }
}

/* Takes the name of a profile out of a directory entry, or says why it is none. 0 or -ENOMEM. */
static int collect_entry(struct loader *l, const char *entry, struct name_list *list, size_t *capacity)
{
    const char *directory = l->settings->daemon.profile_directory;
    _cleanup_free_ char *name = strdup(entry);

    if (!name)
        return -ENOMEM;
    make_printable(name);
    if (!has_profile_suffix(entry)) {
        problem_warning(&l->settings->problems, directory, 0, "%s is not read: profiles are named NAME.conf",
                        name);
        return 0;
    }
    name[strlen(name) - strlen(PROFILE_SUFFIX)] = '\0';
    if (!profile_name_is_valid(name)) {
        problem_error(
            &l->settings->problems, directory, 0,
            "%s.conf: a profile's name is of a-z, 0-9, ., _ and -, begins with a letter or digit, and has at "
            "most 63 characters",
            name);
        return 0;
    }
    if (list->n_items == *capacity) {
        size_t more = *capacity ? *capacity * 2 : 16;
        char **items = reallocarray(list->items, more, sizeof(*items));
        if (!items)
            return -ENOMEM;
        list->items = items;
        *capacity = more;
    }
    list->items[list->n_items++] = TAKE_PTR(name);
    return 0;
}

static void close_directory(DIR **dir)
{
    if (*dir)
        (void) closedir(*dir);
}

/* The names of all profiles, sorted. Returns 0 (what cannot be read is recorded) or -ENOMEM. */
static int list_profiles(struct loader *l, struct name_list *list)
{
    const char *directory = l->settings->daemon.profile_directory;
    _cleanup_(close_directory) DIR *dir = opendir(directory);
    size_t capacity = 0;

    if (!dir) {
        problem_error(&l->settings->problems, directory, 0, "the profile directory cannot be read: %s",
                      strerror(errno));
        return 0;
    }
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry)
            break;
        int r = entry->d_name[0] == '.' ? 0 : collect_entry(l, entry->d_name, list, &capacity);
        if (r < 0)
            return r;
    }
    if (errno != 0)
        problem_error(&l->settings->problems, directory, 0, "the profile directory cannot be read: %s",
                      strerror(errno));
    if (list->n_items > 0)
        qsort(list->items, list->n_items, sizeof(*list->items), name_compare);
    return 0;
}

/* ---- one profile ---- */

/* The group that may connect, or (gid_t) -1 when there is none of that name. */
static gid_t socket_gid(const struct loader *l)
{
    const char *group = l->settings->daemon.socket_group;
    uint64_t number;
    uint32_t gid;

    if (group && parse_u64_max(group, UINT32_MAX - 1, &number) == 0)
        return (gid_t) number;
    return group && l->resolver.group(l->resolver.userdata, group, &gid) == 0 ? (gid_t) gid : (gid_t) -1;
}

/* Reads the file and the keys. 0, -EINVAL (recorded) or -ENOMEM. */
static int read_profile(struct loader *l, const char *name, const char *path,
                        struct profile_settings *profile, struct profile_notes *notes)
{
    struct problems *problems = &l->settings->problems;

    buffer_reset(&l->text);
    int r = file_read_settings(path, problems, &l->text);
    if (r == -ENOENT) {
        problem_error(problems, path, 0, "does not exist (a dangling link, or it was removed just now)");
        return -EINVAL;
    }
    if (r < 0)
        return r;
    const struct settings_text text = {path, buffer_peek(&l->text), l->text.size, &l->resolver};
    int settings = profile_settings_parse(&text, name, problems, profile, notes);
    if (settings < 0 && settings != -EINVAL)
        return settings;
    const struct key_source source = {
        .credentials_directory = l->source->credentials_directory,
        .rights = {.daemon_uid = l->source->daemon_uid, .socket_gid = socket_gid(l)},
        .encrypted_directory = l->source->encrypted_directory,
    };
    int keys = keys_load(&source, notes, problems, profile);
    if (keys == 0 && settings == 0)
        keys = key_proof_run(profile, notes, l->source->wall_now, problems);
    return settings < 0 ? settings : keys;
}

/* The first error among the problems from `first` on, as one text. NULL when out of memory. */
static char *first_error(const struct problems *problems, size_t first)
{
    for (size_t i = first; i < problems->n_items; i++) {
        const struct problem *p = &problems->items[i];
        char *text;
        if (p->severity != PROBLEM_ERROR)
            continue;
        return asprintf(&text, "%s%s%s", p->place, *p->place ? ": " : "", p->message) < 0 ? NULL : text;
    }
    return NULL;
}

/* Moves what can be shown of a broken profile; the rest, keys among it, is left for its owner to wipe. */
static int add_failed(struct settings *s, const char *name, size_t first_problem,
                      struct profile_settings *profile, const struct profile_notes *notes)
{
    struct failed_profile failed = {.is_provider_known = notes->is_provider_known,
                                    .provider = profile->provider};

    failed.reason = first_error(&s->problems, first_problem);
    failed.name = strdup(name);
    if (!failed.reason || !failed.name) {
        free(failed.reason);
        free(failed.name);
        return -ENOMEM;
    }
    failed.description = TAKE_PTR(profile->description);
    if (notes->is_access_known) {
        failed.allow = profile->allow;
        profile->allow = (struct access_list){0};
    }
    s->failed[s->n_failed++] = failed;
    return 0;
}

static int load_profile(struct loader *l, const char *name)
{
    struct settings *s = l->settings;
    struct profile_notes notes = {0};
    size_t first_problem = s->problems.n_items;
    _cleanup_free_ char *path = NULL;

    struct profile_settings *profile = calloc(1, sizeof(*profile));
    if (!profile)
        return -ENOMEM;
    if (asprintf(&path, "%s/%s" PROFILE_SUFFIX, s->daemon.profile_directory, name) < 0) {
        path = NULL;
        profile_settings_free(profile);
        return -ENOMEM;
    }
    int r = read_profile(l, name, path, profile, &notes);
    if (r == 0) {
        s->profiles[s->n_profiles++] = profile;
        return 0;
    }
    if (r == -EINVAL)
        r = add_failed(s, name, first_problem, profile, &notes);
    profile_settings_free(profile);
    return r;
}

static int load_profiles(struct loader *l)
{
    struct settings *s = l->settings;
    _cleanup_(name_list_done) struct name_list names = {0};
    size_t n_errors_before = s->problems.n_errors;

    int r = list_profiles(l, &names);
    if (r < 0)
        return r;
    if (names.n_items == 0 && s->problems.n_errors == n_errors_before)
        problem_error(&s->problems, s->daemon.profile_directory, 0, "there is no profile here (NAME.conf)");
    s->profiles = calloc(names.n_items + 1, sizeof(struct profile_settings *));
    s->failed = calloc(names.n_items + 1, sizeof(*s->failed));
    if (!s->profiles || !s->failed)
        return -ENOMEM;
    for (size_t i = 0; i < names.n_items; i++) {
        r = load_profile(l, names.items[i]);
        if (r < 0)
            return r;
    }
    return 0;
}

static void loader_done(struct loader *l)
{
    user_names_done(&l->names);
    buffer_done(&l->text);
}

int settings_load(const struct settings_source *source, struct settings *ret)
{
    _cleanup_(settings_done) struct settings settings = {0};
    _cleanup_(loader_done) struct loader loader = {
        .source = source, .settings = &settings, .text = BUFFER_INIT(SETTINGS_FILE_MAX)};

    loader.resolver = user_names_resolver(&loader.names);
    int r = load_daemon(&loader);
    if (r == 0 && settings.daemon.profile_directory)
        r = load_profiles(&loader);
    if (r < 0)
        return r;
    /* A problem that could not be recorded may be the one that mattered. */
    if (settings.problems.is_incomplete)
        return -ENOMEM;
    *ret = settings;
    settings = (struct settings){0};
    return 0;
}

bool settings_have_unit_rules(const struct settings *s)
{
    bool has_any = access_list_has(&s->daemon.admin, ACCESS_UNIT);

    for (size_t i = 0; i < s->n_profiles && !has_any; i++)
        has_any = access_list_has(&s->profiles[i]->allow, ACCESS_UNIT);
    for (size_t i = 0; i < s->n_failed && !has_any; i++)
        has_any = access_list_has(&s->failed[i].allow, ACCESS_UNIT);
    return has_any;
}

void settings_done(struct settings *s)
{
    if (!s)
        return;
    daemon_settings_done(&s->daemon);
    for (size_t i = 0; i < s->n_profiles; i++)
        profile_settings_free(s->profiles[i]);
    free(s->profiles);
    for (size_t i = 0; i < s->n_failed; i++) {
        free(s->failed[i].name);
        free(s->failed[i].description);
        free(s->failed[i].reason);
        access_list_done(&s->failed[i].allow);
    }
    free(s->failed);
    problems_done(&s->problems);
    *s = (struct settings){0};
}
