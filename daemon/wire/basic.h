/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The credentials of HTTP Basic (RFC 7617): base64 of "client id:client secret". RFC 6749 section 2.3.1 wants
 * both halves form-encoded before; many issuers, Vipps among them (access-token API guide, 2023), take them
 * plain only.
 */

#include <stdbool.h>

#include "base/buffer.h"
#include "base/secret.h"

/* Appends the base64 text alone, without "Basic ". Errors stick in the buffer, which is a secret one. */
void basic_append(struct buffer *to, const char *client_id, const struct secret *client_secret,
                  bool is_form_encoded);
