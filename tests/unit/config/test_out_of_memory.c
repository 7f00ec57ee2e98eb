/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config_fixture.h"
#include "host/settings_load.h"
#include "settings_fixture.h"

/*
 * Every allocation of a load fails once, in turn: the load says so or is complete, and nothing is lost or
 * freed twice (the sanitizers look). The linker puts these functions before the real ones (--wrap).
 */

static unsigned n_allocations, failing_allocation;

static bool must_fail(void)
{
    return ++n_allocations == failing_allocation;
}

#define WRAP(type, name, parameters, arguments)                                                              \
    type __real_##name parameters;                                                                           \
    type __wrap_##name parameters;                                                                           \
    type __wrap_##name parameters                                                                            \
    {                                                                                                        \
        return must_fail() ? NULL : __real_##name arguments;                                                 \
    }

WRAP(void *, malloc, (size_t size), (size))
WRAP(void *, calloc, (size_t n, size_t size), (n, size))
WRAP(void *, reallocarray, (void *p, size_t n, size_t size), (p, n, size))
WRAP(char *, strdup, (const char *text), (text))
WRAP(char *, strndup, (const char *text, size_t size), (text, size))
WRAP(void *, locked_alloc, (size_t size), (size))

int __real_vasprintf(char **ret, const char *format, va_list args);
_printf_(2, 0) int __wrap_vasprintf(char **ret, const char *format, va_list args);
_printf_(2, 0) int __wrap_vasprintf(char **ret, const char *format, va_list args)
{
    return must_fail() ? -1 : __real_vasprintf(ret, format, args);
}

_printf_(2, 3) int __wrap_asprintf(char **ret, const char *format, ...);
_printf_(2, 3) int __wrap_asprintf(char **ret, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int n = __wrap_vasprintf(ret, format, args);
    va_end(args);
    return n;
}

static void write_files(struct sandbox *box)
{
    char text[1024];

    sandbox_make_directory(box, "p");
    sandbox_write(box, "secret", 0600, "hunter2\n");
    sandbox_write(box, "world", 0604, "hunter3\n");
    (void) snprintf(text, sizeof(text), "[Daemon]\nProfileDirectory=%s/p\nMaxConnections=0\n",
                    box->directory);
    sandbox_write(box, "bearerd.conf", 0644, text);
    (void) snprintf(
        text, sizeof(text),
        "[Profile]\nProvider=vipps-oauth\nEnvironment=test\nDescription=good\n[Keys]\nClientID=a\n"
        "ClientSecretFile=%s/secret\n[Headers]\nX-A=1\n[Access]\nAllow=user:root user:0\n",
        box->directory);
    sandbox_write(box, "p/good.conf", 0644, text);
    (void) snprintf(text, sizeof(text),
                    "[Profile]\nProvider=oauth2\nDescription=bad\nResource=urn:a\nResource=urn:b\n[Keys]\n"
                    "ClientSecretFile=%s/world\nCleintID=a\n[Access]\nAllow=user:0\n",
                    box->directory);
    sandbox_write(box, "p/bad.conf", 0644, text);
    sandbox_write(box, "p/README", 0644, "");
}

static void test_every_allocation_may_fail(void **state)
{
    (void) state;
    struct sandbox box = sandbox_make();
    char config[SANDBOX_PATH_SIZE];
    bool was_reached = true;
    unsigned n_refused = 0;

    write_files(&box);
    (void) snprintf(config, sizeof(config), "%s", sandbox_path(&box, "bearerd.conf"));
    const struct settings_source source = {
        .config_path = config, .socket_path = "s", .daemon_uid = geteuid()};
    for (unsigned n = 1; was_reached; n++) {
        struct settings settings = {0};
        n_allocations = 0;
        failing_allocation = n;
        int r = settings_load(&source, &settings);
        failing_allocation = 0;
        was_reached = n_allocations >= n;
        if (r == 0) {
            assert_false(settings.problems.is_incomplete);
            assert_int_equal(settings.n_profiles, 1);
            assert_int_equal(settings.n_failed, 1);
            assert_int_equal(settings.problems.n_errors, 5);
        } else {
            assert_int_equal(r, -ENOMEM);
            n_refused++;
        }
        settings_done(&settings);
    }
    assert_true(n_refused > 50);
    sandbox_done(&box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_allocation_may_fail)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
