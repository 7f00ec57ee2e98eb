/* SPDX-License-Identifier: MIT */
#pragma once

/* The inside of an answer, for the server alone. */

#include <microhttpd.h>

#include "host/server.h"

struct response {
    struct MHD_Response *mhd; /* counts its own references while it is being sent */
    size_t n_references;
    unsigned status;
};
