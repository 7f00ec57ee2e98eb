/* SPDX-License-Identifier: MIT */
#include "fixtures.h"

#include "core/schedule.h"

/* Jobs of three origins: a, b and c, `n` each. */
#define N_ORIGINS 3
#define N_JOBS    40

struct world {
    struct schedule s;
    struct job jobs[N_ORIGINS][N_JOBS];
};

static void world_init(struct world *w, size_t n_slots, size_t n_origins)
{
    static const char *const urls[N_ORIGINS] = {"https://a.example/token", "https://b.example/token",
                                                "https://c.example/token"};

    *w = (struct world){0};
    schedule_init(&w->s, n_slots);
    for (size_t o = 0; o < n_origins; o++) {
        struct origin *origin;
        assert_int_equal(schedule_get_origin(&w->s, urls[o], &origin), 0);
        for (size_t i = 0; i < N_JOBS; i++)
            w->jobs[o][i].origin = origin;
    }
}

static void world_add(struct world *w, size_t o, size_t n)
{
    for (size_t i = 0; i < n; i++)
        schedule_add(&w->s, &w->jobs[o][i], T0 + i);
}

/* Pops all that may start; how many of each origin did. */
static void pop_all(struct world *w, size_t counts[static N_ORIGINS])
{
    memset(counts, 0, N_ORIGINS * sizeof(*counts));
    for (struct job *job; (job = schedule_pop(&w->s));) {
        size_t o = (size_t) (job - &w->jobs[0][0]) / N_JOBS;
        counts[o]++;
    }
}

static void origins_are_scheme_host_and_port(void **state _unused_)
{
    static const struct {
        const char *url, *name;
    } cases[] = {
        {"https://api.vipps.no/accesstoken/get", "https://api.vipps.no"     },
        {"https://api.vipps.no",                 "https://api.vipps.no"     },
        {"https://api.vipps.no/other?x=/y",      "https://api.vipps.no"     },
        {"https://api.vipps.no?x",               "https://api.vipps.no"     },
        {"https://api.vipps.no:8443/x",          "https://api.vipps.no:8443"},
        {"http://127.0.0.1:80/x",                "http://127.0.0.1:80"      },
        {"https://[::1]:80/x",                   "https://[::1]:80"         },
    };
    struct schedule s;

    schedule_init(&s, 4);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct origin *o, *again;
        assert_int_equal(schedule_get_origin(&s, cases[i].url, &o), 0);
        assert_string_equal(o->name, cases[i].name);
        assert_int_equal(schedule_get_origin(&s, cases[i].name, &again), 0);
        assert_ptr_equal(o, again);
    }
    assert_int_equal(s.n_origins, 4);
    schedule_done(&s);
    schedule_done(&s);
    schedule_done(NULL);
}

static void the_most_urgent_goes_first(void **state _unused_)
{
    struct world w;

    world_init(&w, 4, 1);
    schedule_add(&w.s, &w.jobs[0][0], T0 + 5);
    schedule_add(&w.s, &w.jobs[0][1], T0 + 1);
    schedule_add(&w.s, &w.jobs[0][2], USEC_INFINITY);
    schedule_add(&w.s, &w.jobs[0][3], 0);
    assert_ptr_equal(schedule_pop(&w.s), &w.jobs[0][3]);
    assert_ptr_equal(schedule_pop(&w.s), &w.jobs[0][1]);
    assert_ptr_equal(schedule_pop(&w.s), &w.jobs[0][0]);
    assert_ptr_equal(schedule_pop(&w.s), &w.jobs[0][2]);
    assert_null(schedule_pop(&w.s));
    schedule_done(&w.s);
}

static void one_origin_alone_uses_all_slots(void **state _unused_)
{
    struct world w;
    size_t counts[N_ORIGINS];

    world_init(&w, 16, 1);
    world_add(&w, 0, 40);
    pop_all(&w, counts);
    assert_int_equal(counts[0], 16);
    /* Suspect or not: there is nobody to spare the slots for. */
    schedule_end(&w.s, &w.jobs[0][0], false);
    pop_all(&w, counts);
    assert_int_equal(counts[0], 1);
    schedule_done(&w.s);
}

static void no_origin_takes_more_than_half(void **state _unused_)
{
    struct world w;
    size_t counts[N_ORIGINS];

    world_init(&w, 16, 2);
    world_add(&w, 0, 40);
    pop_all(&w, counts);
    assert_int_equal(counts[0], 8);
    world_add(&w, 1, 40);
    pop_all(&w, counts);
    assert_int_equal(counts[0], 0);
    assert_int_equal(counts[1], 8);
    assert_int_equal(w.s.n_in_flight, 16);
    schedule_done(&w.s);
}

static void origins_take_turns(void **state _unused_)
{
    struct world w;

    world_init(&w, 16, 3);
    for (size_t o = 0; o < N_ORIGINS; o++)
        world_add(&w, o, 40);
    for (size_t i = 0; i < 5; i++) {
        for (size_t o = 0; o < N_ORIGINS; o++)
            assert_ptr_equal(schedule_pop(&w.s), &w.jobs[o][i]);
    }
    assert_non_null(schedule_pop(&w.s));
    assert_null(schedule_pop(&w.s));
    /* The slot that an origin frees goes to the next in turn, not back to it. */
    schedule_end(&w.s, &w.jobs[0][0], true);
    assert_ptr_equal(schedule_pop(&w.s), &w.jobs[1][5]);
    schedule_end(&w.s, &w.jobs[0][1], true);
    assert_ptr_equal(schedule_pop(&w.s), &w.jobs[2][5]);
    schedule_done(&w.s);
}

static void a_suspect_origin_holds_an_eighth(void **state _unused_)
{
    struct world w;
    size_t counts[N_ORIGINS];

    world_init(&w, 16, 2);
    world_add(&w, 0, 40);
    pop_all(&w, counts);
    assert_int_equal(counts[0], 8);
    for (size_t i = 0; i < 8; i++) {
        schedule_end(&w.s, &w.jobs[0][i], false);
        pop_all(&w, counts);
        assert_int_equal(counts[0], i < 6 ? 0 : 1);
    }
    assert_int_equal(w.s.n_in_flight, 2);
    /* One answer, be it an error, clears it. */
    schedule_end(&w.s, &w.jobs[0][8], true);
    pop_all(&w, counts);
    assert_int_equal(counts[0], 7);
    schedule_done(&w.s);
}

static void few_slots_still_give_one_each(void **state _unused_)
{
    for (size_t n_slots = 1; n_slots <= 8; n_slots++) {
        struct world w;
        size_t counts[N_ORIGINS];
        world_init(&w, n_slots, 3);
        for (size_t o = 0; o < N_ORIGINS; o++)
            world_add(&w, o, 10);
        pop_all(&w, counts);
        assert_true(w.s.n_in_flight <= n_slots && w.s.n_in_flight > 0);
        for (size_t o = 0; o < N_ORIGINS; o++)
            assert_true(counts[o] <= (n_slots / 2 > 1 ? n_slots / 2 : 1));
        schedule_done(&w.s);
    }
}

/* A hanging issuer with one slot in all: the healthy one gets every second turn. */
static void with_one_slot_everybody_still_gets_a_turn(void **state _unused_)
{
    struct world w;

    world_init(&w, 1, 2);
    world_add(&w, 0, 20);
    world_add(&w, 1, 20);
    for (size_t i = 0; i < 20; i++) {
        struct job *job = schedule_pop(&w.s);
        assert_ptr_equal(job, &w.jobs[0][i]);
        assert_null(schedule_pop(&w.s));
        schedule_end(&w.s, job, false);
        job = schedule_pop(&w.s);
        assert_ptr_equal(job, &w.jobs[1][i]);
        schedule_end(&w.s, job, true);
    }
    assert_null(schedule_pop(&w.s));
    assert_int_equal(w.s.n_in_flight, 0);
    schedule_done(&w.s);
}

static void a_job_can_be_taken_back(void **state _unused_)
{
    struct world w;

    world_init(&w, 4, 2);
    schedule_remove(&w.s, &w.jobs[0][0]);
    world_add(&w, 0, 2);
    schedule_remove(&w.s, &w.jobs[0][0]);
    schedule_remove(&w.s, &w.jobs[0][0]);
    assert_ptr_equal(schedule_pop(&w.s), &w.jobs[0][1]);
    /* One that was popped holds its slot. */
    schedule_remove(&w.s, &w.jobs[0][1]);
    assert_int_equal(w.s.n_in_flight, 1);
    assert_null(schedule_pop(&w.s));
    schedule_end(&w.s, &w.jobs[0][1], true);
    world_add(&w, 0, 1);
    assert_ptr_equal(schedule_pop(&w.s), &w.jobs[0][0]);
    schedule_done(&w.s);
}

/* An origin is there as long as somebody has it, and the limits follow. */
static void origins_come_and_go(void **state _unused_)
{
    struct world w;
    struct origin *again, *other;
    size_t counts[N_ORIGINS];

    world_init(&w, 4, 1);
    assert_int_equal(schedule_get_origin(&w.s, "https://a.example/other", &again), 0);
    assert_ptr_equal(again, w.jobs[0][0].origin);
    assert_int_equal(again->n_users, 2);
    assert_int_equal(schedule_get_origin(&w.s, "https://b.example", &other), 0);
    world_add(&w, 0, 10);
    pop_all(&w, counts);
    assert_int_equal(counts[0], 2);
    schedule_put_origin(&w.s, again);
    assert_int_equal(w.s.n_origins, 2);
    schedule_put_origin(&w.s, other);
    assert_int_equal(w.s.n_origins, 1);
    schedule_set_slots(&w.s, 4);
    pop_all(&w, counts);
    assert_int_equal(counts[0], 2);
    /* Alone, and with more slots. */
    schedule_set_slots(&w.s, 7);
    pop_all(&w, counts);
    assert_int_equal(counts[0], 3);
    schedule_done(&w.s);
}

/* Fewer slots than are in flight: nothing starts until there is room again. */
static void fewer_slots_let_none_start(void **state _unused_)
{
    struct world w;
    size_t counts[N_ORIGINS];

    world_init(&w, 4, 1);
    world_add(&w, 0, 10);
    pop_all(&w, counts);
    assert_int_equal(counts[0], 4);
    schedule_set_slots(&w.s, 1);
    for (size_t i = 0; i < 4; i++) {
        pop_all(&w, counts);
        assert_int_equal(counts[0], 0);
        schedule_end(&w.s, &w.jobs[0][i], true);
    }
    pop_all(&w, counts);
    assert_int_equal(counts[0], 1);
    schedule_done(&w.s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(origins_are_scheme_host_and_port),
        cmocka_unit_test(the_most_urgent_goes_first),
        cmocka_unit_test(one_origin_alone_uses_all_slots),
        cmocka_unit_test(no_origin_takes_more_than_half),
        cmocka_unit_test(origins_take_turns),
        cmocka_unit_test(a_suspect_origin_holds_an_eighth),
        cmocka_unit_test(few_slots_still_give_one_each),
        cmocka_unit_test(with_one_slot_everybody_still_gets_a_turn),
        cmocka_unit_test(a_job_can_be_taken_back),
        cmocka_unit_test(origins_come_and_go),
        cmocka_unit_test(fewer_slots_let_none_start),
    };
    return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
