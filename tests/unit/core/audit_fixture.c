/* SPDX-License-Identifier: MIT */
#include "audit_fixture.h"

#include <stdio.h>

/* ---- an allocator that can fail (the linker puts it before the real one) ---- */

bool is_memory_out;
size_t n_blocks;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    n_blocks += !is_memory_out;
    return is_memory_out ? NULL : __real_malloc(size);
}

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size)
{
    n_blocks += !is_memory_out;
    return is_memory_out ? NULL : __real_calloc(n, size);
}

/* ---- the caller's side, as in the header ---- */

struct audit *audit;
usec_t now;
size_t n_looked_up;
const int shop = 1, stock = 2;

struct app shop_app(uint64_t process_id)
{
    return (struct app){33, process_id, "shop.service", "/usr/bin/php", "shop", &shop};
}

static struct audit_record *record_of(const struct app *app, enum audit_kind kind)
{
    const struct audit_key key = {kind, app->uid, app->process_id, app->profile_key};
    const struct audit_caller caller = {app->uid, app->unit, app->exe, app->profile};
    struct audit_record *record = audit_find(audit, &key, now);

    if (record)
        return record;
    n_looked_up++;
    return audit_open(audit, &key, &caller, now);
}

bool hand_out_as(const struct app *app, bool has_waited, uint64_t generation)
{
    char fingerprint[FINGERPRINT_SIZE];

    (void) snprintf(fingerprint, sizeof(fingerprint), "%016llx", (unsigned long long) generation);
    const struct audit_handout handout = {(int32_t) app->process_id, has_waited, generation, fingerprint};
    return audit_has_handouts(audit) &&
           audit_count_handout(audit, record_of(app, AUDIT_HANDOUT), &handout, now);
}

bool hand_out(const struct app *app)
{
    return hand_out_as(app, false, 7);
}

bool deny(const struct app *app, const char *asked)
{
    const struct audit_denial denial = {(int32_t) app->process_id, asked};

    return audit_count_denial(audit, record_of(app, AUDIT_DENIAL), &denial, now);
}

uint64_t hand_out_to_many(unsigned n)
{
    static char exe[32];
    uint64_t n_logged = 0;

    for (unsigned i = 0; i < n; i++) {
        (void) snprintf(exe, sizeof(exe), "/opt/app-%u", i);
        const struct app app = {1000, 0, NULL, exe, "shop", &shop};
        n_logged += hand_out_as(&app, i % 2, 7);
    }
    return n_logged;
}

const struct audit_summary *pop(void)
{
    return audit_pop_summary(audit, now);
}

int fixture_set_up(void **state _unused_)
{
    is_memory_out = false;
    now = T0;
    n_looked_up = 0;
    return audit_new(&audit, AUDIT_SUMMARY);
}

int fixture_tear_down(void **state _unused_)
{
    audit = audit_free(audit);
    return 0;
}
