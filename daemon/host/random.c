/* SPDX-License-Identifier: MIT */
#include "host/random.h"

#include <errno.h>
#include <sys/random.h>

int random_fill(void *ret, size_t size)
{
    char *p = ret;

    while (size > 0) {
        ssize_t n = getrandom(p, size, 0);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            p += n;
            size -= (size_t) n;
        }
    }
    return 0;
}
