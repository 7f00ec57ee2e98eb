/* SPDX-License-Identifier: MIT */
#include "settings_fixture.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct sandbox sandbox_make(void)
{
    struct sandbox s = {.directory = "/tmp/bearerd-settings-XXXXXX"};
    assert_non_null(mkdtemp(s.directory));
    return s;
}

void sandbox_make_directory(struct sandbox *s, const char *name)
{
    assert_int_equal(mkdir(sandbox_path(s, name), 0755), 0);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void) st;
    (void) type;
    (void) ftw;
    return remove(path);
}

void sandbox_done(struct sandbox *s)
{
    (void) nftw(s->directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

const char *sandbox_path(struct sandbox *s, const char *name)
{
    (void) snprintf(s->path, sizeof(s->path), "%s/%s", s->directory, name);
    return s->path;
}

void sandbox_write_bytes(struct sandbox *s, const char *name, mode_t mode, const void *data, size_t size)
{
    int fd = open(sandbox_path(s, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), size);
    assert_int_equal(fchmod(fd, mode), 0);
    (void) close(fd);
}

void sandbox_write(struct sandbox *s, const char *name, mode_t mode, const char *text)
{
    sandbox_write_bytes(s, name, mode, text, strlen(text));
}
