/* SPDX-License-Identifier: MIT */
#include "client/key-store.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bearerd-paths.h"
#include "client/creds.h"

/* Of an encrypted key, in one step. */
#define COPY_MAX ((size_t) 1 << 20)

/* A folder of keys. While it is open, no other bearerctl stores anything there. */
struct folder {
    const char *path;
    int fd;
    const struct key_owner *owner; /* of new files there */
};

static void folder_done(struct folder *f)
{
    close_fd_p(&f->fd);
}

static int fail(struct buffer *complaint, const char *what, const char *path)
{
    int r = -errno;

    buffer_appendf(complaint, "cannot %s %s: %s", what, path, strerror(-r));
    return r;
}

/* ---- encrypting ---- */

static int encrypt(struct key_item *item, struct buffer *complaint)
{
    _cleanup_free_ char *credential = NULL;

    if (asprintf(&credential, KEY_CREDENTIAL_PREFIX "%s.%s", item->name.profile, item->name.kind) < 0) {
        credential = NULL;
        return -ENOMEM;
    }
    int r = creds_encrypt(credential, item->key, &item->encrypted, complaint);
    return r < 0 ? r : creds_verify(credential, item->encrypted, complaint);
}

static void forget_encrypted(struct key_batch *batch)
{
    for (size_t i = 0; i < batch->n_items; i++) {
        close_fd_p(&batch->items[i].encrypted);
        batch->items[i].encrypted = -1;
    }
}

int key_batch_encrypt(struct key_batch *batch, struct buffer *complaint)
{
    for (size_t i = 0; i < batch->n_items; i++) {
        int r = encrypt(&batch->items[i], complaint);
        if (r == 0)
            continue;
        if (r == -ENOENT)
            buffer_append_string(complaint, "there is no systemd-creds here");
        else if (complaint->size == 0)
            buffer_appendf(complaint, "systemd-creds: %s", strerror(-r));
        forget_encrypted(batch);
        if (r != -ENOENT && r != -EBADMSG)
            return r;
        return i == 0 ? -EBADMSG : -EIO; /* where one can be encrypted, the next one can */
    }
    return 0;
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

/* Others must not be able to put anything into the folder, or to take it away. */
static int check_folder(const char *path, const struct stat *st, const struct key_owner *owner,
                        struct buffer *complaint)
{
    if (st->st_uid != 0 && st->st_uid != geteuid() && st->st_uid != owner->uid) {
        buffer_appendf(complaint, "%s is owned by uid %u, who could change what is in it; run: chown root %s",
                       path, (unsigned) st->st_uid, path);
        return -EPERM;
    }
    if (st->st_mode & (S_IWGRP | S_IWOTH)) {
        buffer_appendf(complaint, "%s can be written by others; run: chmod 0700 %s", path, path);
        return -EPERM;
    }
    return 0;
}

/* Makes the folder, where it is missing, opens it, and waits until it is ours alone. */
static int folder_open(struct folder *f, struct buffer *complaint)
{
    struct stat st;

    int r = make_parent(f->path, complaint);
    if (r < 0)
        return r;
    bool is_new = mkdir(f->path, 0700) == 0;
    if (!is_new && errno != EEXIST)
        return fail(complaint, "make", f->path);
    f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (f->fd < 0 || fstat(f->fd, &st) < 0)
        return fail(complaint, "open", f->path);
    if (is_new && fchmod(f->fd, 0700) < 0) /* whatever the umask */
        return fail(complaint, "set the mode of", f->path);
    if (is_new && fchown(f->fd, f->owner->uid, f->owner->gid) < 0)
        return fail(complaint, "give away", f->path);
    r = check_folder(f->path, &st, f->owner, complaint);
    /* Where it cannot be locked (some network file systems), two at a time get in each other's way; then one
     * of them fails, and says so. */
    while (r == 0 && flock(f->fd, LOCK_EX) < 0 && errno == EINTR)
        continue;
    return r;
}

/* ---- files ---- */

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

static int copy_all(int fd, int from)
{
    off_t at = 0;
    ssize_t n;

    do {
        n = sendfile(fd, from, &at, COPY_MAX);
    } while (n > 0 || (n < 0 && errno == EINTR));
    return n < 0 ? -errno : 0;
}

/* That a folder is in the way is better known before the first key has replaced an old one. */
static int check_place(const struct folder *f, const struct key_item *item, struct buffer *complaint)
{
    _cleanup_free_ char *name = NULL;
    struct stat st;

    if (asprintf(&name, "%s.%s", item->name.profile, item->name.kind) < 0) {
        name = NULL;
        return -ENOMEM;
    }
    if (fstatat(f->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
        return 0;
    buffer_appendf(complaint, "%s/%s is a folder", f->path, name);
    return -EISDIR;
}

/* Writes a key beside the one that it will replace. The dot keeps it out of every reader's sight. */
static int write_draft(const struct folder *f, struct key_item *item, struct buffer *complaint)
{
    _cleanup_free_ char *name = NULL;

    if (asprintf(&name, ".%s.%s.new", item->name.profile, item->name.kind) < 0) {
        name = NULL;
        return -ENOMEM;
    }
    /* Left by one that was killed: nobody else is at it now. */
    (void) unlinkat(f->fd, name, 0);
    _cleanup_fd_ int fd = openat(f->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(complaint, "make a file in", f->path);
    item->draft = TAKE_PTR(name);
    if (fchmod(fd, 0600) < 0)
        return fail(complaint, "set the mode of a file in", f->path);
    if (fchown(fd, f->owner->uid, f->owner->gid) < 0)
        return fail(complaint, "give away a file in", f->path);
    int r = item->encrypted >= 0 ? copy_all(fd, item->encrypted) : write_all(fd, item->key);
    if (r < 0) {
        errno = -r;
        return fail(complaint, "write a file in", f->path);
    }
    return fsync(fd) < 0 ? fail(complaint, "write a file in", f->path) : 0;
}

/* Puts it in the place of the old one. */
static int place_draft(const struct folder *f, struct key_item *item, struct buffer *complaint)
{
    _cleanup_free_ char *final = NULL;

    if (asprintf(&final, "%s.%s", item->name.profile, item->name.kind) < 0) {
        final = NULL;
        return -ENOMEM;
    }
    if (renameat(f->fd, item->draft, f->fd, final) < 0) {
        int r = -errno;
        buffer_appendf(complaint, "cannot replace %s/%s: %s", f->path, final, strerror(-r));
        return r;
    }
    free(TAKE_PTR(item->draft));
    return 0;
}

static int write_and_place(const struct folder *f, struct key_batch *batch, struct buffer *complaint)
{
    int r = 0;

    for (size_t i = 0; i < batch->n_items && r == 0; i++)
        r = check_place(f, &batch->items[i], complaint);
    for (size_t i = 0; i < batch->n_items && r == 0; i++)
        r = write_draft(f, &batch->items[i], complaint);
    for (size_t i = 0; i < batch->n_items && r == 0; i++)
        r = place_draft(f, &batch->items[i], complaint);
    for (size_t i = 0; i < batch->n_items; i++)
        if (batch->items[i].draft)
            (void) unlinkat(f->fd, batch->items[i].draft, 0);
    if (r < 0)
        return r;
    return fsync(f->fd) < 0 ? fail(complaint, "store a file in", f->path) : 0;
}

int key_store_check(struct buffer *complaint)
{
    const struct key_owner self = {geteuid(), getegid()};
    struct stat st;

    if (stat(BEARERD_CREDENTIAL_DIRECTORY, &st) < 0)
        return 0;
    return check_folder(BEARERD_CREDENTIAL_DIRECTORY, &st, &self, complaint);
}

/* ---- the batch ---- */

void key_batch_done(struct key_batch *batch)
{
    forget_encrypted(batch);
    for (size_t i = 0; i < batch->n_items; i++)
        free(batch->items[i].draft);
    *batch = (struct key_batch){0};
}

void key_batch_add(struct key_batch *batch, const struct key_name *name, const struct secret *key)
{
    batch->items[batch->n_items++] = (struct key_item){.name = *name, .key = key, .encrypted = -1};
}

int key_batch_store(struct key_batch *batch, const struct key_owner *owner, struct buffer *complaint)
{
    const struct key_owner self = {geteuid(), getegid()};
    const bool is_encrypted = batch->n_items > 0 && batch->items[0].encrypted >= 0;
    _cleanup_(folder_done) struct folder folder = {
        .path = is_encrypted ? BEARERD_CREDENTIAL_DIRECTORY : BEARERD_KEY_DIRECTORY,
        .fd = -1,
        .owner = is_encrypted ? &self : owner,
    };
    sigset_t all, before;

    int r = folder_open(&folder, complaint);
    if (r < 0)
        return r;
    (void) sigfillset(&all);
    (void) sigprocmask(SIG_SETMASK, &all, &before);
    r = write_and_place(&folder, batch, complaint);
    (void) sigprocmask(SIG_SETMASK, &before, NULL);
    return r;
}
