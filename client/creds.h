/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * systemd-creds(1), which encrypts with the key of this machine (and its TPM, where there is one). It is a
 * program of its own: a key goes to it through a pipe, never as an argument or a file.
 *
 * Each function returns 0, -ENOENT (there is no such program in $PATH), -EBADMSG (it failed: `complaint` has
 * its last line, for people) or another -errno: it could not be run, or was killed, which says nothing about
 * whether it could encrypt.
 */

#include "base/buffer.h"
#include "base/secret.h"

/* Encrypts `key` under this name. *ret_fd: a file in memory that holds the outcome; the caller closes it. */
_must_check_ int creds_encrypt(const char *name, const struct secret *key, int *ret_fd,
                               struct buffer *complaint);

/* Whether what is in the open file `fd`, from its beginning, can be decrypted here, and was encrypted under
 * this name. Nobody gets to see it. */
_must_check_ int creds_verify(const char *name, int fd, struct buffer *complaint);
