/* SPDX-License-Identifier: MIT */
#include "host/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/locked.h"

#define CHUNK_SIZE 4096

/* CA bundles may begin with comments; the first certificate is looked for in this much of them. */
#define AUTHORITIES_LOOKED_AT ((size_t) 65536)

/* Records what is wrong with the file; -EINVAL. */
#define refuse(source, problems, format, ...)                                                                \
    (problem_error((problems), (source)->file, (source)->line, "%s%s " format, (source)->what,               \
                   (source)->path, ##__VA_ARGS__),                                                           \
     -EINVAL)

/*
 * Opens a regular file without ever waiting for it (a FIFO) or becoming its terminal. Returns 0, -ENOENT (not
 * recorded), -EINVAL (recorded) or -ENOMEM.
 */
static int open_regular(const struct named_file *source, struct problems *problems, int *ret_fd,
                        struct stat *ret_stat)
{
    _cleanup_fd_ int fd = open(source->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0 && errno == ENOENT)
        return -ENOENT;
    if (fd < 0 && errno == EACCES)
        return refuse(source, problems, "cannot be opened: Permission denied for uid %u",
                      (unsigned) geteuid());
    if (fd < 0)
        return refuse(source, problems, "cannot be opened: %s", strerror(errno));
    if (fstat(fd, ret_stat) < 0)
        return refuse(source, problems, "cannot be looked at: %s", strerror(errno));
    if (!S_ISREG(ret_stat->st_mode))
        return refuse(source, problems, "is not a regular file");
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/* Up to `size` bytes, fewer only at the end of the file. The number read, or -errno. */
static ssize_t read_up_to(int fd, char *buf, size_t size)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n = read(fd, buf + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        done += (size_t) n;
    }
    return (ssize_t) done;
}

/* ---- settings ---- */

static int append_all(int fd, struct buffer *ret)
{
    char chunk[CHUNK_SIZE];
    ssize_t n;

    do {
        n = read_up_to(fd, chunk, sizeof(chunk));
        if (n > 0)
            buffer_append(ret, chunk, (size_t) n);
    } while (n > 0 && !buffer_error(ret));
    /* A secret may have been written into a settings file; the reader of the text will refuse it. */
    explicit_bzero(chunk, sizeof(chunk));
    return n < 0 ? (int) n : buffer_error(ret);
}

int file_read_settings(const char *path, struct problems *problems, struct buffer *ret)
{
    const struct named_file source = {.path = path, .what = ""};
    _cleanup_fd_ int fd = -1;
    struct stat st;

    int r = open_regular(&source, problems, &fd, &st);
    if (r < 0)
        return r;
    if (st.st_mode & S_IWOTH)
        problem_warning(problems, path, 0,
                        "everybody can write this file, and so say where keys are sent; run: chmod o-w %s",
                        path);
    r = append_all(fd, ret);
    if (r == -EMSGSIZE)
        return refuse(&source, problems, "is longer than 1 MiB");
    if (r < 0 && r != -ENOMEM)
        return refuse(&source, problems, "cannot be read: %s", strerror(-r));
    return r;
}

/* ---- keys ---- */

/* A block of locked memory with its size, so that it can clean up after itself. */
struct locked_block {
    char *data;
    size_t size;
};

static void locked_block_done(struct locked_block *block)
{
    locked_free(block->data, block->size);
}

/* Of a check by root, who could open it; the daemon itself would have failed to. (A list of rights shows as
 * those of the group.) */
static bool is_for_root_alone(const struct key_rights *rights, const struct stat *st)
{
    return rights->daemon_uid != geteuid() && st->st_uid != rights->daemon_uid &&
           !(st->st_mode & (S_IRGRP | S_IROTH));
}

/* Owner and mode: every fault is recorded, so that one round of repairs is enough. */
static int check_rights(const struct named_file *source, const struct key_rights *rights,
                        struct problems *problems, const struct stat *st)
{
    int result = 0;

    if (st->st_uid != 0 && st->st_uid != rights->daemon_uid)
        result = refuse(
            source, problems,
            "is owned by uid %u, who could change it; it must be root or uid %u, as whom the daemon runs; "
            "run: chown %u %s",
            (unsigned) st->st_uid, (unsigned) rights->daemon_uid, (unsigned) rights->daemon_uid,
            source->path);
    else if (is_for_root_alone(rights, st))
        result = refuse(source, problems,
                        "can be read by root alone, and the daemon runs as uid %u; run: chown %u %s",
                        (unsigned) rights->daemon_uid, (unsigned) rights->daemon_uid, source->path);
    if (st->st_mode & (S_IROTH | S_IWOTH))
        result = refuse(source, problems, "is open to every user (mode %04o); run: chmod o= %s",
                        (unsigned) (st->st_mode & 07777), source->path);
    /* The group of the socket is the applications': with the keys they need no daemon that keeps them. */
    if ((st->st_mode & S_IRGRP) && rights->socket_gid != (gid_t) -1 && st->st_gid == rights->socket_gid)
        problem_warning(
            problems, source->file, source->line,
            "%s%s can be read by the group of the socket, so by every application that may connect; "
            "run: chmod g= %s",
            source->what, source->path, source->path);
    return result;
}

/* Reads what fstat() said is there, and makes sure that it was all. */
static int read_whole(const struct named_file *source, struct problems *problems, int fd,
                      const struct locked_block *block)
{
    ssize_t n = read_up_to(fd, block->data, block->size);

    if (n < 0)
        return refuse(source, problems, "cannot be read: %s", strerror((int) -n));
    if ((size_t) n != block->size - 1)
        return refuse(source, problems, "changed while it was read: try again");
    return 0;
}

/* Checks the bytes, drops the one newline, and stores them. */
static int store(const struct named_file *source, struct problems *problems, const struct locked_block *block,
                 struct secret *ret)
{
    size_t size = block->size - 1;

    if (size > 0 && block->data[size - 1] == '\n')
        size--;
    if (size > 0 && size < block->size - 1 && block->data[size - 1] == '\r')
        size--;
    if (size == 0)
        return refuse(source, problems, "is empty");
    if (memchr(block->data, '\0', size))
        return refuse(source, problems, "holds a NUL byte: it is not a text file (UTF-16, perhaps)");
    return secret_set(ret, block->data, size);
}

static int read_secret(const struct named_file *source, const struct key_rights *rights,
                       struct problems *problems, struct secret *ret)
{
    _cleanup_(locked_block_done) struct locked_block block = {0};
    _cleanup_fd_ int fd = -1;
    struct stat st;

    int r = open_regular(source, problems, &fd, &st);
    if (r == 0 && rights)
        r = check_rights(source, rights, problems, &st);
    if (r < 0)
        return r;
    if ((uint64_t) st.st_size > KEY_FILE_MAX)
        return refuse(source, problems, "is longer than 64 KiB");
    /* One byte more than there is, to see the end of the file. */
    block.size = (size_t) st.st_size + 1;
    block.data = locked_alloc(block.size);
    if (!block.data)
        return -ENOMEM;
    r = read_whole(source, problems, fd, &block);
    return r < 0 ? r : store(source, problems, &block, ret);
}

int file_read_key(const struct named_file *source, const struct key_rights *rights, struct problems *problems,
                  struct secret *ret)
{
    return read_secret(source, rights, problems, ret);
}

/* ---- certificates ---- */

static const char certificate_mark[] = "-----BEGIN CERTIFICATE-----";

int file_read_certificate(const struct named_file *source, struct problems *problems, struct secret *ret)
{
    _cleanup_(secret_done) struct secret text = SECRET_INIT;

    int r = read_secret(source, NULL, problems, &text);
    if (r < 0)
        return r;
    if (!strstr(secret_peek(&text), certificate_mark))
        return refuse(source, problems, "holds no certificate in PEM form (%s)", certificate_mark);
    secret_move(ret, &text);
    return 0;
}

int file_check_authorities(const struct named_file *source, struct problems *problems)
{
    _cleanup_(buffer_done) struct buffer text = BUFFER_INIT(AUTHORITIES_LOOKED_AT);
    _cleanup_fd_ int fd = -1;
    struct stat st;

    int r = open_regular(source, problems, &fd, &st);
    if (r < 0)
        return r;
    r = append_all(fd, &text);
    if (r < 0 && r != -EMSGSIZE && r != -ENOMEM)
        return refuse(source, problems, "cannot be read: %s", strerror(-r));
    if (r == -ENOMEM)
        return r;
    if (text.size == 0)
        return refuse(source, problems, "is empty");
    if (!memmem(text.data, text.size, certificate_mark, strlen(certificate_mark)))
        return refuse(source, problems, "holds no certificate in PEM form (%s)", certificate_mark);
    return 0;
}
