/* SPDX-License-Identifier: MIT */
#include "config/profile_settings.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "config/profile_draft.h"
#include "config/values.h"

/* Longer texts are pasted by mistake: these go into a status line, a header or a request of a few KiB. */
#define DESCRIPTION_MAX 256
#define TEXT_MAX        1024

/*
 * [Refresh]. At=: 0% would fetch without end, and after 95% one slow answer is an outage. The waits: below
 * 100 ms a retry is a hammer, over an hour a profile stays broken long after its upstream is well. Timeout=:
 * a TLS handshake alone can take most of a second, and no gateway holds a request for 10 minutes.
 */
#define AT_MIN      1
#define AT_MAX      95
#define RETRY_MIN   (100 * USEC_PER_MSEC)
#define RETRY_MAX   USEC_PER_HOUR
#define TIMEOUT_MIN USEC_PER_SEC
#define TIMEOUT_MAX (10 * USEC_PER_MIN)

/*
 * IdleAfter=. A profile that goes idle between two runs of a minutely job asks its issuer more often than one
 * that is refreshed. No token that is kept fresh for a month without anybody's asking is kept for a reason,
 * unless the reason is Preload=yes.
 */
#define IDLE_AFTER_MIN USEC_PER_MIN
#define IDLE_AFTER_MAX (30 * USEC_PER_DAY)

static const char *const provider_words[] = {
    [PROVIDER_VIPPS] = "vipps", [PROVIDER_VIPPS_OAUTH] = "vipps-oauth", [PROVIDER_OAUTH2] = "oauth2"};
static const char *const client_auth_words[] = {[CLIENT_AUTH_BASIC] = "basic",
                                                [CLIENT_AUTH_POST] = "post",
                                                [CLIENT_AUTH_PRIVATE_KEY_JWT] = "private-key-jwt",
                                                [CLIENT_AUTH_TLS] = "tls"};
static const char *const algorithm_words[] = {
    [SIGNING_RS256] = "RS256", [SIGNING_PS256] = "PS256", [SIGNING_ES256] = "ES256"};
static const char *const environment_words[] = {"test", "production"};

static int read_provider(const struct setting_context *context, const char *value, void *target)
{
    (void) context;
    return value_choose(value, provider_words, ARRAY_SIZE(provider_words), target);
}

static int read_client_auth(const struct setting_context *context, const char *value, void *target)
{
    (void) context;
    return value_choose(value, client_auth_words, ARRAY_SIZE(client_auth_words), target);
}

static int read_algorithm(const struct setting_context *context, const char *value, void *target)
{
    (void) context;
    return value_choose(value, algorithm_words, ARRAY_SIZE(algorithm_words), target);
}

static int read_environment(const struct setting_context *context, const char *value, void *target)
{
    unsigned index;

    if (value && value_choose(value, environment_words, ARRAY_SIZE(environment_words), &index) < 0)
        return -EINVAL;
    return value_ascii(context, value, target);
}

/* RFC 8707 section 2: an absolute URI without a fragment. */
static int read_resource(const struct setting_context *context, const char *value, void *target)
{
    struct profile_settings *s = target;

    (void) context;
    if (!value) {
        for (size_t i = 0; i < s->n_resources; i++)
            free(s->resources[i]);
        free(s->resources);
        s->resources = NULL;
        s->n_resources = 0;
        return 0;
    }
    size_t scheme = strcspn(value, ":");
    if (!text_is_ascii(value) || strpbrk(value, " #\"<>\\^`{|}") || value[scheme] == '\0' ||
        value[scheme + 1] == '\0' || scheme == 0 || strcspn(value, "/?") < scheme || strlen(value) > TEXT_MAX)
        return -EINVAL;

    _cleanup_free_ char *copy = strdup(value);
    char **resources = reallocarray(s->resources, s->n_resources + 1, sizeof(*resources));
    if (resources)
        s->resources = resources;
    if (!resources || !copy)
        return -ENOMEM;
    s->resources[s->n_resources++] = TAKE_PTR(copy);
    return 0;
}

#define DRAFT(member) offsetof(struct profile_draft, member)
#define AT(member)    offsetof(struct profile_draft, settings.member)
#define KEY_AT(kind)  (AT(key_files) + (kind) * sizeof(char *))

#define VIPPS         FOR_PROVIDER(PROVIDER_VIPPS)
#define VIPPS_OAUTH   FOR_PROVIDER(PROVIDER_VIPPS_OAUTH)
#define OAUTH2        FOR_PROVIDER(PROVIDER_OAUTH2)
#define ANY_VIPPS     (VIPPS | VIPPS_OAUTH)
#define SHARED        (FOR_AUTH(CLIENT_AUTH_BASIC) | FOR_AUTH(CLIENT_AUTH_POST))
#define JWT           FOR_AUTH(CLIENT_AUTH_PRIVATE_KEY_JWT)
#define TLS           FOR_AUTH(CLIENT_AUTH_TLS)
#define ANY_AUTH      FOR_ANY_AUTH
#define ANY           (FOR_ANY_PROVIDER | FOR_ANY_AUTH)

#define ASCII_ALLOWED "printable ASCII of at most 1024 characters"

/* Section, key, parser, place; whom it is for, limits, default, and what is allowed. */
/* clang-format off */
#define FILE_ROW(section_, key_, offset_, tags_)                                                             \
    {(section_), (key_), value_path, (offset_),                                                              \
     .tags = (tags_), .max = PATH_MAX - 1, .allowed = "the absolute path of a file"}
#define SECRET_ROW(key_) {"Keys", (key_), value_secret, .flags = SETTING_SECRET, .tags = ANY}

static const struct setting rows[] = {
    {"Profile", "Description", value_text, AT(description),
     .tags = ANY, .max = DESCRIPTION_MAX, .allowed = "a text of at most 256 bytes on one line"},
    {"Profile", "Provider", read_provider, AT(provider),
     .tags = ANY, .allowed = "vipps, vipps-oauth or oauth2"},
    {"Profile", "Environment", read_environment, AT(environment),
     .tags = ANY_VIPPS | ANY_AUTH, .allowed = "test or production"},
    {"Profile", "BaseURL", value_base_url, DRAFT(base_url), .tags = ANY_VIPPS | ANY_AUTH},
    {"Profile", "TokenPath", value_url_path, DRAFT(token_path), .tags = VIPPS_OAUTH | ANY_AUTH},
    {"Profile", "Preload", value_bool, AT(is_preloaded),
     .tags = ANY, .fallback = "yes", .allowed = "yes or no"},
    {"Profile", "IdleAfter", value_duration, AT(idle_after_for),
     .tags = ANY, .min = IDLE_AFTER_MIN, .max = IDLE_AFTER_MAX, .fallback = "1h",
     .allowed = "a time from 1min to 30days"},
    {"Profile", "TokenURL", value_url, AT(token_url), .tags = OAUTH2 | ANY_AUTH},
    {"Profile", "ClientAuth", read_client_auth, AT(client_auth),
     .tags = OAUTH2 | ANY_AUTH, .fallback = "basic", .allowed = "basic, post, private-key-jwt or tls"},
    {"Profile", "Scope", value_scope, AT(scope),
     .tags = OAUTH2 | ANY_AUTH, .max = TEXT_MAX,
     .allowed = "words of printable ASCII without \" and \\, single spaces between, at most 1024 characters"},
    {"Profile", "Audience", value_ascii, AT(audience),
     .tags = OAUTH2 | ANY_AUTH, .max = TEXT_MAX, .allowed = ASCII_ALLOWED},
    {"Profile", "Resource", read_resource, DRAFT(settings), SETTING_LIST,
     .tags = OAUTH2 | ANY_AUTH, .allowed = "one absolute URI without a fragment (repeat the key for more)"},
    {"Profile", "SigningAlgorithm", read_algorithm, AT(signing_algorithm),
     .tags = OAUTH2 | JWT, .fallback = "RS256", .allowed = "RS256, PS256 or ES256"},
    {"Profile", "SigningKeyID", value_ascii, AT(signing_key_id),
     .tags = OAUTH2 | JWT, .max = TEXT_MAX, .allowed = ASCII_ALLOWED},
    FILE_ROW("Profile", "TLSCertificateFile", AT(tls_certificate_file), OAUTH2 | TLS),
    FILE_ROW("Profile", "CAFile", AT(ca_file), ANY),

    {"Keys", "ClientID", value_ascii, AT(client_id), .tags = ANY, .max = TEXT_MAX, .allowed = ASCII_ALLOWED},
    FILE_ROW("Keys", "ClientSecretFile", KEY_AT(KEY_CLIENT_SECRET), ANY_VIPPS | OAUTH2 | SHARED),
    FILE_ROW("Keys", "NextClientSecretFile", KEY_AT(KEY_NEXT_CLIENT_SECRET), ANY_VIPPS | OAUTH2 | SHARED),
    FILE_ROW("Keys", "SubscriptionKeyFile", KEY_AT(KEY_SUBSCRIPTION), VIPPS | ANY_AUTH),
    FILE_ROW("Keys", "SecondarySubscriptionKeyFile", KEY_AT(KEY_SECONDARY_SUBSCRIPTION), VIPPS | ANY_AUTH),
    FILE_ROW("Keys", "APISubscriptionKeyFile", KEY_AT(KEY_API_SUBSCRIPTION), VIPPS | ANY_AUTH),
    FILE_ROW("Keys", "TLSKeyFile", KEY_AT(KEY_TLS), OAUTH2 | TLS),
    FILE_ROW("Keys", "SigningKeyFile", KEY_AT(KEY_SIGNING), OAUTH2 | JWT),
    SECRET_ROW("ClientSecret"),
    SECRET_ROW("NextClientSecret"),
    SECRET_ROW("SubscriptionKey"),
    SECRET_ROW("SecondarySubscriptionKey"),
    SECRET_ROW("APISubscriptionKey"),
    SECRET_ROW("TLSKey"),
    SECRET_ROW("SigningKey"),

    {"Headers", NULL, profile_draft_read_header, .tags = ANY},

    {"Refresh", "At", value_percent, AT(refresh.at_percent),
     .tags = ANY, .min = AT_MIN, .max = AT_MAX, .fallback = "50%",
     .allowed = "a whole percentage from 1% to 95%"},
    {"Refresh", "Jitter", value_percent, AT(refresh.jitter_percent),
     .tags = ANY, .max = AT_MAX - 1, .fallback = "10%", .allowed = "a whole percentage from 0% to 94%"},
    {"Refresh", "RetryMin", value_duration, AT(refresh.retry_min_for),
     .tags = ANY, .min = RETRY_MIN, .max = RETRY_MAX, .fallback = "1s", .allowed = "a time from 100ms to 1h"},
    {"Refresh", "RetryMax", value_duration, AT(refresh.retry_max_for),
     .tags = ANY, .min = RETRY_MIN, .max = RETRY_MAX, .fallback = "60s", .allowed = "a time from 100ms to 1h"},
    {"Refresh", "Timeout", value_duration, AT(refresh.timeout_for),
     .tags = ANY, .min = TIMEOUT_MIN, .max = TIMEOUT_MAX, .fallback = "15s",
     .allowed = "a time from 1s to 10min"},

    {"Access", "Allow", value_access, AT(allow), SETTING_LIST, .tags = ANY},
};
/* clang-format on */

static const struct setting_table table = {rows, ARRAY_SIZE(rows)};

const char *client_auth_name(enum client_auth auth)
{
    return client_auth_words[auth];
}

const struct setting_state *profile_draft_state(const struct profile_draft *d, const char *section,
                                                const char *key)
{
    return &d->states[table_find(d->table, section, key)];
}

bool profile_name_is_valid(const char *name)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    size_t size = strlen(name);

    return size >= 1 && size <= PROFILE_NAME_MAX && strchr(first, name[0]) &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == size;
}

static void take_notes(const struct profile_draft *d, struct profile_notes *ret)
{
    const struct setting_state *provider = profile_draft_state(d, "Profile", "Provider");
    const struct setting_state *auth = profile_draft_state(d, "Profile", "ClientAuth");

    *ret = (struct profile_notes){
        .is_provider_known = provider->line && !provider->is_bad && !auth->is_bad,
        .is_access_known = !profile_draft_state(d, "Access", "Allow")->is_bad,
        .ca_line = profile_draft_state(d, "Profile", "CAFile")->line,
        .certificate_line = profile_draft_state(d, "Profile", "TLSCertificateFile")->line,
    };
    for (enum key_kind kind = 0; kind < N_KEY_KINDS; kind++) {
        size_t secret_row = table_find(d->table, "Keys", key_kind_setting(kind));
        ret->is_key_refused[kind] = d->states[secret_row].is_bad;
    }
    for (size_t i = 0; i < d->table->n_rows; i++) {
        size_t kind = (d->table->rows[i].offset - AT(key_files)) / sizeof(char *);
        if (d->table->rows[i].offset < AT(key_files) || kind >= N_KEY_KINDS)
            continue;
        ret->key_lines[kind] = d->states[i].line;
        ret->is_key_refused[kind] |= d->states[i].is_bad;
    }
}

static void draft_done(struct profile_draft *d)
{
    profile_settings_done(&d->settings);
    free(d->base_url);
    free(d->token_path);
}

int profile_settings_parse(const struct settings_text *source, const char *name, struct problems *problems,
                           struct profile_settings *ret, struct profile_notes *ret_notes)
{
    struct setting_state states[ARRAY_SIZE(rows)] = {0};
    _cleanup_(draft_done) struct profile_draft draft = {
        .source = source, .problems = problems, .table = &table, .states = states};
    size_t n_errors_before = problems->n_errors;

    *ret = (struct profile_settings){0};
    *ret_notes = (struct profile_notes){0};
    int r = table_read(&table, source, problems, states, &draft);
    if (r < 0 && r != -EINVAL)
        return r;
    draft.settings.name = strdup(name);
    draft.settings.file = strdup(source->file);
    if (!draft.settings.name || !draft.settings.file)
        return -ENOMEM;
    r = profile_draft_check(&draft);
    if (r < 0)
        return r;
    take_notes(&draft, ret_notes);
    *ret = draft.settings;
    draft.settings = (struct profile_settings){0};
    return problems->n_errors > n_errors_before ? -EINVAL : 0;
}
