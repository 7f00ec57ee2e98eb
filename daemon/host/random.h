/* SPDX-License-Identifier: MIT */
#pragma once

/* The only place that draws random bytes (getrandom(2)). */

#include <stddef.h>

#include "base/cleanup.h"

/* Fills the buffer. 0 or -errno. */
_must_check_ int random_fill(void *ret, size_t size);
