/* SPDX-License-Identifier: MIT */
#include <time.h>

#include "client/table.h"
#include "client/verbs.h"

/* Twice the longest list that is read: a table is shorter than its JSON, colours and all. */
#define TABLE_MAX ((size_t) 128 * 1024 * 1024)

static enum exit_status print_table(const struct bearer_status_list *list, const struct style *style)
{
    _cleanup_(buffer_done) struct buffer out = BUFFER_INIT(TABLE_MAX);
    size_t n = bearer_status_list_size(list);

    if (n == 0) {
        output_error("there are no profiles that you may use or see");
        return EXIT_DONE;
    }
    _cleanup_free_ struct table_row *rows = calloc(n, sizeof(*rows));
    if (!rows) {
        output_error("out of memory");
        return EXIT_REFUSED;
    }
    for (size_t i = 0; i < n; i++)
        rows[i] = table_row_from_status(bearer_status_list_at(list, i));
    table_append(&out, rows, n, time(NULL), style);
    return output_buffer(&out);
}

static enum exit_status show_all(struct bearer *b, bool is_json, const struct style *style)
{
    _cleanup_(bearer_status_list_free_p) struct bearer_status_list *list = NULL;

    if (bearer_list(b, &list) != BEARER_OK)
        return output_failure(b, NULL);
    return is_json ? output_line(bearer_status_list_json(list)) : print_table(list, style);
}

static enum exit_status show_one(struct bearer *b, const char *profile, bool is_json,
                                 const struct style *style)
{
    _cleanup_(bearer_status_free_p) struct bearer_status *status = NULL;
    _cleanup_(buffer_done) struct buffer out = BUFFER_INIT(TABLE_MAX);

    if (bearer_get_status(b, profile, &status) != BEARER_OK)
        return output_failure(b, profile);
    if (is_json)
        return output_line(bearer_status_json(status));
    detail_append(&out, status, time(NULL), style);
    return output_buffer(&out);
}

enum exit_status verb_status(const struct options *options)
{
    _cleanup_(bearer_free_p) struct bearer *b = NULL;
    const struct style style = output_style();

    enum exit_status status = verb_open(options, &b);
    if (status != EXIT_DONE)
        return status;
    return options->n_args == 0 ? show_all(b, options->is_json, &style)
                                : show_one(b, options->args[0], options->is_json, &style);
}
