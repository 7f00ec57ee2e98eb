/* SPDX-License-Identifier: MIT */
/*
 * What the process before may have left. A good record, and a good region with two of them, are damaged as
 * the input says; also with a header that is whole and tells nonsense. What must hold: no access beyond the
 * region, what is taken for a record is one that could have been written, and the region can be used on.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/state.h"

#define TOKEN   "eyJhbGciOiJub25lIn0.e30."
#define N_SLOTS ((size_t) 4)
#define SIZE    (STATE_HEADER_SIZE + N_SLOTS * STATE_SLOT_SIZE_MIN)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t boot[STATE_BOOT_ID_SIZE] = {1, 2, 3};

static void require(bool condition)
{
    if (!condition)
        abort();
}

/* A number of so many bytes from the front; 0 where the input has ended. */
static uint64_t take(const uint8_t **data, size_t *size, size_t n)
{
    uint64_t number = 0;

    for (; n > 0 && *size > 0; n--, (*data)++, (*size)--)
        number = number << 8 | **data;
    return number;
}

static void make_record(struct buffer *out)
{
    struct saved_profile s = {
        .name = "shop",
        .token = {.type = "Bearer",
                  .fingerprint = "0123456789abcdef",
                  .sent_at = 1000,
                  .lifetime_for = 3600 * USEC_PER_SEC,
                  .expires_at = 3600 * USEC_PER_SEC + 1000},
        .generation = 7,
        .n_failures = 2,
        .failure = {.class = FAILURE_TRANSIENT, .reason = REASON_TIMEOUT, .message = "no answer"},
        .has_failed_ever = true,
    };

    require(secret_set(&s.token.value, TOKEN, strlen(TOKEN)) == 0);
    state_write_record(out, &s);
    require(buffer_error(out) == 0);
    saved_profile_done(&s);
}

/* Some bytes overwritten by another one, at several places: the rest of the input. */
static void damage(char *bytes, size_t n, const uint8_t *data, size_t size)
{
    while (size >= 4) {
        size_t at = take(&data, &size, 2) % n;
        int value = (int) take(&data, &size, 1);
        size_t length = take(&data, &size, 1) % (n - at + 1);
        memset(bytes + at, value, length);
    }
}

/* What is taken for a record says the same when it is written again. */
static void try_record(const char *bytes, size_t size)
{
    _cleanup_(buffer_done) struct buffer again = BUFFER_INIT_SECRET(2 * STATE_SLOT_SIZE_MAX);
    _cleanup_(buffer_done) struct buffer third = BUFFER_INIT_SECRET(2 * STATE_SLOT_SIZE_MAX);
    struct saved_profile s, t;

    if (state_read_record(bytes, size, &s) < 0)
        return;
    require(s.name[0] && strnlen(s.name, sizeof(s.name)) < sizeof(s.name));
    require(strnlen(s.failure.message, sizeof(s.failure.message)) < sizeof(s.failure.message));
    require((unsigned) s.failure.reason < N_FAILURE_REASONS);
    if (secret_is_set(&s.token.value))
        require(s.token.expires_at > s.token.sent_at && s.token.lifetime_for <= TOKEN_LIFETIME_MAX);
    state_write_record(&again, &s);
    require(buffer_error(&again) == 0 && again.size == size);
    require(state_read_record(buffer_peek(&again), again.size, &t) == 0);
    state_write_record(&third, &t);
    require(third.size == size && !memcmp(buffer_peek(&third), buffer_peek(&again), size));
    saved_profile_done(&s);
    saved_profile_done(&t);
}

static void try_damaged_record(const struct buffer *record, const uint8_t *data, size_t size)
{
    size_t n = record->size + take(&data, &size, 1);
    char *bytes = calloc(1, n);

    require(bytes);
    memcpy(bytes, buffer_peek(record), record->size);
    damage(bytes, n, data, size);
    /* An end of its own, so that the first byte beyond it is noticed. */
    size_t kept = size % 2 ? take(&data, &size, 2) % (n + 1) : n;
    char *exact = malloc(kept + 1);
    require(exact);
    memcpy(exact + 1, bytes, kept);
    try_record(exact + 1, kept);
    free(exact);
    free(bytes);
}

/* As the next process does: takes what is whole, wipes the rest, and writes. */
static void use(struct state_region *r, const struct buffer *record)
{
    const char *problem = NULL, *bytes;
    size_t size;
    uint64_t sequence;

    if (state_region_open(r, boot, &problem) < 0) {
        require(problem && *problem);
        return;
    }
    require(r->n_slots * r->slot_size <= r->size - STATE_HEADER_SIZE);
    for (size_t i = 0; i < r->n_slots; i++) {
        if (state_region_read(r, i, &sequence, &bytes, &size) == 0) {
            require(sequence <= r->sequence && bytes >= r->bytes && bytes + size <= r->bytes + r->size);
            try_record(bytes, size);
        } else {
            state_region_wipe(r, i);
        }
    }
    for (size_t i = 0; i < r->n_slots; i++) {
        state_region_wipe(r, i);
        uint64_t before = r->sequence;
        require(state_region_write(r, i, buffer_peek(record), record->size) == 0);
        require(state_region_read(r, i, &sequence, &bytes, &size) == 0 && sequence == before + 1);
        require(size == record->size && !memcmp(bytes, buffer_peek(record), size));
    }
}

static void try_damaged_region(const struct buffer *record, bool is_sealed, const uint8_t *data, size_t size)
{
    char *bytes = aligned_alloc(STATE_HEADER_SIZE, SIZE);

    require(bytes);
    memset(bytes, 0, SIZE);
    struct state_region r = {
        .bytes = bytes, .size = SIZE, .slot_size = STATE_SLOT_SIZE_MIN, .n_slots = N_SLOTS};
    require(state_region_format(&r, boot) == 0);
    require(state_region_write(&r, 0, buffer_peek(record), record->size) == 0);
    require(state_region_write(&r, 2, buffer_peek(record), record->size) == 0);
    if (is_sealed) {
        r.slot_size = take(&data, &size, 2);
        r.n_slots = take(&data, &size, 1);
        if (r.n_slots >= 2 * N_SLOTS)
            r.n_slots = take(&data, &size, 8);
        require(state_region_format(&r, boot) == 0);
    }
    damage(bytes + (is_sealed ? STATE_HEADER_SIZE : 0), SIZE - (is_sealed ? STATE_HEADER_SIZE : 0), data,
           size);
    r = (struct state_region){.bytes = bytes, .size = SIZE};
    use(&r, record);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_(buffer_done) struct buffer record = BUFFER_INIT_SECRET(2 * STATE_SLOT_SIZE_MAX);
    unsigned choice = (unsigned) take(&data, &size, 1) % 3;

    make_record(&record);
    if (choice == 0)
        try_damaged_record(&record, data, size);
    else
        try_damaged_region(&record, choice == 1, data, size);
    return 0;
}
