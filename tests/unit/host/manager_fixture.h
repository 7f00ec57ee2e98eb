/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A service manager that keeps descriptors, as far as a state store sees one: what is sent to it waits in its
 * queue until manager_take(), as with one that is busy.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "host/passed_fds.h"
#include "host/supervisor.h"

/* Fails the test when more are kept, as FileDescriptorStoreMax= would. */
#define MANAGER_FDS_MAX 8

struct manager {
    int socket;
    struct passed_fd kept[MANAGER_FDS_MAX];
    size_t n_kept;
    size_t max_kept; /* ever, at once */
    sd_event *event;
    struct supervisor *supervisor; /* the service's end */
};

/* $NOTIFY_SOCKET is set until manager_done(). */
void manager_init(struct manager *m);
void manager_done(struct manager *m);

/* Reads all that was sent. */
void manager_take(struct manager *m);

/* So that only `n_free` more fit into its queue, until manager_take(). */
void manager_be_busy(struct manager *m, size_t n_free);

/* What the next process is passed; release it with passed_fds_done(). */
struct passed_fds manager_pass(struct manager *m);

/* What the service under test logs: how many entries, and the words of the last. */
extern struct log test_log;
extern unsigned n_said;
extern char said[512];

/* How many it keeps under that name. */
size_t manager_count(const struct manager *m, const char *name);
