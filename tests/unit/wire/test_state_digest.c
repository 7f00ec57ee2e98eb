/* SPDX-License-Identifier: MIT */
/* OpenSSL's digests allocate: where memory is out there is no checksum, and nothing is done in its place. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/sha.h>

#include "wire/state.h"
#include "wire_fixture.h"

#define N_SLOTS ((size_t) 2)
#define SIZE    (STATE_HEADER_SIZE + N_SLOTS * STATE_SLOT_SIZE_MIN)

static const uint8_t boot[STATE_BOOT_ID_SIZE] = {1};
static _Alignas(4096) char memory[SIZE];
static unsigned n_good; /* so many more succeed */

unsigned char *__real_SHA256(const unsigned char *data, size_t size, unsigned char *ret);
unsigned char *__wrap_SHA256(const unsigned char *data, size_t size, unsigned char *ret);

unsigned char *__wrap_SHA256(const unsigned char *data, size_t size, unsigned char *ret)
{
    return n_good > 0 && n_good-- > 0 ? __real_SHA256(data, size, ret) : NULL;
}

static void nothing_is_written_without_a_checksum(void **state _unused_)
{
    struct state_region r = {
        .bytes = memory, .size = SIZE, .slot_size = STATE_SLOT_SIZE_MIN, .n_slots = N_SLOTS};
    const char *bytes, *problem = NULL;
    uint64_t sequence;
    size_t size;

    n_good = 0;
    assert_int_equal(state_region_format(&r, boot), -ENOMEM);
    n_good = UINT32_MAX;
    assert_int_equal(state_region_format(&r, boot), 0);
    assert_int_equal(state_region_write(&r, 0, "old", 3), 0);
    for (unsigned n = 0; n < 2; n++) {
        n_good = n;
        assert_int_equal(state_region_write(&r, 1, "new", 3), -ENOMEM);
        n_good = n;
        assert_int_equal(state_region_read(&r, 0, &sequence, &bytes, &size), -ENOMEM);
        n_good = UINT32_MAX;
        assert_int_equal(state_region_read(&r, 0, &sequence, &bytes, &size), 0);
        assert_int_equal(state_region_read(&r, 1, &sequence, &bytes, &size), -ENOENT);
        assert_int_equal(r.sequence, 1);
    }
    n_good = 0;
    assert_int_equal(state_region_open(&r, boot, &problem), -EBADMSG);
    assert_string_equal(problem, "memory is out");
}

static void nobody_is_identified_without_a_digest(void **state _unused_)
{
    struct profile_settings s = fixture_vipps();
    uint8_t digest[SAVED_DIGEST_SIZE];

    n_good = 0;
    assert_int_equal(state_identity(&s, digest), -ENOMEM);
    profile_settings_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_written_without_a_checksum),
        cmocka_unit_test(nobody_is_identified_without_a_digest),
    };
    return cmocka_run_group_tests_name("state, without memory", tests, NULL, NULL);
}
