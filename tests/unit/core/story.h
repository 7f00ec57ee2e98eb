/* SPDX-License-Identifier: MIT */
#pragma once

/* One profile and a clock: what stories of a single profile are told with. */

#include "fixtures.h"

/* A profile, its clock, and what it has asked of the upstream. */
struct story {
    struct profile_settings settings;
    struct profile p;
    usec_t now;
    usec_t wake_at;
    unsigned n_fetches;
    enum note note;
    uint64_t random;
};

static char story_name[] = "shop";

static inline void story_init(struct story *s)
{
    *s = (struct story){
        .settings = {.name = story_name, EXACT_SETTINGS},
          .now = T0, .random = 42
    };
    profile_init(&s->p, &s->settings);
}

static inline void story_done(struct story *s)
{
    profile_done(&s->p);
    for (size_t i = 0; i < N_KEY_KINDS; i++)
        secret_done(&s->settings.keys[i]);
}

static inline struct actions story_step(struct story *s, struct event event)
{
    s->random = s->random * UINT64_C(6364136223846793005) + 1442695040888963407;
    event.random = s->random >> 11;
    struct actions a = profile_step(&s->p, &event, s->now);
    s->n_fetches += a.fetch;
    s->wake_at = a.wake_at;
    s->note = a.note;
    return a;
}

static inline void start(struct story *s)
{
    assert_true(story_step(s, (struct event){.kind = EVENT_START}).fetch);
}

/* The fetch in flight, sent `took_for` ago, ends with a token. */
static inline void token_comes(struct story *s, const char *text, usec_t lifetime_for, usec_t took_for)
{
    _cleanup_(token_done) struct token t = make_token(text, s->now - took_for, lifetime_for);
    assert_true(story_step(s, (struct event){.kind = EVENT_TOKEN, .token = &t}).has_ended);
}

static inline void fetch_fails(struct story *s, struct failure f)
{
    assert_true(story_step(s, (struct event){.kind = EVENT_FAILURE, .failure = &f}).has_ended);
}

static inline enum verdict ask(struct story *s, usec_t min_ttl_for)
{
    return story_step(s, (struct event){.kind = EVENT_REQUEST, .min_ttl_for = min_ttl_for}).verdict;
}

/* Time goes on to the next deadline; true when that starts a fetch. */
static inline bool sleep_to_deadline(struct story *s)
{
    assert_true(s->wake_at != USEC_INFINITY && s->wake_at >= s->now);
    s->now = s->wake_at;
    return story_step(s, (struct event){.kind = EVENT_DEADLINE}).fetch;
}

static inline void sleep_to_fetch(struct story *s)
{
    while (!sleep_to_deadline(s))
        ;
}
