/* SPDX-License-Identifier: MIT */
#include "client/identity.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/parse.h"

/* What Linux lets a process have (limits.h: NGROUPS_MAX), and the longest status with as many. */
#define GROUPS_MAX ((size_t) 65536)
#define STATUS_MAX ((size_t) 1024 * 1024)

DEFINE_CLEANUP(FILE *, file_close, fclose)

void identity_done(struct identity *identity)
{
    free(identity->user);
    free(identity->groups);
    *identity = IDENTITY_INIT;
}

static int set_name(struct identity *identity, const char *name)
{
    identity->user = strdup(name);
    return identity->user ? 0 : -ENOMEM;
}

/* ---- users ---- */

/* The groups that a login of this user would have, as the service manager gives them to its services. */
static int set_user_groups(struct identity *identity, const struct passwd *entry)
{
    int n = 32, capacity = 0;

    do {
        capacity = n;
        uint32_t *groups = reallocarray(identity->groups, (size_t) capacity, sizeof(*groups));
        if (!groups)
            return -ENOMEM;
        identity->groups = groups;
    } while (getgrouplist(entry->pw_name, entry->pw_gid, identity->groups, &n) < 0 && n > capacity &&
             (size_t) n <= GROUPS_MAX);
    if (n > capacity)
        return -E2BIG;
    identity->caller.groups = identity->groups;
    identity->caller.n_groups = (size_t) n;
    return 0;
}

int identity_of_user(const char *user, struct identity *ret)
{
    _cleanup_(identity_done) struct identity identity = IDENTITY_INIT;
    uint64_t uid = 0;

    /* UINT32_MAX stands for "no uid" everywhere. */
    bool is_number = parse_u64_max(user, UINT32_MAX - 1, &uid) == 0;
    const struct passwd *entry = is_number ? getpwuid((uid_t) uid) : getpwnam(user);
    if (!entry && !is_number)
        return -ENOENT;
    identity.caller.uid = entry ? entry->pw_uid : (int64_t) uid;
    if (entry) {
        identity.caller.gid = entry->pw_gid;
        int r = set_name(&identity, entry->pw_name);
        if (r == 0)
            r = set_user_groups(&identity, entry);
        if (r < 0)
            return r;
    }
    *ret = identity;
    identity = IDENTITY_INIT;
    return 0;
}

/* ---- processes ---- */

/* What is behind "Name:" at the begin of a line, or NULL. */
static const char *find_line(const char *text, const char *name)
{
    size_t size = strlen(name);

    for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (!strncmp(line, name, size) && line[size] == ':')
            return line + size + 1;
    return NULL;
}

/* The next number of the line; false when there is none. */
static bool next_number(const char **at, uint32_t *ret)
{
    char *end = NULL;

    *at += strspn(*at, " \t");
    if (**at < '0' || **at > '9')
        return false;
    errno = 0;
    unsigned long number = strtoul(*at, &end, 10);
    if (errno != 0 || number > UINT32_MAX)
        return false;
    *at = end;
    *ret = (uint32_t) number;
    return true;
}

/* "Uid: real effective saved filesystem" */
static int read_effective(const char *text, const char *name, int64_t *ret)
{
    const char *at = find_line(text, name);
    uint32_t real = 0, effective = 0;

    if (!at || !next_number(&at, &real) || !next_number(&at, &effective))
        return -EBADMSG;
    *ret = effective;
    return 0;
}

static int read_groups(const char *text, struct identity *identity)
{
    const char *at = find_line(text, "Groups"), *counted = at;
    uint32_t group = 0;
    size_t n = 0;

    if (!at)
        return -EBADMSG;
    while (next_number(&counted, &group))
        n++;
    identity->groups = calloc(n > 0 ? n : 1, sizeof(*identity->groups));
    if (!identity->groups)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        (void) next_number(&at, &identity->groups[i]); /* it was there a moment ago */
    identity->caller.groups = identity->groups;
    identity->caller.n_groups = n;
    return 0;
}

int identity_read_process(const char *text, struct identity *ret)
{
    _cleanup_(identity_done) struct identity identity = IDENTITY_INIT;

    int r = read_effective(text, "Uid", &identity.caller.uid);
    if (r == 0)
        r = read_effective(text, "Gid", &identity.caller.gid);
    if (r == 0)
        r = read_groups(text, &identity);
    if (r < 0)
        return r;
    *ret = identity;
    identity = IDENTITY_INIT;
    return 0;
}

static int read_status(uint64_t pid, struct buffer *ret)
{
    char path[64], chunk[4096];
    size_t n = 0;

    (void) snprintf(path, sizeof(path), "/proc/%" PRIu64 "/status", pid);
    _cleanup_(file_close_p) FILE *file = fopen(path, "re");
    if (!file)
        return errno == ENOENT ? -ESRCH : -errno;
    errno = 0;
    while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0)
        buffer_append(ret, chunk, n);
    if (ferror(file)) /* ESRCH: it ended while we read */
        return errno > 0 ? -errno : -EIO;
    return buffer_error(ret);
}

int identity_of_process(uint64_t pid, struct identity *ret)
{
    _cleanup_(identity_done) struct identity identity = IDENTITY_INIT;
    _cleanup_(buffer_done) struct buffer text = BUFFER_INIT(STATUS_MAX);

    int r = read_status(pid, &text);
    if (r == 0)
        r = identity_read_process(buffer_peek(&text), &identity);
    if (r < 0)
        return r;
    const struct passwd *entry = getpwuid((uid_t) identity.caller.uid);
    if (entry)
        r = set_name(&identity, entry->pw_name);
    if (r < 0)
        return r;
    identity.caller.pid = (int64_t) pid;
    *ret = identity;
    identity = IDENTITY_INIT;
    return 0;
}
