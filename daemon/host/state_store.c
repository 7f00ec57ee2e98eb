/* SPDX-License-Identifier: MIT */
#include "host/state_store.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-id128.h>
#include <unistd.h>

#include "host/state_memory.h"

/* Slots beyond the profiles that are expected: room for records on their way. */
#define SLOTS_SPARE ((size_t) 16)
#define RECORD_MAX  (STATE_SLOT_SIZE_MAX)
#define NAME_PREFIX "bearerd-state-"

struct state_store {
    struct supervisor *supervisor;
    struct log *log;
    struct state_region region; /* bytes NULL: none yet */
    int fd;
    unsigned parity;  /* of the name that the manager knows it by */
    bool is_drop_due; /* the manager is to be told to keep nothing under the other name */
    bool *is_used;    /* by slot */
    size_t n_expected;
    size_t n_used;
    size_t next_slot; /* where the search for a free one goes on, so that old bytes are not at once reused */
    bool is_off;      /* no state can be kept on this machine */
    int growth_error; /* of the last attempt at a larger region, until state_store_try_again() */
    bool has_complained;
    bool has_told_unlocked;
    uint8_t boot_id[STATE_BOOT_ID_SIZE];
};

static int map_region(struct state_store *s, int fd, struct state_region *ret)
{
    struct state_region region = {0};
    bool is_locked;

    int r = state_memory_map(fd, &region.bytes, &region.size, &is_locked);
    if (r < 0)
        return r;
    if (!is_locked && !s->has_told_unlocked)
        log_warning(s->log,
                    "%zu bytes that hold the state for a restart could not be locked and might be swapped "
                    "out: raise LimitMEMLOCK= of the unit, or set MemorySwapMax=0",
                    region.size);
    s->has_told_unlocked |= !is_locked;
    *ret = region;
    return 0;
}

static void unmap_region(struct state_region *r)
{
    state_memory_unmap(r->bytes, r->size);
    *r = (struct state_region){0};
}

/* ---- the manager ---- */

static void print_name(unsigned parity, char buf[static 32])
{
    (void) snprintf(buf, 32, NAME_PREFIX "%u", parity);
}

/* The manager keeps any number of descriptors by one name, so the old ones must go before it is used anew. */
static int drop_other(struct state_store *s)
{
    char name[32];

    if (!s->is_drop_due)
        return 0;
    print_name(!s->parity, name);
    int r = supervisor_drop_fd(s->supervisor, name);
    s->is_drop_due = r < 0;
    return r;
}

static void complain(struct state_store *s, int error)
{
    if (!s->has_complained)
        log_warning(s->log,
                    "the state cannot be kept for a restart: %s; raise LimitMEMLOCK= where that is the limit",
                    strerror(-error));
    s->has_complained = true;
}

/* ---- growing ---- */

/* An empty region, and its descriptor. */
static int make_region(struct state_store *s, size_t slot_size, size_t n_slots, struct state_region *ret)
{
    _cleanup_fd_ int fd = state_memory_new(state_region_size(slot_size, n_slots));
    if (fd < 0)
        return fd;
    int r = map_region(s, fd, ret);
    if (r < 0)
        return r;
    ret->slot_size = slot_size;
    ret->n_slots = n_slots;
    r = state_region_format(ret, s->boot_id);
    if (r < 0)
        return r;
    ret->sequence = s->region.sequence;
    return TAKE_FD(fd);
}

static void wipe_used(const struct state_store *s, struct state_region *r)
{
    for (size_t i = 0; i < s->region.n_slots; i++) {
        if (s->is_used[i])
            state_region_wipe(r, i);
    }
}

/* 0, or -ENOMEM. One that is not whole any more stays behind. */
static int copy_records(const struct state_store *s, struct state_region *to)
{
    const char *bytes;
    uint64_t sequence;
    size_t size;

    for (size_t i = 0; i < s->region.n_slots; i++) {
        int r = s->is_used[i] ? state_region_read(&s->region, i, &sequence, &bytes, &size) : -ENOENT;
        if (r == 0)
            r = state_region_write(to, i, bytes, size);
        if (r == -ENOMEM)
            return r;
    }
    return 0;
}

/* Fills the new region and hands it over. 0, or -errno: nothing has changed. */
static int hand_over(struct state_store *s, struct state_region *new, int fd)
{
    char name[32];

    int r = drop_other(s);
    if (r < 0)
        return r;
    print_name(!s->parity, name);
    r = copy_records(s, new);
    if (r == 0)
        r = supervisor_store_fd(s->supervisor, fd, name);
    if (r < 0)
        wipe_used(s, new);
    return r;
}

/* A region of that size takes the place of the one that is there; every record keeps its slot. */
static int replace_region(struct state_store *s, size_t slot_size, size_t n_slots)
{
    _cleanup_free_ bool *is_used = calloc(n_slots, sizeof(*is_used));
    struct state_region new = {0};

    if (!is_used)
        return -ENOMEM;
    _cleanup_fd_ int fd = make_region(s, slot_size, n_slots, &new);
    int r = fd < 0 ? fd : hand_over(s, &new, fd);
    if (r < 0) {
        unmap_region(&new);
        return r;
    }
    memcpy(is_used, s->is_used, s->region.n_slots * sizeof(*is_used));
    wipe_used(s, &s->region);
    unmap_region(&s->region);
    if (s->fd >= 0)
        (void) close(s->fd);
    free(s->is_used);
    s->is_used = TAKE_PTR(is_used);
    s->fd = TAKE_FD(fd);
    s->region = new;
    s->parity = !s->parity;
    s->is_drop_due = true;
    /* Where it is taken later, nothing is lost: the new one counts. */
    (void) drop_other(s);
    return 0;
}

static size_t larger_n_slots(const struct state_store *s)
{
    size_t twice = 2 * s->region.n_slots, expected = s->n_expected + s->n_expected / 8 + SLOTS_SPARE;

    return twice > expected ? twice : expected;
}

/*
 * Makes room for one more record, beside one that is left for updates: these must not fail because a larger
 * region cannot be had.
 */
static int make_room(struct state_store *s, size_t record_size, bool is_update)
{
    size_t slot_size = s->region.bytes ? s->region.slot_size : STATE_SLOT_SIZE_MIN;
    size_t n_slots = s->region.n_slots;

    while (slot_size < record_size + STATE_SLOT_OVERHEAD && slot_size < STATE_SLOT_SIZE_MAX)
        slot_size *= 2;
    bool is_wide_enough = s->region.bytes && slot_size == s->region.slot_size;
    if (s->n_used + 1 < n_slots && is_wide_enough)
        return 0;
    if (s->n_used + 1 >= n_slots)
        n_slots = larger_n_slots(s);
    int r = s->growth_error < 0 ? s->growth_error : replace_region(s, slot_size, n_slots);
    s->growth_error = r;
    return r < 0 && is_wide_enough && is_update && s->n_used < s->region.n_slots ? 0 : r;
}

static size_t find_slot(struct state_store *s)
{
    size_t slot = s->next_slot % s->region.n_slots;

    while (s->is_used[slot])
        slot = (slot + 1) % s->region.n_slots;
    s->next_slot = slot + 1;
    return slot;
}

/* ---- saving ---- */

bool state_store_is_used(const struct state_store *s)
{
    return s && !s->is_off && supervisor_is_there(s->supervisor);
}

static int save(struct state_store *s, const struct saved_profile *saved, size_t *slot)
{
    _cleanup_(buffer_done) struct buffer record = BUFFER_INIT_SECRET(RECORD_MAX);

    state_write_record(&record, saved);
    int r = buffer_error(&record);
    if (r == 0)
        r = make_room(s, record.size, *slot != STATE_SLOT_NONE);
    if (r < 0)
        return r;
    size_t new_slot = find_slot(s);
    r = state_region_write(&s->region, new_slot, buffer_peek(&record), record.size);
    if (r < 0)
        return r;
    s->is_used[new_slot] = true;
    s->n_used++;
    state_store_forget(s, slot);
    *slot = new_slot;
    return 0;
}

int state_store_save(struct state_store *s, const struct saved_profile *saved, size_t *slot)
{
    if (!state_store_is_used(s))
        return 0;
    (void) drop_other(s);
    int r = save(s, saved, slot);
    if (r < 0 && r != -EAGAIN)
        complain(s, r);
    return r;
}

void state_store_try_again(struct state_store *s)
{
    s->growth_error = 0;
}

void state_store_forget(struct state_store *s, size_t *slot)
{
    if (*slot == STATE_SLOT_NONE || *slot >= s->region.n_slots || !s->is_used[*slot])
        return;
    state_region_wipe(&s->region, *slot);
    s->is_used[*slot] = false;
    s->n_used--;
    *slot = STATE_SLOT_NONE;
}

/* ---- what another process left ---- */

/* 0, -ENOENT, -EBADMSG or -ENOMEM. */
static int read_slot(const struct state_store *s, size_t slot, uint64_t *ret_sequence,
                     struct saved_profile *ret)
{
    const char *bytes;
    size_t size;

    int r = state_region_read(&s->region, slot, ret_sequence, &bytes, &size);
    return r < 0 ? r : state_read_record(bytes, size, ret);
}

/* A whole record, as found. */
struct found {
    size_t slot;
    uint64_t sequence;
    char name[PROFILE_NAME_MAX + 1];
};

/* By name, and of one name the newest first. */
static int found_compare(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    int order = strcmp(x->name, y->name);

    return order != 0 ? order : (x->sequence < y->sequence) - (x->sequence > y->sequence);
}

/* Finds the whole records and wipes what is none. Stores how many there are; 0 or -ENOMEM. */
static int find_records(struct state_store *s, struct found *found, size_t *ret_n)
{
    size_t n = 0, n_bad = 0;

    for (size_t i = 0; i < s->region.n_slots; i++) {
        _cleanup_(saved_profile_done) struct saved_profile saved = {0};
        int r = read_slot(s, i, &found[n].sequence, &saved);
        if (r == -ENOMEM)
            return r;
        if (r == 0) {
            found[n].slot = i;
            memcpy(found[n++].name, saved.name, sizeof(saved.name));
        } else if (r != -ENOENT) {
            n_bad++;
            state_region_wipe(&s->region, i);
        }
    }
    if (n_bad > 0)
        log_notice(s->log,
                   "%zu record%s of the state that the service manager kept cannot be used: damaged, or not "
                   "finished by the last process",
                   n_bad, n_bad == 1 ? "" : "s");
    *ret_n = n;
    return 0;
}

int state_store_each(struct state_store *s,
                     void (*take)(void *userdata, struct saved_profile *saved, size_t slot), void *userdata)
{
    _cleanup_free_ struct found *found = calloc(s->region.n_slots + 1, sizeof(*found));
    uint64_t sequence;
    size_t n;

    int r = found ? find_records(s, found, &n) : -ENOMEM;
    if (r < 0)
        return r;
    if (n > 0)
        qsort(found, n, sizeof(*found), found_compare);
    for (size_t i = 0; i < n; i++) {
        _cleanup_(saved_profile_done) struct saved_profile saved = {0};
        if (i > 0 && strcmp(found[i].name, found[i - 1].name) == 0) {
            state_region_wipe(&s->region, found[i].slot);
            continue;
        }
        r = read_slot(s, found[i].slot, &sequence, &saved);
        if (r < 0)
            return r;
        s->is_used[found[i].slot] = true;
        s->n_used++;
        take(userdata, &saved, found[i].slot);
    }
    return 0;
}

/* ---- start ---- */

static int open_region(struct state_store *s, int fd, struct state_region *ret)
{
    const char *problem = NULL;

    int r = map_region(s, fd, ret);
    if (r < 0)
        problem = r == -EBADMSG ? "it is no memory of ours" : strerror(-r);
    else
        r = state_region_open(ret, s->boot_id, &problem);
    if (r < 0)
        log_warning(s->log, "state that the service manager kept is not used: %s", problem);
    return r;
}

static bool is_same_memory(int a, int b)
{
    struct stat x, y;

    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static void swap_region(struct state_store *s, struct state_region *region, int *fd)
{
    struct state_region other = s->region;
    int other_fd = s->fd;

    s->region = *region;
    s->fd = *fd;
    *region = other;
    *fd = other_fd;
}

/*
 * Opens a region that the manager kept; of two the newer one stays. The older one is wiped, so that it will
 * never count, whenever the manager lets go of it.
 */
static void adopt(struct state_store *s, int fd_take, unsigned parity)
{
    _cleanup_fd_ int fd = fd_take;
    struct state_region region = {0};

    int r = open_region(s, fd, &region);
    if (r == 0 && (!s->region.bytes || s->region.sequence < region.sequence)) {
        swap_region(s, &region, &fd);
        s->parity = parity;
    }
    if (r == 0 && region.bytes && !is_same_memory(s->fd, fd)) {
        for (size_t i = 0; i < region.n_slots; i++)
            state_region_wipe(&region, i);
    }
    unmap_region(&region);
}

static void adopt_all(struct state_store *s, struct passed_fds *passed)
{
    char name[32];
    int fd;

    for (unsigned parity = 0; parity < 2; parity++) {
        print_name(parity, name);
        while ((fd = passed_fds_take(passed, name)) >= 0)
            adopt(s, fd, parity);
    }
}

int state_store_new(struct state_store **ret, struct supervisor *supervisor, struct passed_fds *passed,
                    size_t n_profiles, struct log *log)
{
    _cleanup_(state_store_free_p) struct state_store *s = calloc(1, sizeof(*s));
    sd_id128_t boot_id;

    if (!s)
        return -ENOMEM;
    *s = (struct state_store){
        .supervisor = supervisor, .log = log, .fd = -1, .n_expected = n_profiles, .is_drop_due = true};
    int r = sd_id128_get_boot(&boot_id);
    if (r < 0) {
        log_warning(log, "no state is kept for a restart: the boot cannot be told: %s", strerror(-r));
        s->is_off = true;
    } else {
        memcpy(s->boot_id, boot_id.bytes, sizeof(s->boot_id));
        adopt_all(s, passed);
    }
    s->is_used = calloc(s->region.n_slots + 1, sizeof(*s->is_used));
    if (!s->is_used)
        return -ENOMEM;
    /* What is not used, or is the older of two, need not be kept any longer. */
    if (!s->is_off)
        (void) drop_other(s);
    *ret = TAKE_PTR(s);
    return 0;
}

struct state_store *state_store_free(struct state_store *s)
{
    if (!s)
        return NULL;
    unmap_region(&s->region);
    if (s->fd >= 0)
        (void) close(s->fd);
    free(s->is_used);
    free(s);
    return NULL;
}
