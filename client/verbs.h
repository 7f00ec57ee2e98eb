/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What bearerctl does: one function for each verb. Each says on standard error what went wrong and returns
 * the exit status of the program.
 */

#include "client/options.h"
#include "client/output.h"

enum exit_status verb_token(const struct options *options);
enum exit_status verb_headers(const struct options *options);
enum exit_status verb_status(const struct options *options);
enum exit_status verb_wait(const struct options *options);
enum exit_status verb_rejected(const struct options *options);
enum exit_status verb_refresh(const struct options *options);
enum exit_status verb_reload(const struct options *options);
enum exit_status verb_explain(const struct options *options);
enum exit_status verb_check(const struct options *options);
enum exit_status verb_keys(const struct options *options);

DEFINE_CLEANUP(struct bearer *, bearer_free, bearer_free)
DEFINE_CLEANUP(struct bearer_token *, bearer_token_free, bearer_token_free)
DEFINE_CLEANUP(struct bearer_headers *, bearer_headers_free, bearer_headers_free)
DEFINE_CLEANUP(struct bearer_status *, bearer_status_free, bearer_status_free)
DEFINE_CLEANUP(struct bearer_reload_report *, bearer_reload_report_free, bearer_reload_report_free)
DEFINE_CLEANUP(struct bearer_explanation *, bearer_explanation_free, bearer_explanation_free)
DEFINE_CLEANUP(struct bearer_status_list *, bearer_status_list_free, bearer_status_list_free)

/* The handle that the command line asks for. EXIT_DONE, or another status and the reason is said. */
enum exit_status verb_open(const struct options *options, struct bearer **ret);
