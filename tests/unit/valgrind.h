/* SPDX-License-Identifier: MIT */
#pragma once

/* What valgrind makes impossible, a test has to skip, and to say so. */

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* It has the loader put its own library before all others. */
static inline bool is_under_valgrind(void)
{
    const char *preload = getenv("LD_PRELOAD");

    return preload && strstr(preload, "valgrind");
}
