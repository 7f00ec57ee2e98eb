/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How a transfer ended: libcurl's result, and what was seen until then, as an http_outcome with words for a
 * human. The words are printable, and hold neither a secret nor anything of a body.
 */

#include "host/upstream_transfer.h"

/* Completes `answer` with the result of the exchange. */
void transfer_finish(struct transfer *t, CURLcode result);

/* Completes `answer` as HTTP_NOT_SENT, for a reason outside libcurl. */
void transfer_fail(struct transfer *t, const char *detail);
