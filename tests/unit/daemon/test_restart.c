/* SPDX-License-Identifier: MIT */
/* What is saved when, and what becomes of what is found: with a store that is made up, and fails on demand.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon.h"
#include "restart.h"

#define N_PROFILES 3

static struct daemon d;
static char names[N_PROFILES][4] = {"p0", "p1", "p2"};
static char url[] = "https://one.example/token";
static char client_id[] = "client";
static struct profile_settings settings[N_PROFILES];

/* ---- the made-up store ---- */

static struct {
    bool is_there;
    int error;    /* for those that have no place yet */
    bool is_full; /* it has answered with that, and was not told to try again */
    unsigned n_saves[N_PROFILES], n_failures, n_forgotten;
    struct saved_profile *found;
    size_t n_found;
} store;

struct state_store {
    int unused;
};

static struct state_store the_store;
static usec_t now;

struct reply_time daemon_time(struct daemon *one _unused_)
{
    return (struct reply_time){.now = now};
}

int state_store_new(struct state_store **ret, struct supervisor *s _unused_,
                    struct passed_fds *passed _unused_, size_t n_profiles, struct log *log _unused_)
{
    assert_int_equal(n_profiles, N_PROFILES);
    *ret = &the_store;
    return 0;
}

bool state_store_is_used(const struct state_store *s _unused_)
{
    return store.is_there;
}

int state_store_each(struct state_store *s _unused_,
                     void (*take)(void *userdata, struct saved_profile *saved, size_t slot), void *userdata)
{
    for (size_t i = 0; i < store.n_found; i++)
        take(userdata, &store.found[i], i);
    return 0;
}

int state_store_save(struct state_store *s _unused_, const struct saved_profile *saved, size_t *slot)
{
    if (*slot == STATE_SLOT_NONE && store.error < 0) {
        store.n_failures++;
        return store.error;
    }
    store.n_saves[saved->name[1] - '0']++;
    *slot = 1;
    return 0;
}

void state_store_try_again(struct state_store *s _unused_)
{
    store.is_full = false;
}

void state_store_forget(struct state_store *s _unused_, size_t *slot)
{
    store.n_forgotten++;
    *slot = STATE_SLOT_NONE;
}

/* ---- a process ---- */

static int set_up(void **state _unused_)
{
    memset(&store, 0, sizeof(store));
    store.is_there = true;
    d = (struct daemon){0};
    now = USEC_PER_DAY;
    registry_init(&d.registry, 4, 1);
    for (size_t i = 0; i < N_PROFILES; i++) {
        settings[i] = (struct profile_settings){
            .name = names[i],
            .token_url = url,
            .client_id = client_id,
            .is_preloaded = true,
            .refresh = {.at_percent = 50, .retry_min_for = USEC_PER_SEC, .retry_max_for = USEC_PER_MIN}
        };
        assert_int_equal(registry_add(&d.registry, &settings[i]), 0);
    }
    return sd_event_new(&d.event);
}

static int tear_down(void **state _unused_)
{
    (void) sd_event_source_disable_unref(d.save_timer);
    d.event = sd_event_unref(d.event);
    registry_done(&d.registry);
    return 0;
}

static void mark_all(void)
{
    for (size_t i = 0; i < N_PROFILES; i++)
        registry_mark_unsaved(&d.registry, d.registry.entries[i]);
}

/* The timer is armed for a moment that is over. */
static bool timer_fires(void)
{
    return sd_event_run(d.event, 0) > 0;
}

/* ---- saving ---- */

/* The first finds no room, for as long as it takes: its neighbours are saved each time that they change. */
static void who_cannot_be_saved_is_in_nobodys_way(void **state _unused_)
{
    assert_int_equal(restart_begin(&d), 0);
    d.registry.entries[1]->saved_slot = d.registry.entries[2]->saved_slot = 7;
    store.error = -EMFILE;
    for (unsigned i = 1; i <= 5; i++) {
        mark_all();
        restart_save(&d);
        assert_int_equal(store.n_saves[1], i);
        assert_int_equal(store.n_saves[2], i);
    }
    assert_int_equal(store.n_saves[0], 0);
    assert_int_equal(store.n_failures, 1); /* and is not tried each time */
    now = 0;
    restart_save_all(&d);
    assert_int_equal(store.n_failures, 2);
}

static void who_could_not_be_saved_is_tried_again(void **state _unused_)
{
    assert_int_equal(restart_begin(&d), 0);
    now = 0;
    store.error = -EAGAIN;
    mark_all();
    restart_save(&d);
    assert_int_equal(store.n_failures, 3);
    store.is_full = true;
    assert_true(timer_fires());
    assert_false(store.is_full);
    assert_int_equal(store.n_failures, 6);
    store.error = 0;
    assert_true(timer_fires());
    for (size_t i = 0; i < N_PROFILES; i++)
        assert_int_equal(store.n_saves[i], 1);
    assert_false(timer_fires());
}

static void without_a_store_nothing_is_queued_up(void **state _unused_)
{
    assert_int_equal(restart_begin(&d), 0);
    store.is_there = false;
    mark_all();
    restart_save(&d);
    assert_null(registry_pop_unsaved(&d.registry));
    assert_int_equal(store.n_saves[0] + store.n_failures, 0);
    assert_false(timer_fires());
}

/* ---- the start ---- */

static struct saved_profile found_of(const char *name, const struct profile_settings *s)
{
    struct saved_profile saved = {
        .generation = 5,
        .token = {.type = "Bearer",
                  .sent_at = now - USEC_PER_SEC,
                  .lifetime_for = USEC_PER_HOUR,
                  .expires_at = now - USEC_PER_SEC + USEC_PER_HOUR},
        .refresh_at = now + USEC_PER_MIN
    };

    (void) snprintf(saved.name, sizeof(saved.name), "%s", name);
    assert_int_equal(secret_set(&saved.token.value, "token", 5), 0);
    assert_int_equal(state_identity(s, saved.identity), 0);
    return saved;
}

static void only_what_is_the_same_goes_on(void **state _unused_)
{
    static char another[] = "another";
    struct profile_settings changed = settings[1];

    changed.client_id = another;
    struct saved_profile found[] = {found_of("p0", &settings[0]), found_of("p1", &changed),
                                    found_of("gone", &settings[0])};
    found[2].generation = 9;
    store.found = found;
    store.n_found = ARRAY_SIZE(found);
    assert_int_equal(restart_begin(&d), 0);
    registry_start(&d.registry, now);
    const struct profile *same = &d.registry.entries[0]->profile, *other = &d.registry.entries[1]->profile,
                         *new = &d.registry.entries[2]->profile;
    assert_true(token_is_set(&same->token) && !same->is_fetching);
    assert_int_equal(same->generation, 5);
    assert_true(!token_is_set(&other->token) && other->is_fetching);
    assert_int_equal(other->generation, 5);
    assert_true(!token_is_set(&new->token) && new->is_fetching);
    assert_int_equal(new->generation, 9);
    assert_int_equal(d.n_restored, 1);
    assert_int_equal(store.n_forgotten, 1);
    /* What is there is written down as it is now, the token that is not taken over among it. */
    restart_save(&d);
    assert_int_equal(store.n_saves[0], 1);
    assert_int_equal(store.n_saves[1], 1);
    for (size_t i = 0; i < ARRAY_SIZE(found); i++)
        saved_profile_done(&found[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_cannot_be_saved_is_in_nobodys_way),
        TEST(who_could_not_be_saved_is_tried_again),
        TEST(without_a_store_nothing_is_queued_up),
        TEST(only_what_is_the_same_goes_on),
    };
    return cmocka_run_group_tests_name("restart", tests, NULL, NULL);
}
