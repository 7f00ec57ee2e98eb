/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Proves at start that private keys and client certificates can do what they are there for, so that a wrong
 * one is found by `--check` and not by the first request at night. What keys look like, host/keys has checked
 * before.
 */

#include "base/problem.h"
#include "config/profile_settings.h"
#include "core/settings.h"

/*
 * Signs once with the signing key; matches the client certificate with its key. A certificate that has ended
 * at `wall_now`, or ends within 30 days, is a warning. 0, -EINVAL (recorded) or -ENOMEM.
 */
_must_check_ int key_proof_run(const struct profile_settings *s, const struct profile_notes *notes,
                               usec_t wall_now, struct problems *problems);
