/* SPDX-License-Identifier: MIT */
#include "host/user_names.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* A group's entry lists its members; a directory of a whole company fits into this. */
#define ENTRY_SIZE_MIN ((size_t) 4096)
#define ENTRY_SIZE_MAX ((size_t) 16 << 20)

/* One lookup with a buffer of `size`. 0, -ENOENT, -ERANGE (the buffer is too small) or another -errno. */
static int look_up_once(const char *name, bool is_group, size_t size, uint32_t *ret)
{
    _cleanup_free_ char *buffer = malloc(size);
    struct passwd user, *found_user = NULL;
    struct group group, *found_group = NULL;

    if (!buffer)
        return -ENOMEM;
    int r = is_group ? getgrnam_r(name, &group, buffer, size, &found_group)
                     : getpwnam_r(name, &user, buffer, size, &found_user);
    /* "Not found" is 0 without a result; some sources of names say it with one of these (getpwnam(3),
     * ERRORS). */
    if (r == ENOENT || r == ESRCH || (r == 0 && !found_user && !found_group))
        return -ENOENT;
    if (r != 0)
        return -r;
    *ret = is_group ? found_group->gr_gid : found_user->pw_uid;
    return 0;
}

static int look_up(const char *name, bool is_group, uint32_t *ret)
{
    int r = -ERANGE;

    for (size_t size = ENTRY_SIZE_MIN; r == -ERANGE && size <= ENTRY_SIZE_MAX; size *= 4)
        r = look_up_once(name, is_group, size, ret);
    return r;
}

/* A name that cannot be remembered for want of memory is looked up again the next time. */
static void remember(struct user_names *names, const char *name, bool is_group, const uint32_t *id)
{
    char *copy = strdup(name);
    struct user_name *slot = &names->items[names->next];

    if (!copy)
        return;
    free(slot->name);
    *slot = (struct user_name){.name = copy, .id = id ? *id : 0, .is_group = is_group, .exists = id != NULL};
    names->next = (names->next + 1) % USER_NAMES_MAX;
    if (names->n_items < USER_NAMES_MAX)
        names->n_items++;
}

static int resolve(struct user_names *names, const char *name, bool is_group, uint32_t *ret)
{
    uint32_t id;

    for (size_t i = 0; i < names->n_items; i++) {
        const struct user_name *known = &names->items[i];
        if (known->is_group != is_group || strcmp(known->name, name) != 0)
            continue;
        if (!known->exists)
            return -ENOENT;
        *ret = known->id;
        return 0;
    }
    int r = look_up(name, is_group, &id);
    if (r == 0 || r == -ENOENT)
        remember(names, name, is_group, r == 0 ? &id : NULL);
    if (r == 0)
        *ret = id;
    return r;
}

static int resolve_user(void *userdata, const char *name, uint32_t *ret_uid)
{
    return resolve(userdata, name, false, ret_uid);
}

static int resolve_group(void *userdata, const char *name, uint32_t *ret_gid)
{
    return resolve(userdata, name, true, ret_gid);
}

void user_names_done(struct user_names *names)
{
    for (size_t i = 0; i < names->n_items; i++)
        free(names->items[i].name);
    *names = (struct user_names){0};
}

struct name_resolver user_names_resolver(struct user_names *names)
{
    return (struct name_resolver){.user = resolve_user, .group = resolve_group, .userdata = names};
}
