/* SPDX-License-Identifier: MIT */
#pragma once

/* What profile_steps.c and profile_reload.c share; for nobody else. */

#include "core/profile.h"

/* One event on its way through the table. */
struct step {
    struct profile *p;
    const struct event *event;
    usec_t now;
    struct actions *actions;
};

/* Begins an attempt. */
void step_begin_attempt(struct step *s);

/* EVENT_SETTINGS. */
void step_take_settings(struct step *s);
