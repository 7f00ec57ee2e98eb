/* SPDX-License-Identifier: MIT */
/* Memory that runs out while a reload is prepared: refused, and nothing has changed. Built with an allocator
 * that fails when it is told to. */
#include "office.h"

#include <errno.h>

static unsigned n_allocations, fails_at;

static bool is_out_of_memory(void)
{
    return ++n_allocations == fails_at;
}

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size)
{
    return is_out_of_memory() ? NULL : __real_calloc(n, size);
}

char *__real_strndup(const char *text, size_t n);
char *__wrap_strndup(const char *text, size_t n);
char *__wrap_strndup(const char *text, size_t n)
{
    return is_out_of_memory() ? NULL : __real_strndup(text, n);
}

/* It allocates a node where there is none; a failure of it leaves the tree alone. */
void *__real_tsearch(const void *key, void **root, int (*compare)(const void *, const void *));
void *__wrap_tsearch(const void *key, void **root, int (*compare)(const void *, const void *));
void *__wrap_tsearch(const void *key, void **root, int (*compare)(const void *, const void *))
{
    return is_out_of_memory() ? NULL : __real_tsearch(key, root, compare);
}

/* Three that run, one of which waits for a slot; and new settings that do everything to them. */
static void office_prepare(struct office *o)
{
    office_init(o, 2);
    (void) office_add(o, "alpha");
    (void) office_add(o, "beta");
    set_text(&office_add(o, "gamma")->token_url, "https://two.example/token");
    office_open(o);
    assert_int_equal(office_pop_fetches(o), 2);
    set_key(office_edit(o, "alpha"), KEY_CLIENT_SECRET, "new");
    office_drop(o, "beta");
    set_text(&office_edit(o, "gamma")->token_url, "https://three.example/token");
    set_text(&office_add(o, "delta")->token_url, "https://four.example/token");
    (void) office_add(o, "omega");
}

static void no_memory_changes_nothing(void **state _unused_)
{
    _cleanup_(office_done) struct office o;
    struct waiter waiter;
    struct entry *entries[3];
    int r = -ENOMEM;

    office_prepare(&o);
    assert_int_equal(office_ask(&o, "beta", &waiter, SEC(60)), ANSWER_NONE);
    for (size_t i = 0; i < 3; i++)
        entries[i] = o.r.entries[i];
    struct schedule schedule = o.r.schedule;
    for (fails_at = 1; r < 0; fails_at++) {
        struct registry_plan plan = {.n_removed = 77};
        n_allocations = 0;
        r = registry_plan(&o.r, o.files, o.n_files, &plan);
        if (r == 0) {
            registry_plan_done(&plan);
            break;
        }
        assert_int_equal(r, -ENOMEM);
        assert_int_equal(plan.n_removed, 77);
        assert_int_equal(o.r.n_entries, 3);
        for (size_t i = 0; i < 3; i++)
            assert_ptr_equal(o.r.entries[i], entries[i]);
        for (size_t i = 0; i < o.n_files; i++)
            assert_int_equal(o.files[i]->n_refs, 0);
        assert_int_equal(o.r.schedule.n_origins, schedule.n_origins);
        assert_int_equal(o.r.schedule.n_in_flight, schedule.n_in_flight);
        office_check(&o);
        assert_null(registry_pop_answer(&o.r));
    }
    /* Three arrays; an origin, its name and its place for each profile; an entry for each that is new. */
    assert_int_equal(fails_at, 1 + 3 + 4 * 3 + 2);
    fails_at = 0;
    office_check(&o);
    assert_string_equal(entries[1]->profile.name, "beta");
    office_reload(&o);
    expect_answer(&o, &waiter, ANSWER_GONE);
}

/* It is prepared, and then something else in the new settings turns out to be wrong. */
static void a_plan_can_be_thrown_away(void **state _unused_)
{
    _cleanup_(office_done) struct office o;
    struct registry_plan plan;

    office_prepare(&o);
    assert_int_equal(registry_plan(&o.r, o.files, o.n_files, &plan), 0);
    assert_true(registry_plan_aborts(&plan, office_entry(&o, "alpha")));
    assert_true(registry_plan_aborts(&plan, office_entry(&o, "beta")));
    assert_true(registry_plan_aborts(&plan, office_entry(&o, "gamma")));
    assert_int_equal(plan.n_removed, 1);
    registry_plan_done(&plan);
    registry_plan_done(&plan);
    office_check(&o);
    assert_true(office_entry(&o, "alpha")->is_in_flight);
    assert_null(registry_find(&o.r, "delta"));
    for (size_t i = 0; i < o.n_files; i++)
        assert_int_equal(o.files[i]->n_refs, 0);
}

/* What is called off, and what is not. */
static void a_plan_names_the_fetches_to_call_off(void **state _unused_)
{
    _cleanup_(office_done) struct office o;
    struct registry_plan plan;

    office_init(&o, 16);
    (void) office_add(&o, "access");
    (void) office_add(&o, "identity");
    (void) office_add(&o, "keys");
    (void) office_add(&o, "none");
    (void) office_add(&o, "policy");
    (void) office_add(&o, "removed");
    office_open(&o);
    set_text(&office_edit(&o, "access")->description, "text");
    set_text(&office_edit(&o, "identity")->client_id, "another");
    set_key(office_edit(&o, "keys"), KEY_CLIENT_SECRET, "another");
    (void) office_edit(&o, "none");
    office_edit(&o, "policy")->refresh.retry_max_for = SEC(30);
    office_drop(&o, "removed");
    assert_int_equal(registry_plan(&o.r, o.files, o.n_files, &plan), 0);
    assert_false(registry_plan_aborts(&plan, office_entry(&o, "access")));
    assert_true(registry_plan_aborts(&plan, office_entry(&o, "identity")));
    assert_true(registry_plan_aborts(&plan, office_entry(&o, "keys")));
    assert_false(registry_plan_aborts(&plan, office_entry(&o, "none")));
    assert_false(registry_plan_aborts(&plan, office_entry(&o, "policy")));
    assert_true(registry_plan_aborts(&plan, office_entry(&o, "removed")));
    registry_plan_done(&plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_memory_changes_nothing),
        cmocka_unit_test(a_plan_can_be_thrown_away),
        cmocka_unit_test(a_plan_names_the_fetches_to_call_off),
    };
    return cmocka_run_group_tests_name("registry_plan", tests, NULL, NULL);
}
