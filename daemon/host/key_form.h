/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What a key must look like, by its kind, before anybody sends it anywhere: the same for the daemon that
 * reads it and for `bearerctl keys` that stores it. Pure. All texts are static, hold nothing of the key, and
 * go on behind its name: "ClientSecretFile=/etc/... must hold one line of ...".
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/secret.h"
#include "core/settings.h"

#define KEY_FORM_WARNINGS_MAX 2

struct key_form {
    const char *error; /* why it cannot be used, or NULL */
    const char *warnings[KEY_FORM_WARNINGS_MAX];
    size_t n_warnings;
};

/* Looks at a key of at least one byte, without the newline at its end. */
struct key_form key_form_check(enum key_kind kind, const struct secret *key);

/* True for kinds that are private keys in PEM; the others are one line of text. */
bool key_form_is_pem(enum key_kind kind);

/* 8-4-4-4-12 hex digits: what a client id looks like, and a subscription key does not. */
bool key_form_is_guid(const struct secret *key);
