/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Scope-bound ownership and the few macros every file wants.
 *
 * A variable that owns something is declared together with its empty value and its cleanup, so every return
 * path releases it and no function needs a goto:
 *
 *     _cleanup_(buffer_done) struct buffer body = BUFFER_INIT(BODY_MAX);
 */

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f)         __attribute__((cleanup(f)))
#define _printf_(fmt, first) __attribute__((format(printf, fmt, first)))
#define _must_check_         __attribute__((warn_unused_result))
#define _unused_             __attribute__((unused))

#define ARRAY_SIZE(a)        (sizeof(a) / sizeof(*(a)))

/* Hand ownership on: evaluates to the pointer and leaves NULL behind. */
#define TAKE_PTR(p)                                                                                          \
    ({                                                                                                       \
        __typeof__(p) *taken_from_ = &(p);                                                                   \
        __typeof__(p) taken_ = *taken_from_;                                                                 \
        *taken_from_ = NULL;                                                                                 \
        taken_;                                                                                              \
    })

/* The same for a file descriptor: leaves -1 behind. */
#define TAKE_FD(fd)                                                                                          \
    ({                                                                                                       \
        int *taken_from_ = &(fd);                                                                            \
        int taken_ = *taken_from_;                                                                           \
        *taken_from_ = -1;                                                                                   \
        taken_;                                                                                              \
    })

/* The object that embeds `member`. */
#define container_of(ptr, type, member) ((type *) ((char *) (ptr) -offsetof(type, member)))

/* Defines name##_p, a cleanup handler for a pointer variable whose destructor takes NULL. */
#define DEFINE_CLEANUP(type, name, destroy)                                                                  \
    static inline _unused_ void name##_p(type *p)                                                            \
    {                                                                                                        \
        if (*p)                                                                                              \
            destroy(*p);                                                                                     \
    }

static inline _unused_ void free_p(void *p)
{
    free(*(void **) p);
}

static inline _unused_ void close_fd_p(int *fd)
{
    if (*fd >= 0)
        (void) close(*fd);
}

#define _cleanup_free_ _cleanup_(free_p)
#define _cleanup_fd_   _cleanup_(close_fd_p)
