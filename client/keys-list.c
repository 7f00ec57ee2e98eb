/* SPDX-License-Identifier: MIT */
#include "client/keys-list.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/key-places.h"
#include "client/key-store.h"

/* Of the whole table. */
#define TABLE_MAX ((size_t) 64 * 1024 * 1024)
/* Of what systemd-creds says. */
#define COMPLAINT_MAX ((size_t) 4 * 4096)

/* Tries what is stored encrypted, and says what is wrong with it. */
static void try_decryption(struct key_place *place)
{
    _cleanup_(buffer_done) struct buffer complaint = BUFFER_INIT(COMPLAINT_MAX);

    key_place_try(place, &complaint);
    if (place->facts.decryption == KEY_DAMAGED)
        output_note("%s: %s", place->encrypted, buffer_peek(&complaint));
}

/* What the table cannot show: each key may be fine, and yet be somebody else's. */
static void warn_of_others(void)
{
    _cleanup_(buffer_done) struct buffer complaint = BUFFER_INIT(COMPLAINT_MAX);

    if (key_store_check(&complaint) < 0)
        output_note("%s", buffer_peek(&complaint));
}

/* Adds the rows of one profile. 1; 0: there is none of that name, and no key of it; or -ENOMEM. */
static int add_profile(struct key_rows *rows, const char *directory, const char *profile)
{
    _cleanup_(problems_done) struct problems problems = {0}; /* `check` tells them */
    _cleanup_(profile_keys_done) struct profile_keys keys = {0};

    int r = key_catalog_read(directory, profile, &problems, &keys);
    for (unsigned kind = 0; r == 0 && kind < CATALOG_N_KINDS; kind++) {
        _cleanup_(key_place_done) struct key_place place = {0};
        r = key_place_look(&place, profile, kind, &keys);
        if (r < 0)
            return r;
        try_decryption(&place);
        key_rows_add(rows, &place.facts);
    }
    if (r < 0)
        return r;
    if (!keys.has_settings && rows->n_items == 0)
        output_error("there is no profile %s: neither settings %s nor any key of it", profile,
                     keys.settings_file);
    return keys.has_settings || rows->n_items > 0;
}

static int add_all(struct key_rows *rows, const char *directory)
{
    _cleanup_(profile_names_done) struct profile_names names = {0};

    int r = key_catalog_profiles(directory, &names);
    if (r < 0)
        output_error("%s cannot be read: %s", directory, strerror(-r));
    if (r == 0)
        r = key_places_profiles(&names);
    for (size_t i = 0; r >= 0 && i < names.n_items; i++)
        r = add_profile(rows, directory, names.items[i]);
    return r < 0 ? r : 1;
}

enum exit_status keys_list(const char *directory, const char *profile)
{
    _cleanup_(key_rows_done) struct key_rows rows = {0};
    _cleanup_(buffer_done) struct buffer out = BUFFER_INIT(TABLE_MAX);
    const struct style style = output_style();

    int r = profile ? add_profile(&rows, directory, profile) : add_all(&rows, directory);
    if (rows.is_incomplete)
        r = -ENOMEM;
    if (r == -ENOMEM)
        output_error("%s", strerror(-r));
    if (r <= 0)
        return EXIT_REFUSED;
    if (rows.n_items == 0) {
        output_note("no keys here");
        return EXIT_DONE;
    }
    warn_of_others();
    key_rows_append(&out, &rows, time(NULL), &style);
    return output_buffer(&out);
}
