/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Reading settings, key and certificate files: opened once, looked at through the descriptor, read whole.
 * What is not a plain file of the expected owner and mode is refused with the command that puts it right;
 * contents are never part of a message.
 */

#include <stddef.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "base/problem.h"
#include "base/secret.h"

/* The longest settings file: ten thousand lines of a hundred characters. */
#define SETTINGS_FILE_MAX ((size_t) 1 << 20)
/* The longest key or certificate file. */
#define KEY_FILE_MAX ((size_t) 65536)

/* A file named by a setting, or a credential. All borrowed. */
struct named_file {
    const char *path;
    const char *what; /* stands in front of the path in messages: "ClientSecretFile=", "credential " */
    const char *file; /* the settings file that names it, for the place of a problem */
    unsigned line;    /* 0: not in a line of its own */
};

/*
 * Appends the whole file to `ret`, which has room for SETTINGS_FILE_MAX bytes. Returns 0, -ENOENT (there is
 * no such file; nothing is recorded), -EINVAL (recorded) or -ENOMEM. Warns of a file that everybody can
 * write.
 */
_must_check_ int file_read_settings(const char *path, struct problems *problems, struct buffer *ret);

/* Who may have rights to a key file. */
struct key_rights {
    uid_t daemon_uid; /* beside root: its owner */
    gid_t socket_gid; /* who may connect, and should not read keys; (gid_t) -1: not known */
};

/*
 * Reads a key: a regular file, owned by root or the daemon's user, with no rights for others, of 1 to
 * KEY_FILE_MAX bytes without NUL. One newline (LF or CRLF) at the end is dropped. The bytes only ever lie in
 * locked memory. Warns of a file that the socket's group can read. Returns 0, -ENOENT (nothing is recorded),
 * -EINVAL (recorded) or -ENOMEM; *ret is untouched on failure.
 */
_must_check_ int file_read_key(const struct named_file *source, const struct key_rights *rights,
                               struct problems *problems, struct secret *ret);

/* The same for what is public, a certificate: owner and mode do not matter. */
_must_check_ int file_read_certificate(const struct named_file *source, struct problems *problems,
                                       struct secret *ret);

/*
 * Looks whether a file of CA certificates is there and looks like PEM; keeps nothing. The results are those
 * of file_read_certificate().
 */
_must_check_ int file_check_authorities(const struct named_file *source, struct problems *problems);
