/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/log.h"

/* What the sink was given last. */
struct listener {
    unsigned n_entries;
    enum log_level level;
    enum log_event_id event;
    size_t n_fields;
    char first_field[64];
    char message[4096];
};

static void listen_in(struct log *log, const struct log_entry *entry)
{
    struct listener *l = log->userdata;

    l->n_entries++;
    l->level = entry->level;
    l->event = entry->event;
    l->n_fields = entry->n_fields;
    if (entry->n_fields > 0)
        (void) snprintf(l->first_field, sizeof(l->first_field), "%s", entry->fields[0].value);
    assert_true(strlen(entry->message) < sizeof(l->message));
    memcpy(l->message, entry->message, strlen(entry->message) + 1);
}

#define LOG_TO(l, level) ((struct log){.max_level = (level), .write = listen_in, .userdata = (l)})

static void entries_above_the_level_are_dropped(void **state _unused_)
{
    static const enum log_level levels[] = {LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_NOTICE,
                                            LOG_LEVEL_INFO, LOG_LEVEL_DEBUG};

    for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
        struct listener l = {0};
        struct log log = LOG_TO(&l, levels[i]);
        log_error(&log, "e");
        log_warning(&log, "w");
        log_notice(&log, "n");
        log_info(&log, "i");
        log_debug(&log, "d");
        assert_int_equal(l.n_entries, i + 1);
        assert_int_equal(l.level, levels[i]);
        assert_int_equal(l.event, LOG_EVENT_NONE);
    }
}

static void no_log_is_silence(void **state _unused_)
{
    log_error(NULL, "nobody listens to %d", 1);
}

static void fields_go_along(void **state _unused_)
{
    struct listener l = {0};
    struct log log = LOG_TO(&l, LOG_LEVEL_INFO);

    log_with(&log, LOG_LEVEL_NOTICE, LOG_EVENT_TOKEN_FETCHED, (FIELD("PROFILE", "shop"), FIELD("REASON", "")),
             "%s: fetched %d", "shop", 7);
    assert_int_equal(l.event, LOG_EVENT_TOKEN_FETCHED);
    assert_int_equal(l.n_fields, 2);
    assert_string_equal(l.first_field, "shop");
    assert_string_equal(l.message, "shop: fetched 7");
}

static void control_characters_become_question_marks(void **state _unused_)
{
    struct listener l = {0};
    struct log log = LOG_TO(&l, LOG_LEVEL_INFO);

    log_info(&log, "a%sb", "\n\r\t\x1b[31m\x7f\x01");
    assert_string_equal(l.message, "a????[31m??b");
    /* The C1 controls, which are two bytes of UTF-8: U+009B begins an escape sequence on some terminals. */
    log_info(&log, "a%sb", "\xc2\x9b\x33\x31m\xc2\x85\xc2\x80\xc2\x9f");
    assert_string_equal(l.message, "a??31m??????b");
    log_info(&log, "a%sb", "\xc2\xa0\xc3\xa6\xc3\x98\xe2\x82\xac");
    assert_string_equal(l.message, "a\xc2\xa0\xc3\xa6\xc3\x98\xe2\x82\xac"
                                   "b");
    log_info(&log, "end\xc2");
    assert_string_equal(l.message, "end\xc2");
}

static void long_messages_end_in_dots(void **state _unused_)
{
    struct listener l = {0};
    struct log log = LOG_TO(&l, LOG_LEVEL_INFO);
    char text[3000];

    memset(text, 'x', sizeof(text));
    text[1023] = '\0';
    log_info(&log, "%s", text);
    assert_int_equal(strlen(l.message), 1023);
    assert_string_equal(l.message, text);
    text[1023] = 'x';
    text[sizeof(text) - 1] = '\0';
    log_info(&log, "%s", text);
    assert_int_equal(strlen(l.message), 1023);
    assert_string_equal(l.message + 1019, "x...");
}

/* journalctl shows a message that is not UTF-8 as a blob: the cut falls between characters. */
static void no_character_is_cut_in_two(void **state _unused_)
{
    for (unsigned shift = 0; shift < 3; shift++) {
        struct listener l = {0};
        struct log log = LOG_TO(&l, LOG_LEVEL_INFO);
        char text[3000];
        for (size_t i = 0; i + 3 < sizeof(text); i += 3)
            memcpy(text + i, "\xe2\x82\xac", 4);
        log_info(&log, "%.*s%s", (int) shift, "aa", text);
        size_t length = strlen(l.message);
        assert_true(length >= 1021 && length <= 1023);
        assert_int_equal((length - 3 - shift) % 3, 0);
        assert_string_equal(l.message + length - 3, "...");
        assert_int_equal((unsigned char) l.message[length - 4], 0xac);
    }
}

static void events_have_names_and_ids_of_their_own(void **state _unused_)
{
    for (enum log_event_id i = LOG_EVENT_NONE; i < N_LOG_EVENTS; i++) {
        const char *name = log_event_name(i), *id = log_event_message_id(i);
        assert_true((*name == '\0') == (i == LOG_EVENT_NONE));
        assert_true(strlen(id) == 0 || strlen(id) == 32);
        assert_int_equal(strspn(id, "0123456789abcdef"), strlen(id));
        for (enum log_event_id k = LOG_EVENT_NONE; k < i; k++) {
            assert_string_not_equal(name, log_event_name(k));
            assert_true(*id == '\0' || strcmp(id, log_event_message_id(k)) != 0);
        }
    }
    assert_string_equal(log_event_name(LOG_EVENT_TOKEN_FETCHED), "token-fetched");
}

/* What the manual promises to those who filter the journal. */
static void these_events_can_be_filtered_by_id(void **state _unused_)
{
    static const struct {
        enum log_event_id event;
        const char *name;
        bool has_id;
    } cases[] = {
        {LOG_EVENT_STARTED,           "started",           true },
        {LOG_EVENT_TOKEN_FETCHED,     "token-fetched",     true },
        {LOG_EVENT_REFRESH_FAILED,    "refresh-failed",    true },
        {LOG_EVENT_PROFILE_FAILED,    "profile-failed",    true },
        {LOG_EVENT_RECOVERED,         "recovered",         true },
        {LOG_EVENT_ACCESS_DENIED,     "access-denied",     true },
        {LOG_EVENT_KEY_FALLBACK,      "key-fallback",      true },
        {LOG_EVENT_SETTINGS_RELOADED, "settings-reloaded", true },
        {LOG_EVENT_RELOAD_REFUSED,    "reload-refused",    true },
        {LOG_EVENT_HANDOUT,           "token-handout",     true },
        {LOG_EVENT_HANDOUTS,          "token-handouts",    false},
        {LOG_EVENT_DENIALS,           "access-denials",    false},
        {LOG_EVENT_REJECTED,          "token-rejected",    false},
        {LOG_EVENT_IDLE,              "profile-idle",      false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_string_equal(log_event_name(cases[i].event), cases[i].name);
        assert_int_equal(strlen(log_event_message_id(cases[i].event)), cases[i].has_id ? 32 : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_above_the_level_are_dropped),
        cmocka_unit_test(no_log_is_silence),
        cmocka_unit_test(fields_go_along),
        cmocka_unit_test(control_characters_become_question_marks),
        cmocka_unit_test(long_messages_end_in_dots),
        cmocka_unit_test(no_character_is_cut_in_two),
        cmocka_unit_test(events_have_names_and_ids_of_their_own),
        cmocka_unit_test(these_events_can_be_filtered_by_id),
    };
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
