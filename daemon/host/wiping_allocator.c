/* SPDX-License-Identifier: MIT */
#include "host/wiping_allocator.h"

#include <curl/curl.h>
#include <errno.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

static void wiping_free(void *p)
{
    if (!p)
        return;
    /* All of what malloc gave, so that no size has to be kept: the slack may hold the end of an earlier
     * string. */
    explicit_bzero(p, malloc_usable_size(p));
    free(p);
}

/* Never realloc(): it may move the block and leave the old one as it was. */
static void *wiping_realloc(void *p, size_t size)
{
    if (!p)
        return malloc(size);
    void *grown = malloc(size);
    if (!grown)
        return NULL;
    size_t old_size = malloc_usable_size(p);
    memcpy(grown, p, old_size < size ? old_size : size);
    wiping_free(p);
    return grown;
}

/* OpenSSL hands over the place of the call, and takes "nothing" for a block of no bytes (CRYPTO_malloc(3)).
 */

static void *openssl_malloc(size_t size, const char *file _unused_, int line _unused_)
{
    return size > 0 ? malloc(size) : NULL;
}

static void *openssl_realloc(void *p, size_t size, const char *file _unused_, int line _unused_)
{
    if (size > 0)
        return wiping_realloc(p, size);
    wiping_free(p);
    return NULL;
}

static void openssl_free(void *p, const char *file _unused_, int line _unused_)
{
    wiping_free(p);
}

int wiping_allocator_install(void)
{
    if (CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free) != 1)
        return -EBUSY;
    if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wiping_free, wiping_realloc, strdup, calloc) !=
        CURLE_OK)
        return -ENOMEM;
    return 0;
}
