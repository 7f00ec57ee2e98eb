/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How to read the system's CA certificates. Distributions install them twice: as one bundle, which a TLS
 * library reads whole (150 certificates are 0.6 to 0.9 MiB of heap for as long as a connection lives), and
 * often as a directory with a file for each, found by the hash of the subject when it is needed (OpenSSL's
 * `openssl rehash`; a few KiB). The directory is the better source when it is complete.
 */

#include <stdbool.h>

/*
 * True when `directory` holds at least as many hashed certificates as `bundle` holds certificates, so that
 * nothing is trusted less for reading it alone: somebody who appends a CA to the bundle only, as is done in
 * containers, is heard. A bundle that cannot be read counts as empty. NULL for either means that there is
 * none. Blocks; for start-up.
 */
bool system_ca_is_hashed(const char *bundle, const char *directory);
