/* SPDX-License-Identifier: MIT */
/* When the hashed directory is taken for the system's CA certificates, and when the bundle. */

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "host/system_ca.h"

static char directory[] = "/tmp/test-system-ca-XXXXXX";
static const char *const names[] = {"bundle.crt", "5ed36f99.0", "5ed36f99.1", "0123abcd.r0", "readme.txt"};

static const char *path_of(const char *name)
{
    static char path[128];

    (void) snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

static void put(const char *name, const char *text)
{
    FILE *f = fopen(path_of(name), "we");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int make_directory(void **state _unused_)
{
    assert_non_null(mkdtemp(directory));
    return 0;
}

static int remove_directory(void **state _unused_)
{
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        (void) unlink(path_of(names[i]));
    return rmdir(directory);
}

#define CERTIFICATE "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
#define TRUSTED     "-----BEGIN TRUSTED CERTIFICATE-----\nMIIB\n-----END TRUSTED CERTIFICATE-----\n"

static void test_the_directory_is_taken_when_it_is_complete(void **state _unused_)
{
    assert_false(system_ca_is_hashed(NULL, NULL));
    assert_false(system_ca_is_hashed(NULL, directory)); /* empty: not hashed */
    assert_false(system_ca_is_hashed(NULL, "/nonexistent"));

    put("readme.txt", CERTIFICATE);
    put("0123abcd.r0", ""); /* a revocation list */
    assert_false(system_ca_is_hashed(NULL, directory));

    put("5ed36f99.0", CERTIFICATE);
    put("5ed36f99.1", CERTIFICATE);
    assert_true(system_ca_is_hashed(NULL, directory));
    assert_true(system_ca_is_hashed("/nonexistent", directory));

    char bundle[128];
    (void) snprintf(bundle, sizeof(bundle), "%s", path_of("bundle.crt"));
    put("bundle.crt", CERTIFICATE TRUSTED);
    assert_true(system_ca_is_hashed(bundle, directory));
    assert_false(system_ca_is_hashed(bundle, NULL));
    put("bundle.crt", CERTIFICATE "# our own\n" TRUSTED CERTIFICATE);
    assert_false(system_ca_is_hashed(bundle, directory));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_directory_is_taken_when_it_is_complete),
    };

    return cmocka_run_group_tests_name("host/system_ca", tests, make_directory, remove_directory);
}
