/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Asking a person for a key: at the terminal itself, whatever the standard descriptors are, and without echo.
 * Bytes go from the kernel straight into locked memory. The terminal is as it was before whenever these
 * functions return, and also when a signal stops or ends the program: then the signal takes its course. One
 * that is another's by then, since we went on in the background, is left alone.
 */

#include <stdbool.h>

#include "base/cleanup.h"
#include "base/secret.h"

/* Opens the controlling terminal. Its descriptor, or -errno (-ENXIO: there is none). */
_must_check_ int terminal_open(void);

/*
 * Shows the prompt and reads one line, without the newline; with `is_pem`, lines up to the END line of a
 * private key, or up to the end of input. What is typed ahead is thrown away: it was not an answer to this
 * prompt; so are newlines that come along with the line in one paste (CRLF).
 *
 * 0 with *ret set, and empty for Enter alone; -ENODATA: end of input (Ctrl-D) instead of an answer;
 * -EMSGSIZE: more than the terminal, or a key, can hold; -EBADMSG: more than one line came at once; or
 * another -errno.
 */
_must_check_ int terminal_ask(int fd, const char *prompt, bool is_pem, struct secret *ret);

/* Reads a key from a pipe or a file to its end, without the newline (LF or CRLF) at the end. 0, -EMSGSIZE or
 * another -errno. */
_must_check_ int terminal_read_piped(int fd, struct secret *ret);
