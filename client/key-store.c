/* SPDX-License-Identifier: MIT */
#include "client/key-store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bearerd-paths.h"
#include "client/creds.h"

/* A file while it is written: invisible to readers of the folder, and gone unless it was given its name. */
struct draft {
    const char *path; /* of the folder; borrowed, as is the next */
    int folder;
    int fd;
    char *name; /* its own, until it has the right one */
};

static int fail(struct buffer *complaint, const char *what, const char *path)
{
    int r = -errno;

    buffer_appendf(complaint, "cannot %s %s: %s", what, path, strerror(-r));
    return r;
}

/* ---- folders ---- */

/* Makes the folder that holds a path, where it is missing: everybody may read its settings. */
static int make_parent(const char *path, struct buffer *complaint)
{
    _cleanup_free_ char *parent = strdup(path);
    char *slash = parent ? strrchr(parent, '/') : NULL;

    if (!slash)
        return -ENOMEM;
    *slash = '\0';
    if (mkdir(parent, 0755) == 0)
        return chmod(parent, 0755) < 0 ? fail(complaint, "set the mode of", parent)
                                       : 0; /* whatever the umask */
    return errno == EEXIST ? 0 : fail(complaint, "make", parent);
}

/* Makes the folder, where it is missing, and opens it. Others must not be able to put anything there. */
static int open_folder(const char *path, const struct key_owner *owner, struct buffer *complaint, int *ret)
{
    struct stat st;

    int r = make_parent(path, complaint);
    if (r < 0)
        return r;
    bool is_new = mkdir(path, 0700) == 0;
    if (!is_new && errno != EEXIST)
        return fail(complaint, "make", path);
    _cleanup_fd_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return fail(complaint, "open", path);
    if (is_new && fchown(fd, owner->uid, owner->gid) < 0)
        return fail(complaint, "give away", path);
    if (st.st_mode & (S_IWGRP | S_IWOTH)) {
        buffer_appendf(complaint, "%s can be written by others; run: chmod 0700 %s", path, path);
        return -EPERM;
    }
    *ret = TAKE_FD(fd);
    return 0;
}

/* ---- files ---- */

static void draft_done(struct draft *d)
{
    if (d->fd >= 0)
        (void) close(d->fd);
    if (d->name)
        (void) unlinkat(d->folder, d->name, 0);
    free(d->name);
}

/* A new, empty file of mode 0600. The dot keeps it out of every reader's sight. */
static int draft_begin(struct draft *d, const struct key_name *name, struct buffer *complaint)
{
    _cleanup_free_ char *own = NULL;

    if (asprintf(&own, ".%s.%s.%ld", name->profile, name->kind, (long) getpid()) < 0) {
        own = NULL;
        return -ENOMEM;
    }
    d->fd = openat(d->folder, own, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (d->fd < 0)
        return fail(complaint, "make a file in", d->path);
    d->name = TAKE_PTR(own);
    return fchmod(d->fd, 0600) < 0 ? fail(complaint, "set the mode of a file in", d->path) : 0;
}

/* Puts it in the place of the old one, on the disk, too. */
static int draft_finish(struct draft *d, const struct key_name *name, struct buffer *complaint)
{
    _cleanup_free_ char *final = NULL;

    if (asprintf(&final, "%s.%s", name->profile, name->kind) < 0) {
        final = NULL;
        return -ENOMEM;
    }
    if (fsync(d->fd) < 0 || renameat(d->folder, d->name, d->folder, final) < 0)
        return fail(complaint, "store a file in", d->path);
    free(TAKE_PTR(d->name));
    return fsync(d->folder) < 0 ? fail(complaint, "store a file in", d->path) : 0;
}

static int write_all(int fd, const struct secret *key)
{
    size_t done = 0;

    while (done < key->size) {
        ssize_t n = write(fd, secret_peek(key) + done, key->size - done);
        if (n < 0 && errno != EINTR)
            return -errno;
        done += n > 0 ? (size_t) n : 0;
    }
    return 0;
}

int key_store_encrypted(const struct key_name *name, const struct secret *key, struct buffer *complaint)
{
    const struct key_owner self = {geteuid(), getegid()};
    _cleanup_free_ char *credential = NULL;
    _cleanup_fd_ int folder = -1;

    if (asprintf(&credential, KEY_CREDENTIAL_PREFIX "%s.%s", name->profile, name->kind) < 0) {
        credential = NULL;
        return -ENOMEM;
    }
    int r = open_folder(BEARERD_CREDENTIAL_DIRECTORY, &self, complaint, &folder);
    if (r < 0)
        return r;
    _cleanup_(draft_done) struct draft draft = {BEARERD_CREDENTIAL_DIRECTORY, folder, -1, NULL};
    r = draft_begin(&draft, name, complaint);
    if (r < 0)
        return r;
    r = creds_encrypt(credential, key, draft.fd, complaint);
    if (r == 0)
        r = creds_verify(credential, draft.fd, complaint);
    if (r == 0)
        return draft_finish(&draft, name, complaint);
    if (r == -ENOENT)
        buffer_append_string(complaint, "there is no systemd-creds here");
    else if (r != -EBADMSG)
        buffer_appendf(complaint, "systemd-creds: %s", strerror(-r));
    return -EBADMSG;
}

int key_store_plain(const struct key_name *name, const struct secret *key, const struct key_owner *owner,
                    struct buffer *complaint)
{
    _cleanup_fd_ int folder = -1;

    int r = open_folder(BEARERD_KEY_DIRECTORY, owner, complaint, &folder);
    if (r < 0)
        return r;
    _cleanup_(draft_done) struct draft draft = {BEARERD_KEY_DIRECTORY, folder, -1, NULL};
    r = draft_begin(&draft, name, complaint);
    if (r < 0)
        return r;
    if (fchown(draft.fd, owner->uid, owner->gid) < 0)
        return fail(complaint, "give away a file in", draft.path);
    r = write_all(draft.fd, key);
    if (r < 0) {
        buffer_appendf(complaint, "cannot write a file in %s: %s", draft.path, strerror(-r));
        return r;
    }
    return draft_finish(&draft, name, complaint);
}
