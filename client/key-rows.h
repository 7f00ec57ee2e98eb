/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Where one key of a profile lies, and whether it is in force: what `bearerctl keys --list` shows. Pure:
 * facts in, text out; no fact is the key itself.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "client/text.h"

/* Nothing is there. */
#define KEY_ABSENT ((int64_t) -1)

enum key_decryption {
    KEY_UNTRIED, /* there is nothing to try it with */
    KEY_DECRYPTED,
    KEY_DAMAGED,
};

/* Moments are seconds since 1970, or KEY_ABSENT. All borrowed; the kind is a static text. */
struct key_facts {
    const char *profile;
    const char *kind;    /* "client-secret" */
    const char *setting; /* "ClientSecret" */
    bool has_profile;    /* there are settings of that name */
    bool has_provider;   /* and they say for which provider */
    bool is_wanted;      /* the provider has use for this kind */
    bool is_required;    /* and cannot do without */
    const char *file;    /* KEYFile= of the settings, or NULL */
    const char *plain;   /* the file that is looked for where keys are stored unencrypted */
    int64_t file_at;
    int64_t plain_at;
    int64_t encrypted_at;
    bool is_read; /* the running service was given it since it was stored */
    enum key_decryption decryption;
    int64_t passed_at; /* the running service was given it by name */
    int64_t loaded_at; /* the running service was given it out of the encrypted ones */
};

/* One line of the list, which owns its texts but the kind. */
struct key_row {
    char *profile;
    const char *kind;
    char *where;
    int64_t at;
    char *state;
};

struct key_rows {
    struct key_row *items;
    size_t n_items;
    bool is_incomplete; /* memory ran out */
};

void key_rows_done(struct key_rows *rows);

/* Adds a line for each place where the key lies, one of which is in force at most, or says that it is
 * missing. */
void key_rows_add(struct key_rows *rows, const struct key_facts *facts);

/* Appends the table with a line of headings. */
void key_rows_append(struct buffer *out, const struct key_rows *rows, int64_t now, const struct style *style);
