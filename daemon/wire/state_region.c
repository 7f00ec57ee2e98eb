/* SPDX-License-Identifier: MIT */
#include "wire/state.h"

#include <errno.h>
#include <openssl/sha.h>
#include <stdatomic.h>
#include <string.h>

/* More than any life writes; what is beyond is no number of ours, and cannot make the next one wrap. */
#define SEQUENCE_MAX (UINT64_MAX / 2)

static const char magic[16] = "bearerd state\n";

struct header {
    char magic[sizeof(magic)];
    uint64_t version, slot_size, n_slots, record_size;
    uint8_t boot_id[STATE_BOOT_ID_SIZE];
    uint8_t checksum[SHA256_DIGEST_LENGTH]; /* of all before it */
};

struct slot {
    uint64_t sequence;
    uint64_t size;
    uint8_t checksum[SHA256_DIGEST_LENGTH]; /* of both, and of the record */
    char record[];
};

_Static_assert(sizeof(struct slot) == STATE_SLOT_OVERHEAD, "what a slot needs for itself");
_Static_assert(sizeof(struct header) <= STATE_HEADER_SIZE, "room for the header");

size_t state_region_size(size_t slot_size, size_t n_slots)
{
    return STATE_HEADER_SIZE + slot_size * n_slots;
}

/* False where memory is out, as for all of OpenSSL's digests. */
static bool header_checksum(const struct header *h, uint8_t ret[static SHA256_DIGEST_LENGTH])
{
    return SHA256((const unsigned char *) h, offsetof(struct header, checksum), ret) != NULL;
}

int state_region_format(struct state_region *r, const uint8_t boot_id[static STATE_BOOT_ID_SIZE])
{
    struct header h = {.version = STATE_VERSION,
                       .slot_size = r->slot_size,
                       .n_slots = r->n_slots,
                       .record_size = state_record_size()};

    memcpy(h.magic, magic, sizeof(magic));
    memcpy(h.boot_id, boot_id, sizeof(h.boot_id));
    if (!header_checksum(&h, h.checksum))
        return -ENOMEM;
    memcpy(r->bytes, &h, sizeof(h));
    r->sequence = 0;
    return 0;
}

static const char *find_problem(const struct header *h, size_t size, const uint8_t *boot_id)
{
    uint8_t checksum[SHA256_DIGEST_LENGTH];

    if (!header_checksum(h, checksum))
        return "memory is out";
    if (memcmp(h->magic, magic, sizeof(magic)) != 0)
        return "it is not a state of bearerd";
    if (h->version != STATE_VERSION || h->record_size != state_record_size())
        return "another version of bearerd wrote it";
    if (memcmp(h->checksum, checksum, sizeof(checksum)) != 0)
        return "its checksum is wrong";
    if (memcmp(h->boot_id, boot_id, STATE_BOOT_ID_SIZE) != 0)
        return "it is of another boot";
    if (h->slot_size < STATE_SLOT_SIZE_MIN || h->slot_size > STATE_SLOT_SIZE_MAX ||
        h->slot_size % STATE_SLOT_SIZE_MIN != 0)
        return "its slots are of no size of ours";
    if (h->n_slots > (size - STATE_HEADER_SIZE) / h->slot_size)
        return "it is cut off";
    return NULL;
}

int state_region_open(struct state_region *r, const uint8_t boot_id[static STATE_BOOT_ID_SIZE],
                      const char **ret_problem)
{
    const char *problem = "it is cut off", *bytes;
    struct header h;
    uint64_t sequence;
    size_t size;

    if (r->size >= STATE_HEADER_SIZE) {
        /* A copy: what was looked at is what is used. */
        memcpy(&h, r->bytes, sizeof(h));
        problem = find_problem(&h, r->size, boot_id);
    }
    if (problem) {
        *ret_problem = problem;
        return -EBADMSG;
    }
    r->slot_size = h.slot_size;
    r->n_slots = h.n_slots;
    r->sequence = 0;
    for (size_t i = 0; i < r->n_slots; i++) {
        if (state_region_read(r, i, &sequence, &bytes, &size) == 0 && sequence > r->sequence)
            r->sequence = sequence;
    }
    return 0;
}

static struct slot *slot_at(const struct state_region *r, size_t i)
{
    return (struct slot *) (void *) (r->bytes + STATE_HEADER_SIZE + i * r->slot_size);
}

/* False where memory is out. */
static bool slot_checksum(const struct slot *s, uint64_t sequence, uint64_t size,
                          uint8_t ret[static SHA256_DIGEST_LENGTH])
{
    uint8_t parts[2 * sizeof(uint64_t) + SHA256_DIGEST_LENGTH];

    memcpy(parts, &sequence, sizeof(sequence));
    memcpy(parts + sizeof(sequence), &size, sizeof(size));
    return SHA256((const unsigned char *) s->record, size, parts + 2 * sizeof(uint64_t)) &&
           SHA256(parts, sizeof(parts), ret);
}

int state_region_read(const struct state_region *r, size_t slot, uint64_t *ret_sequence,
                      const char **ret_bytes, size_t *ret_size)
{
    const struct slot *s = slot_at(r, slot);
    uint64_t sequence = s->sequence, size = s->size;
    uint8_t checksum[SHA256_DIGEST_LENGTH];

    if (sequence == 0)
        return size == 0 ? -ENOENT : -EBADMSG;
    if (sequence > SEQUENCE_MAX || size > r->slot_size - sizeof(struct slot))
        return -EBADMSG;
    if (!slot_checksum(s, sequence, size, checksum))
        return -ENOMEM;
    if (memcmp(checksum, s->checksum, sizeof(checksum)) != 0)
        return -EBADMSG;
    *ret_sequence = sequence;
    *ret_bytes = s->record;
    *ret_size = size;
    return 0;
}

/*
 * What comes before this in the text comes before it in memory, as seen by whoever reads after the end of
 * this process: the compiler must not move it. The order among processors does not matter for that.
 */
static void keep_order(void)
{
    atomic_signal_fence(memory_order_seq_cst);
}

/* In one piece, at this very place. */
static void store(uint64_t *at, uint64_t value)
{
    keep_order();
    *(volatile uint64_t *) at = value;
    keep_order();
}

int state_region_write(struct state_region *r, size_t slot, const char *bytes, size_t size)
{
    struct slot *s = slot_at(r, slot);

    if (size == 0 || size > r->slot_size - sizeof(struct slot))
        return -EFBIG;
    /* Before the first byte of a secret: a size without a number is something to be wiped. */
    store(&s->size, size);
    memcpy(s->record, bytes, size);
    if (!slot_checksum(s, r->sequence + 1, size, s->checksum)) {
        state_region_wipe(r, slot);
        return -ENOMEM;
    }
    /* The number makes it a record. */
    store(&s->sequence, ++r->sequence);
    return 0;
}

void state_region_wipe(struct state_region *r, size_t slot)
{
    struct slot *s = slot_at(r, slot);

    store(&s->sequence, 0);
    explicit_bzero(s->checksum, r->slot_size - offsetof(struct slot, checksum));
    store(&s->size, 0);
}
