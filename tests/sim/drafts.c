/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

static void draw_policy(struct sim *s, struct refresh_policy *policy)
{
    static const usec_t minima[] = {USEC_PER_MSEC * 100, USEC_PER_SEC,      USEC_PER_SEC,
                                    5 * USEC_PER_SEC,    30 * USEC_PER_SEC, 10 * USEC_PER_MIN};
    static const usec_t maxima[] = {10 * USEC_PER_SEC, USEC_PER_MIN, USEC_PER_MIN, 10 * USEC_PER_MIN};

    *policy = (struct refresh_policy){
        .at_percent = random_chance(&s->random, 50) ? 50 : (unsigned) random_between(&s->random, 10, 95),
        .retry_min_for = random_pick(&s->random, minima),
        .timeout_for = random_between(&s->random, 1, 60) * USEC_PER_SEC,
    };
    policy->jitter_percent = random_chance(&s->random, 50)
                                 ? policy->at_percent / 5
                                 : (unsigned) random_below(&s->random, policy->at_percent);
    policy->retry_max_for = usec_max(policy->retry_min_for, random_pick(&s->random, maxima));
}

static void draw_preload(struct sim *s, struct draft *d)
{
    static const usec_t idle_afters[] = {USEC_PER_MIN,  10 * USEC_PER_MIN, USEC_PER_HOUR,
                                         USEC_PER_HOUR, USEC_PER_DAY,      30 * USEC_PER_DAY};

    d->is_preloaded = !s->has_idle || random_chance(&s->random, 50);
    d->idle_after_for = random_pick(&s->random, idle_afters);
}

static uint64_t new_key(struct sim *s)
{
    return ++s->last_key;
}

void draft_begin(struct sim *s, struct sim_profile *p, struct draft *d)
{
    *d = (struct draft){
        .is_there = true,
        .identity = ++s->last_identity,
        .origin = random_below(&s->random, s->n_origins),
        .keys[KEY_CLIENT_SECRET] = new_key(s),
    };
    p->has_subscriptions = random_chance(&s->random, 70);
    if (p->has_subscriptions) {
        d->keys[KEY_SUBSCRIPTION] = new_key(s);
        d->keys[KEY_SECONDARY_SUBSCRIPTION] = random_chance(&s->random, 80) ? new_key(s) : 0;
    }
    draw_policy(s, &d->refresh);
    draw_preload(s, d);
}

/* ---- edits ---- */

/* What the issuer's page shows is copied: all of it, or without the second ones. */
static void copy_right_keys(struct sim *s, const struct sim_profile *p, struct draft *d)
{
    const struct account *a = &p->account;

    d->keys[KEY_CLIENT_SECRET] = a->secrets[0];
    d->keys[KEY_NEXT_CLIENT_SECRET] = a->announced_secret;
    if (!p->has_subscriptions)
        return;
    d->keys[KEY_SUBSCRIPTION] = a->subscriptions[0];
    d->keys[KEY_SECONDARY_SUBSCRIPTION] = random_chance(&s->random, 80) ? a->subscriptions[1] : 0;
}

static void mistype_key(struct sim *s, struct draft *d)
{
    static const enum key_kind kinds[] = {KEY_CLIENT_SECRET, KEY_NEXT_CLIENT_SECRET, KEY_SUBSCRIPTION,
                                          KEY_SECONDARY_SUBSCRIPTION};
    enum key_kind kind = random_pick(&s->random, kinds);

    if (d->keys[kind] != 0)
        d->keys[kind] = new_key(s);
}

/* The old secret stays in place, and the new one beside it: rotation as it should be. */
static void set_next_secret(const struct sim_profile *p, struct draft *d)
{
    const struct account *a = &p->account;

    if (a->announced_secret != 0) {
        d->keys[KEY_NEXT_CLIENT_SECRET] = a->announced_secret;
    } else if (a->secrets[1] != 0) {
        d->keys[KEY_CLIENT_SECRET] = a->secrets[1];
        d->keys[KEY_NEXT_CLIENT_SECRET] = a->secrets[0];
    }
}

static void swap_subscriptions(struct draft *d)
{
    uint64_t primary = d->keys[KEY_SUBSCRIPTION];

    if (d->keys[KEY_SECONDARY_SUBSCRIPTION] == 0)
        return;
    d->keys[KEY_SUBSCRIPTION] = d->keys[KEY_SECONDARY_SUBSCRIPTION];
    d->keys[KEY_SECONDARY_SUBSCRIPTION] = primary;
}

static void edit_keys(struct sim *s, const struct sim_profile *p, struct draft *d)
{
    switch (random_below(&s->random, 6)) {
    case 0:
    case 1:
        copy_right_keys(s, p, d);
        break;
    case 2:
        mistype_key(s, d);
        break;
    case 3:
        d->keys[KEY_NEXT_CLIENT_SECRET] = 0;
        break;
    case 4:
        set_next_secret(p, d);
        break;
    case 5:
        swap_subscriptions(d);
        break;
    }
    /* Keys are seldom left broken for long. */
    if (!account_is_good(p) && random_chance(&s->random, 80))
        copy_right_keys(s, p, d);
}

static void edit_identity(struct sim *s, struct draft *d)
{
    d->identity = ++s->last_identity;
    if (random_chance(&s->random, 50))
        d->origin = random_below(&s->random, s->n_origins);
    if (random_chance(&s->random, 50))
        draw_policy(s, &d->refresh);
}

void draft_edit(struct sim *s, const struct sim_profile *p, struct draft *d)
{
    /* Somebody sees at once that this is not what he wanted to begin with. */
    if (p->model.is_starting && random_chance(&s->random, 70)) {
        edit_identity(s, d);
        d->is_preloaded = !s->has_idle;
        return;
    }
    if (!d->is_there) {
        d->is_there = random_chance(&s->random, 60);
        if (random_chance(&s->random, 30))
            edit_identity(s, d);
        return;
    }
    switch (random_below(&s->random, 14)) {
    case 0:
        d->is_there = false;
        break;
    case 1:
        edit_identity(s, d);
        break;
    case 2:
        edit_keys(s, p, d);
        break;
    case 3:
        edit_keys(s, p, d);
        draw_preload(s, d);
        break;
    case 4:
        draw_policy(s, &d->refresh);
        break;
    case 5:
        draw_preload(s, d);
        break;
    case 6:
        d->remark++;
        break;
    default: /* nothing: most files are as they were */
        break;
    }
}

enum settings_change draft_compare(const struct draft *a, const struct draft *b)
{
    const struct refresh_policy *p = &a->refresh, *q = &b->refresh;

    if (a->identity != b->identity || a->origin != b->origin)
        return CHANGE_IDENTITY;
    if (memcmp(a->keys, b->keys, sizeof(a->keys)) != 0)
        return CHANGE_KEYS;
    if (a->is_preloaded != b->is_preloaded || a->idle_after_for != b->idle_after_for ||
        p->at_percent != q->at_percent || p->jitter_percent != q->jitter_percent ||
        p->retry_min_for != q->retry_min_for || p->retry_max_for != q->retry_max_for ||
        p->timeout_for != q->timeout_for)
        return CHANGE_POLICY;
    return a->remark != b->remark ? CHANGE_ACCESS : CHANGE_NONE;
}

/* ---- as the registry takes it ---- */

_printf_(1, 2) static char *text(const char *format, ...)
{
    char *t = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&t, format, args) < 0)
        abort();
    va_end(args);
    return t;
}

struct profile_settings *draft_settings(const struct sim *s, const struct sim_profile *p,
                                        const struct draft *d)
{
    struct profile_settings *settings = calloc(1, sizeof(*settings));

    if (!settings)
        abort();
    settings->name = text("%s", p->name);
    settings->description = text("%u", d->remark);
    settings->client_id = text("client-%u", d->identity);
    settings->token_url = text("%s", s->origins[d->origin].url);
    settings->refresh = d->refresh;
    settings->is_preloaded = d->is_preloaded;
    settings->idle_after_for = d->idle_after_for;
    for (size_t kind = 0; kind < N_KEY_KINDS; kind++) {
        if (d->keys[kind] != 0 &&
            secret_set(&settings->keys[kind], &d->keys[kind], sizeof(d->keys[kind])) < 0)
            abort();
    }
    return settings;
}
