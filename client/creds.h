/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * systemd-creds(1), which encrypts with the key of this machine (and its TPM, where there is one). It is a
 * program of its own: a key goes to it through a pipe, never as an argument or a file.
 *
 * Each function returns 0, -ENOENT (there is no such program in $PATH), -EBADMSG (it failed: `complaint` has
 * its last line, for people) or another -errno.
 */

#include "base/buffer.h"
#include "base/secret.h"

/* Encrypts `key` under this name into the open file `fd`. */
_must_check_ int creds_encrypt(const char *name, const struct secret *key, int fd, struct buffer *complaint);

/* Whether what is in the open file `fd`, from its beginning, can be decrypted here, and was encrypted under
 * this name. Nobody gets to see it. */
_must_check_ int creds_verify(const char *name, int fd, struct buffer *complaint);
