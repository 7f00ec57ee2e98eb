/* SPDX-License-Identifier: MIT */
#include "host/system_ca.h"

#include <ctype.h>
#include <dirent.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

DEFINE_CLEANUP(FILE *, fclose, (void) fclose)
DEFINE_CLEANUP(DIR *, closedir, (void) closedir)

#define HASH_DIGITS 8

/* "5ed36f99.0": eight hex digits of the subject's hash and a running number (openssl-rehash(1)). */
static bool is_hashed_name(const char *name)
{
    for (size_t i = 0; i < HASH_DIGITS; i++) {
        if (!isxdigit((unsigned char) name[i]))
            return false;
    }
    return name[HASH_DIGITS] == '.' && isdigit((unsigned char) name[HASH_DIGITS + 1]);
}

static size_t count_hashed(const char *directory)
{
    _cleanup_(closedir_p) DIR *d = opendir(directory);
    size_t n = 0;

    if (!d)
        return 0;
    for (const struct dirent *entry = readdir(d); entry; entry = readdir(d))
        n += is_hashed_name(entry->d_name);
    return n;
}

/* Certificates are public: stdio may read them. A line longer than the buffer is base64 and begins none. */
static size_t count_bundled(const char *bundle)
{
    _cleanup_(fclose_p) FILE *f = fopen(bundle, "re");
    char line[128];
    size_t n = 0;

    if (!f)
        return 0;
    while (fgets(line, sizeof(line), f)) {
        if (strncmp(line, "-----BEGIN ", 11) == 0 && strstr(line, "CERTIFICATE-----"))
            n++;
    }
    return n;
}

bool system_ca_is_hashed(const char *bundle, const char *directory)
{
    size_t n_hashed = directory ? count_hashed(directory) : 0;

    return n_hashed > 0 && n_hashed >= (bundle ? count_bundled(bundle) : 0);
}
