/* SPDX-License-Identifier: MIT */
#include "client/keys-list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/creds.h"
#include "client/key-places.h"
#include "client/key-store.h"

/* Of the whole table. */
#define TABLE_MAX ((size_t) 64 * 1024 * 1024)
/* Of what systemd-creds says. */
#define COMPLAINT_MAX ((size_t) 4 * 4096)

static enum key_decryption try_decryption(const struct key_place *place)
{
    _cleanup_(buffer_done) struct buffer complaint = BUFFER_INIT(COMPLAINT_MAX);
    _cleanup_fd_ int fd = open(place->encrypted, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    _cleanup_free_ char *name = NULL;

    if (asprintf(&name, KEY_CREDENTIAL_PREFIX "%s.%s", place->facts.profile, place->facts.kind) < 0) {
        name = NULL;
        return KEY_UNTRIED;
    }
    int r = fd < 0 ? -errno : creds_verify(name, fd, &complaint);
    if (r == 0)
        return KEY_DECRYPTED;
    if (r != -EBADMSG)
        return KEY_UNTRIED;
    output_note("%s: %s", place->encrypted, buffer_peek(&complaint));
    return KEY_DAMAGED;
}

/* Adds the rows of one profile. 0 or -ENOMEM. */
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
        if (place.facts.encrypted_at != KEY_ABSENT)
            place.facts.decryption = try_decryption(&place);
        key_rows_add(rows, &place.facts);
    }
    return r;
}

static int add_all(struct key_rows *rows, const char *directory)
{
    _cleanup_(profile_names_done) struct profile_names names = {0};

    int r = key_catalog_profiles(directory, &names);
    if (r < 0)
        output_error("%s cannot be read: %s", directory, strerror(-r));
    if (r == 0)
        r = key_places_profiles(&names);
    for (size_t i = 0; r == 0 && i < names.n_items; i++)
        r = add_profile(rows, directory, names.items[i]);
    return r;
}

enum exit_status keys_list(const char *directory, const char *profile)
{
    _cleanup_(key_rows_done) struct key_rows rows = {0};
    _cleanup_(buffer_done) struct buffer out = BUFFER_INIT(TABLE_MAX);
    const struct style style = output_style();

    int r = profile ? add_profile(&rows, directory, profile) : add_all(&rows, directory);
    if (r == 0 && rows.is_incomplete)
        r = -ENOMEM;
    if (r < 0) {
        if (r == -ENOMEM)
            output_error("%s", strerror(-r));
        return EXIT_REFUSED;
    }
    if (rows.n_items == 0) {
        output_note("no keys here");
        return EXIT_DONE;
    }
    key_rows_append(&out, &rows, time(NULL), &style);
    return output_buffer(&out);
}
