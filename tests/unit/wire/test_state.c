/* SPDX-License-Identifier: MIT */
/* The region that outlives the process: what was written is read, and nothing else is. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/sha.h>

#include "wire/state.h"
#include "wire_fixture.h"

#define N_SLOTS ((size_t) 4)
#define SIZE    (STATE_HEADER_SIZE + N_SLOTS * STATE_SLOT_SIZE_MIN)

static const uint8_t boot[STATE_BOOT_ID_SIZE] = {1, 2, 3, 4, 5};

/* Aligned as a mapping is. */
static _Alignas(4096) char memory[SIZE];

/* ---- records ---- */

static struct saved_profile make_saved(const char *name, const char *token)
{
    struct saved_profile s = {
        .token = {.type = "Bearer",
                  .fingerprint = "0123456789abcdef",
                  .sent_at = 1000,
                  .lifetime_for = 3600000000,
                  .expires_at = 3600001000},
        .generation = 7,
        .generation_floor = 5,
        .arrived_at = 2000,
        .refresh_at = 1800000000,
        .used_at = 3000,
        .failed_at = 4000,
        .probe_at = 5000,
        .demand_debt_at = 6000,
        .reports = {.debt_at = 7000,
                  .reporters = {{33, 1}, {34, 2}, {35, 3}, {36, 4}},
                  .is_refusal_told = true},
        .was_fetching = true,
        .was_sent = true,
        .n_failures = 2,
        .n_interrupted = 3,
        .failure = {.class = FAILURE_PERMANENT,
                  .reason = REASON_FORBIDDEN,
                  .http_status = 403,
                  .retry_after_for = 8000,
                  .message = "vipps answered 403: no \xc3\xa6"},
        .has_failed_ever = true,
        .choice = {.is_next_secret = true                         },
        .token_choice = {.is_secondary_subscription = true        },
        .noted_choice = {.is_next_secret = true,                          .is_secondary_subscription = true                     },
    };

    (void) snprintf(s.name, sizeof(s.name), "%s", name);
    memset(s.identity, 0xab, sizeof(s.identity));
    if (token)
        assert_int_equal(secret_set(&s.token.value, token, strlen(token)), 0);
    return s;
}

static void assert_same(const struct saved_profile *a, const struct saved_profile *b)
{
    struct saved_profile x = *a, y = *b;

    assert_int_equal(secret_is_set(&a->token.value), secret_is_set(&b->token.value));
    if (secret_is_set(&a->token.value))
        assert_true(secret_equal(&a->token.value, &b->token.value));
    x.token.value = y.token.value = SECRET_INIT;
    /* Member by member: what lies between them is nobody's. */
    _cleanup_(buffer_done) struct buffer p = BUFFER_INIT(4096), q = BUFFER_INIT(4096);
    state_write_record(&p, &x);
    state_write_record(&q, &y);
    assert_int_equal(p.size, q.size);
    assert_memory_equal(p.data, q.data, p.size);
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->generation, b->generation);
    assert_int_equal(a->generation_floor, b->generation_floor);
    assert_int_equal(a->reports.reporters[3].debt_at, b->reports.reporters[3].debt_at);
    assert_int_equal(a->failure.http_status, b->failure.http_status);
    assert_string_equal(a->failure.message, b->failure.message);
    assert_int_equal(a->noted_choice.is_secondary_subscription, b->noted_choice.is_secondary_subscription);
    assert_int_equal(a->n_interrupted, b->n_interrupted);
}

static void what_is_written_is_read(void **state _unused_)
{
    const char *const tokens[] = {NULL, "x", "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.e30.x"};

    for (size_t i = 0; i < ARRAY_SIZE(tokens); i++) {
        _cleanup_(saved_profile_done) struct saved_profile in = make_saved("shop", tokens[i]), out = {0};
        _cleanup_(buffer_done) struct buffer b = BUFFER_INIT_SECRET(STATE_SLOT_SIZE_MAX);
        state_write_record(&b, &in);
        assert_int_equal(buffer_error(&b), 0);
        assert_int_equal(b.size, state_record_size() + (tokens[i] ? strlen(tokens[i]) : 0));
        assert_int_equal(state_read_record(b.data, b.size, &out), 0);
        assert_same(&in, &out);
    }
}

static void the_longest_token_fits_the_largest_slot(void **state _unused_)
{
    _cleanup_(saved_profile_done) struct saved_profile in = make_saved("shop", NULL), out = {0};
    _cleanup_(buffer_done) struct buffer b = BUFFER_INIT_SECRET(STATE_SLOT_SIZE_MAX);
    char *token = calloc(1, TOKEN_VALUE_MAX + 1);

    assert_non_null(token);
    memset(token, 'x', TOKEN_VALUE_MAX);
    assert_int_equal(secret_set(&in.token.value, token, TOKEN_VALUE_MAX), 0);
    state_write_record(&b, &in);
    assert_true(b.size + STATE_SLOT_OVERHEAD <= STATE_SLOT_SIZE_MAX);
    assert_int_equal(state_read_record(b.data, b.size, &out), 0);
    assert_same(&in, &out);
    /* One byte more is none of ours. */
    buffer_append_char(&b, 'x');
    assert_int_equal(state_read_record(b.data, b.size, &out), -EBADMSG);
    free(token);
}

/* What lies in memory behind the end of a text, or between members, is not written. */
static void only_what_is_meant_is_written(void **state _unused_)
{
    struct saved_profile a, b;
    _cleanup_(buffer_done) struct buffer x = BUFFER_INIT(4096), y = BUFFER_INIT(4096);

    memset(&a, 0x55, sizeof(a));
    memset(&b, 0xaa, sizeof(b));
    struct saved_profile *both[] = {&a, &b};
    for (size_t i = 0; i < 2; i++) {
        struct saved_profile *s = both[i];
        struct saved_profile clean = make_saved("shop", NULL);
        uint8_t behind = i ? 0xaa : 0x55;
        s->token = clean.token;
        s->generation = s->generation_floor = 1;
        s->arrived_at = s->refresh_at = s->used_at = s->failed_at = s->probe_at = s->demand_debt_at = 2;
        s->reports.debt_at = 3;
        s->reports.is_refusal_told = s->was_fetching = s->was_sent = s->is_idle = s->has_failed_ever = true;
        for (size_t k = 0; k < REPORTERS_MAX; k++) {
            s->reports.reporters[k].uid = 4;
            s->reports.reporters[k].debt_at = 5;
        }
        s->n_failures = s->n_interrupted = 6;
        s->failure.class = FAILURE_TRANSIENT;
        s->failure.reason = REASON_CONNECT;
        s->failure.http_status = 0;
        s->failure.retry_after_for = 0;
        s->choice = s->token_choice = s->noted_choice = clean.choice;
        memcpy(s->identity, clean.identity, sizeof(s->identity));
        memset(s->failure.message, behind, sizeof(s->failure.message));
        memset(s->name, behind, sizeof(s->name));
        memcpy(s->failure.message, "why", 4);
        memcpy(s->name, "shop", 5);
    }
    state_write_record(&x, &a);
    state_write_record(&y, &b);
    assert_int_equal(x.size, y.size);
    assert_memory_equal(x.data, y.data, x.size);
}

/* Any byte can be anything: what is read is sane then, or refused. The sanitizers see what else there is. */
static void a_made_up_record_is_sane_or_refused(void **state _unused_)
{
    _cleanup_(saved_profile_done) struct saved_profile in = make_saved("shop", "token");
    _cleanup_(buffer_done) struct buffer b = BUFFER_INIT(4096);
    unsigned n_taken = 0;

    state_write_record(&b, &in);
    for (size_t i = 0; i < b.size; i++) {
        for (unsigned value = 0; value < 256; value++) {
            _cleanup_(saved_profile_done) struct saved_profile out = {0};
            char before = b.data[i];
            b.data[i] = (char) value;
            int r = state_read_record(b.data, b.size, &out);
            b.data[i] = before;
            assert_true(r == 0 || r == -EBADMSG);
            if (r < 0)
                continue;
            n_taken++;
            assert_true(out.name[0] && memchr(out.name, '\0', sizeof(out.name)));
            assert_true(strcspn(out.failure.message, "\r\n") == strlen(out.failure.message));
            assert_true(strcspn(out.token.type, "\r\n\x01") == strlen(out.token.type));
            assert_true(strlen(out.token.fingerprint) == FINGERPRINT_SIZE - 1);
            assert_true((unsigned) out.failure.reason < N_FAILURE_REASONS);
            assert_true(out.token.expires_at == out.token.sent_at + out.token.lifetime_for);
            assert_true(out.has_failed_ever || out.n_failures == 0);
            assert_true(out.generation < out.generation + 1000);
            assert_true(out.generation_floor < out.generation_floor + 1000);
            /* It goes into a header. */
            for (const char *c = secret_peek(&out.token.value); *c; c++)
                assert_in_range(*c, 0x21, 0x7e);
            assert_int_equal(strlen(secret_peek(&out.token.value)), out.token.value.size);
        }
    }
    assert_true(n_taken > 256);
    for (size_t size = 0; size < state_record_size(); size++) {
        struct saved_profile out;
        assert_int_equal(state_read_record(b.data, size, &out), -EBADMSG);
    }
}

/* ---- identity ---- */

static void identity_of(const struct profile_settings *s, uint8_t ret[static SAVED_DIGEST_SIZE])
{
    assert_int_equal(state_identity(s, ret), 0);
}

static void assert_other(const struct profile_settings *s, const uint8_t *before)
{
    uint8_t now[SAVED_DIGEST_SIZE];

    identity_of(s, now);
    assert_memory_not_equal(now, before, sizeof(now));
}

/* All that a reload would not keep the token over, and nothing that it would. */
static void the_identity_is_what_makes_a_token_ones_own(void **state _unused_)
{
    uint8_t before[SAVED_DIGEST_SIZE], again[SAVED_DIGEST_SIZE];

    struct profile_settings s = fixture_vipps();
    identity_of(&s, before);
    fixture_set(&s.description, "Another shop");
    fixture_set(&s.name, "other");
    s.refresh.at_percent = 20;
    s.is_preloaded = !s.is_preloaded;
    identity_of(&s, again);
    assert_memory_equal(before, again, sizeof(before));

    fixture_set(&s.token_url, "https://elsewhere.example/");
    assert_other(&s, before);
    profile_settings_done(&s);
    s = fixture_vipps();
    fixture_set(&s.client_id, "another");
    assert_other(&s, before);
    profile_settings_done(&s);
    for (size_t i = 0; i < N_KEY_KINDS; i++) {
        s = fixture_vipps();
        fixture_set_key(&s, (enum key_kind) i, "another key");
        assert_other(&s, before);
        profile_settings_done(&s);
    }
    s = fixture_vipps();
    fixture_set(&s.scope, "x");
    assert_other(&s, before);
    profile_settings_done(&s);
    s = fixture_vipps();
    fixture_set(&s.ca_file, "/other.pem");
    assert_other(&s, before);
    profile_settings_done(&s);
}

/* "ab" and "c" are not "a" and "bc". */
static void parts_do_not_run_into_each_other(void **state _unused_)
{
    uint8_t one[SAVED_DIGEST_SIZE];

    struct profile_settings s = fixture_oauth2();
    fixture_set(&s.scope, "ab");
    fixture_set(&s.audience, "c");
    identity_of(&s, one);
    fixture_set(&s.scope, "a");
    fixture_set(&s.audience, "bc");
    assert_other(&s, one);
    profile_settings_done(&s);
}

/* ---- the region ---- */

static struct state_region format(void)
{
    struct state_region r = {
        .bytes = memory, .size = SIZE, .slot_size = STATE_SLOT_SIZE_MIN, .n_slots = N_SLOTS};

    memset(memory, 0, sizeof(memory));
    assert_int_equal(state_region_format(&r, boot), 0);
    return r;
}

/* Opens what is in memory as the next process would: NULL, or the problem. */
static const char *reopen(size_t size, struct state_region *ret)
{
    const char *problem = NULL;

    *ret = (struct state_region){.bytes = memory, .size = size};
    int r = state_region_open(ret, boot, &problem);
    assert_int_equal(r, problem ? -EBADMSG : 0);
    return problem;
}

static void assert_slot(const struct state_region *r, size_t slot, int expected, const char *text)
{
    const char *bytes;
    uint64_t sequence;
    size_t size;

    assert_int_equal(state_region_read(r, slot, &sequence, &bytes, &size), expected);
    if (expected < 0)
        return;
    assert_int_equal(size, strlen(text));
    assert_memory_equal(bytes, text, size);
    assert_true(sequence > 0);
}

static void slots_are_written_read_and_wiped(void **state _unused_)
{
    struct state_region r = format(), next;

    for (size_t i = 0; i < N_SLOTS; i++)
        assert_slot(&r, i, -ENOENT, NULL);
    assert_int_equal(state_region_write(&r, 2, "one", 3), 0);
    assert_int_equal(state_region_write(&r, 0, "three", 5), 0);
    assert_null(reopen(SIZE, &next));
    assert_int_equal(next.n_slots, N_SLOTS);
    assert_int_equal(next.slot_size, STATE_SLOT_SIZE_MIN);
    assert_int_equal(next.sequence, 2);
    assert_slot(&next, 2, 0, "one");
    assert_slot(&next, 0, 0, "three");
    assert_slot(&next, 1, -ENOENT, NULL);
    state_region_wipe(&next, 2);
    assert_slot(&next, 2, -ENOENT, NULL);
    /* Not a byte is left. */
    for (size_t i = 0; i < STATE_SLOT_SIZE_MIN; i++)
        assert_int_equal(memory[STATE_HEADER_SIZE + 2 * STATE_SLOT_SIZE_MIN + i], 0);
}

static void what_does_not_fit_is_not_written(void **state _unused_)
{
    static char large[STATE_SLOT_SIZE_MIN];
    struct state_region r = format();

    assert_int_equal(state_region_write(&r, 1, large, STATE_SLOT_SIZE_MIN - STATE_SLOT_OVERHEAD + 1), -EFBIG);
    assert_int_equal(state_region_write(&r, 1, large, SIZE_MAX), -EFBIG);
    assert_int_equal(state_region_write(&r, 1, large, 0), -EFBIG);
    assert_slot(&r, 1, -ENOENT, NULL);
    assert_int_equal(r.sequence, 0);
    assert_int_equal(state_region_write(&r, 1, large, STATE_SLOT_SIZE_MIN - STATE_SLOT_OVERHEAD), 0);
    assert_slot(&r, 2, -ENOENT, NULL);
}

/* The header as it lies in memory, to be forged. */
struct header {
    char magic[16];
    uint64_t version, slot_size, n_slots, record_size;
    uint8_t boot_id[STATE_BOOT_ID_SIZE];
    uint8_t checksum[SHA256_DIGEST_LENGTH];
};

static void sign(struct header *h)
{
    (void) SHA256((const unsigned char *) h, offsetof(struct header, checksum), h->checksum);
}

static void a_region_of_another_kind_is_not_opened(void **state _unused_)
{
    struct header *h = (struct header *) memory, good;
    struct state_region next;

    (void) format();
    assert_null(reopen(SIZE, &next));
    good = *h;
    assert_int_equal(good.version, STATE_VERSION);

    static const struct {
        size_t offset;
        uint64_t value;
        const char *problem;
    } forged[] = {
        {offsetof(struct header, magic),       0,                       "not a state of bearerd"},
        {offsetof(struct header, version),     STATE_VERSION + 1,       "another version"       },
        {offsetof(struct header, version),     0,                       "another version"       },
        {offsetof(struct header, record_size), 8,                       "another version"       },
        {offsetof(struct header, boot_id),     77,                      "another boot"          },
        {offsetof(struct header, slot_size),   0,                       "of no size of ours"    },
        {offsetof(struct header, slot_size),   4095,                    "of no size of ours"    },
        {offsetof(struct header, slot_size),   4097,                    "of no size of ours"    },
        {offsetof(struct header, slot_size),   2 * STATE_SLOT_SIZE_MAX, "of no size of ours"    },
        {offsetof(struct header, slot_size),   UINT64_MAX - 4095,       "of no size of ours"    },
        {offsetof(struct header, n_slots),     N_SLOTS + 1,             "cut off"               },
        {offsetof(struct header, n_slots),     UINT64_MAX,              "cut off"               },
        {offsetof(struct header, n_slots),     (UINT64_MAX / 4096) + 1, "cut off"               },
    };
    for (size_t i = 0; i < ARRAY_SIZE(forged); i++) {
        *h = good;
        memcpy(memory + forged[i].offset, &forged[i].value, sizeof(uint64_t));
        sign(h);
        const char *problem = reopen(SIZE, &next);
        assert_non_null(problem);
        assert_non_null(strstr(problem, forged[i].problem));
    }
    /* Any bit of it. */
    for (size_t i = 0; i < 8 * sizeof(good); i++) {
        *h = good;
        memory[i / 8] = (char) (memory[i / 8] ^ (1 << i % 8));
        assert_non_null(reopen(SIZE, &next));
    }
    *h = good;
    for (size_t size = 0; size < SIZE; size += 512)
        assert_non_null(reopen(size, &next));
    assert_null(reopen(SIZE, &next));
}

static void a_damaged_slot_is_not_read(void **state _unused_)
{
    struct state_region r = format();
    char *slot = memory + STATE_HEADER_SIZE + STATE_SLOT_SIZE_MIN;

    assert_int_equal(state_region_write(&r, 1, "record", 6), 0);
    for (size_t i = 0; i < 8 * (STATE_SLOT_OVERHEAD + 6); i++) {
        slot[i / 8] = (char) (slot[i / 8] ^ (1 << i % 8));
        assert_slot(&r, 1, -EBADMSG, NULL);
        slot[i / 8] = (char) (slot[i / 8] ^ (1 << i % 8));
    }
    assert_slot(&r, 1, 0, "record");
}

/* A slot with any number and a right checksum. */
static void forge_slot(size_t i, uint64_t sequence, uint64_t size)
{
    char *slot = memory + STATE_HEADER_SIZE + i * STATE_SLOT_SIZE_MIN;
    uint8_t parts[16 + SHA256_DIGEST_LENGTH];

    memcpy(slot, &sequence, 8);
    memcpy(slot + 8, &size, 8);
    memcpy(parts, slot, 16);
    (void) SHA256((const unsigned char *) slot + STATE_SLOT_OVERHEAD,
                  size < STATE_SLOT_SIZE_MIN ? size : STATE_SLOT_SIZE_MIN, parts + 16);
    (void) SHA256(parts, sizeof(parts), (unsigned char *) slot + 16);
}

/* A highest number, behind which the next would be "free". */
static void no_number_makes_the_next_one_wrap(void **state _unused_)
{
    struct state_region r = format(), next;

    (void) r;
    forge_slot(0, UINT64_MAX, 10);
    forge_slot(1, UINT64_MAX / 2 + 1, 10);
    forge_slot(2, 5, 10);
    forge_slot(3, 6, UINT64_MAX);
    assert_null(reopen(SIZE, &next));
    assert_int_equal(next.sequence, 5);
    assert_slot(&next, 0, -EBADMSG, NULL);
    assert_slot(&next, 1, -EBADMSG, NULL);
    assert_slot(&next, 3, -EBADMSG, NULL);
    state_region_wipe(&next, 0);
    assert_int_equal(state_region_write(&next, 0, "new", 3), 0);
    assert_slot(&next, 0, 0, "new");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(the_longest_token_fits_the_largest_slot),
        cmocka_unit_test(only_what_is_meant_is_written),
        cmocka_unit_test(a_made_up_record_is_sane_or_refused),
        cmocka_unit_test(the_identity_is_what_makes_a_token_ones_own),
        cmocka_unit_test(parts_do_not_run_into_each_other),
        cmocka_unit_test(slots_are_written_read_and_wiped),
        cmocka_unit_test(what_does_not_fit_is_not_written),
        cmocka_unit_test(a_region_of_another_kind_is_not_opened),
        cmocka_unit_test(a_damaged_slot_is_not_read),
        cmocka_unit_test(no_number_makes_the_next_one_wrap),
    };
    return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
