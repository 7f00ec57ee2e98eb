/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "client/verbs.h"
#include "host/check.h"

enum exit_status verb_check(const struct options *options)
{
    size_t n_errors = 0;

    int r = check_settings(options->config_file, stderr, &n_errors);
    if (r < 0) {
        output_error("cannot check: %s", strerror(-r));
        return EXIT_REFUSED;
    }
    return n_errors > 0 ? EXIT_REFUSED : EXIT_DONE;
}
