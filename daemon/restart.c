/* SPDX-License-Identifier: MIT */
#include "restart.h"

#include <errno.h>
#include <string.h>

#include "daemon.h"

/* After this the manager is likely to take messages again, or memory to be there. */
#define RETRY_FOR USEC_PER_SEC

/* ---- saving ---- */

static int save(struct daemon *d, struct entry *e)
{
    _cleanup_(saved_profile_done) struct saved_profile saved = {0};

    /* One that is unusable now keeps what it has left: its settings may be repaired for the next process. */
    if (!e->settings)
        return 0;
    int r = entry_save(&d->registry, e, &saved);
    if (r == 0)
        r = state_identity(e->settings, saved.identity);
    return r < 0 ? r : state_store_save(d->state, &saved, &e->saved_slot);
}

/* It waits aside, so that it is not tried each time that the queues are emptied, nor in the way of others. */
static void put_off(struct daemon *d, struct entry *e)
{
    list_append(&d->save_later, &e->unsaved);
    if (sd_event_source_get_enabled(d->save_timer, NULL) > 0)
        return;
    (void) sd_event_source_set_time(d->save_timer, usec_add(daemon_time(d).now, RETRY_FOR));
    (void) sd_event_source_set_enabled(d->save_timer, SD_EVENT_ONESHOT);
}

static void take_back(struct daemon *d)
{
    struct list *first;

    state_store_try_again(d->state);
    while ((first = list_pop(&d->save_later)))
        registry_mark_unsaved(&d->registry, container_of(first, struct entry, unsaved));
}

void restart_save(struct daemon *d)
{
    bool is_used = state_store_is_used(d->state);
    struct entry *e;

    while ((e = registry_pop_unsaved(&d->registry))) {
        if (is_used && save(d, e) < 0)
            put_off(d, e);
    }
}

static int on_save_time(sd_event_source *source _unused_, uint64_t usec _unused_, void *userdata)
{
    struct daemon *d = userdata;

    take_back(d);
    restart_save(d);
    return 0;
}

void restart_save_all(struct daemon *d)
{
    take_back(d);
    for (size_t i = 0; i < d->registry.n_entries; i++)
        registry_mark_unsaved(&d->registry, d->registry.entries[i]);
    restart_save(d);
}

void restart_forget(struct daemon *d, struct entry *e)
{
    state_store_forget(d->state, &e->saved_slot);
}

/* ---- the start ---- */

static void take(void *userdata, struct saved_profile *saved, size_t slot)
{
    struct daemon *d = userdata;
    struct entry *e = registry_find(&d->registry, saved->name);
    uint8_t identity[SAVED_DIGEST_SIZE] = {0};

    if (!e) {
        registry_restore_gone(&d->registry, saved);
        state_store_forget(d->state, &slot);
        return;
    }
    e->saved_slot = slot;
    bool is_same = e->settings && state_identity(e->settings, identity) == 0 &&
                   memcmp(identity, saved->identity, sizeof(identity)) == 0;
    if (e->settings && !is_same)
        log_notice(d->log, "%s: its settings or keys have changed since the last process: it begins anew",
                   saved->name);
    registry_restore(&d->registry, e, saved, is_same, daemon_time(d).now);
    d->n_restored += is_same;
    d->n_interrupted += is_same && saved->was_sent;
}

int restart_begin(struct daemon *d)
{
    list_init(&d->save_later);
    int r = sd_event_add_time(d->event, &d->save_timer, CLOCK_BOOTTIME, USEC_INFINITY, 0, on_save_time, d);

    if (r >= 0)
        r = sd_event_source_set_enabled(d->save_timer, SD_EVENT_OFF);
    if (r >= 0)
        r = state_store_new(&d->state, d->supervisor, &d->passed, d->registry.n_entries, d->log);
    if (r >= 0)
        r = state_store_each(d->state, take, d);
    if (r < 0)
        return r;
    if (d->n_restored > 0)
        log_notice(
            d->log, "goes on with %zu profile%s of the last process, which left %zu request%s in flight",
            d->n_restored, d->n_restored == 1 ? "" : "s", d->n_interrupted, d->n_interrupted == 1 ? "" : "s");
    return 0;
}
