/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What outlives the daemon (core/saved.h) as bytes: records in slots of one region of memory, written so that
 * an end of the process at any instruction leaves the old or the new record of a profile, and nothing else.
 *
 *     region    header | slot 0 | slot 1 | ... | slot n_slots - 1
 *     header    magic, version, size and number of slots, boot id, SHA-256 of these
 *     slot      sequence number (0: free), size, SHA-256 of these and the record, record
 *
 * A record is written into a free slot, and only then is the slot of the one before wiped. Of two whole
 * records of one profile, where the process ended in between, the higher sequence number counts. The size is
 * the first thing that is written and the last that is wiped, the sequence number the other way round: where
 * there is a size and no number, the process ended in the middle, and what is left there is to be wiped. The
 * checksum is against accidents: who could write here could as well have had the tokens.
 *
 * The region is memory that no file backs (host/state_store). Numbers are in this machine's own byte order:
 * no other ever reads them. Another version, another boot or another size of anything: nothing is taken.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "core/saved.h"

#define STATE_VERSION      1
#define STATE_BOOT_ID_SIZE 16
#define STATE_HEADER_SIZE  ((size_t) 4096)
/* Room for a JWT of the usual 1.4 KB with all that goes with it; doubled while a record does not fit. A
 * multiple of what the members of a slot must be aligned to. */
#define STATE_SLOT_SIZE_MIN ((size_t) 4096)
#define STATE_SLOT_SIZE_MAX ((size_t) 65536)
/* Of a slot, before its record. */
#define STATE_SLOT_OVERHEAD ((size_t) 48)

/* SHA-256 over what makes a token this profile's: provider, URLs, client, scope, merchant, and every key. */
_must_check_ int state_identity(const struct profile_settings *s, uint8_t ret[static SAVED_DIGEST_SIZE]);

/* The size of a record without a token: all members but that have a place of their own. */
size_t state_record_size(void);

/* The record of a profile. `out` is a secret buffer. Errors stick in the buffer. */
void state_write_record(struct buffer *out, const struct saved_profile *saved);

/* Reads one. 0, -EBADMSG (not a record of this version), or -ENOMEM. */
_must_check_ int state_read_record(const char *bytes, size_t size, struct saved_profile *ret);

/* ---- the region ---- */

struct state_region {
    char *bytes; /* borrowed */
    size_t size;
    size_t slot_size, n_slots;
    uint64_t sequence; /* the highest so far */
};

/* The bytes that a region needs. */
size_t state_region_size(size_t slot_size, size_t n_slots);

/* Makes an empty one of `bytes`, which are all zero. 0 or -ENOMEM. */
_must_check_ int state_region_format(struct state_region *r,
                                     const uint8_t boot_id[static STATE_BOOT_ID_SIZE]);

/* Opens one that another process left: 0, or -EBADMSG and why (static text). `r` has bytes and size. */
_must_check_ int state_region_open(struct state_region *r, const uint8_t boot_id[static STATE_BOOT_ID_SIZE],
                                   const char **ret_problem);

/* The record in a slot: 0 and borrowed bytes, -ENOENT (free), -EBADMSG (not whole: to be wiped), -ENOMEM. */
_must_check_ int state_region_read(const struct state_region *r, size_t slot, uint64_t *ret_sequence,
                                   const char **ret_bytes, size_t *ret_size);

/* Writes a record into a free slot. 0, -EFBIG (empty, or does not fit), or -ENOMEM: the slot is free still.
 */
_must_check_ int state_region_write(struct state_region *r, size_t slot, const char *bytes, size_t size);

/* Wipes a slot; it is then free. */
void state_region_wipe(struct state_region *r, size_t slot);
