/* SPDX-License-Identifier: MIT */
#pragma once

/* A folder of its own for tests that read real files, and the files in it. Every failure fails the test. */

#include <sys/types.h>

#define SANDBOX_PATH_SIZE 256

struct sandbox {
    char directory[64];
    char path[SANDBOX_PATH_SIZE]; /* of the last sandbox_path() */
};

/* Makes the folder, and `sub` folders in it. */
struct sandbox sandbox_make(void);
void sandbox_make_directory(struct sandbox *s, const char *name);

/* Removes it with everything inside. */
void sandbox_done(struct sandbox *s);

/* The path of a name in it; borrowed until the next call. */
const char *sandbox_path(struct sandbox *s, const char *name);

/* Writes a file of this mode, whatever the umask. */
void sandbox_write(struct sandbox *s, const char *name, mode_t mode, const char *text);
void sandbox_write_bytes(struct sandbox *s, const char *name, mode_t mode, const void *data, size_t size);
