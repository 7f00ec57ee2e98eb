/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What config/ is given: the bytes of one settings file, its name for messages, and somebody to ask for the
 * ids behind user and group names. config/ itself opens nothing and looks nothing up, so every test and
 * fuzzer is pure.
 */

#include <stddef.h>
#include <stdint.h>

/* Each function returns 0, -ENOENT (there is no such name), or another -errno when the lookup failed. */
struct name_resolver {
    int (*user)(void *userdata, const char *name, uint32_t *ret_uid);
    int (*group)(void *userdata, const char *name, uint32_t *ret_gid);
    void *userdata;
};

/* All borrowed. */
struct settings_text {
    const char *file; /* the name of the file, for messages */
    const char *text; /* need not end in a NUL; may hold any byte */
    size_t size;
    const struct name_resolver *resolver;
};
