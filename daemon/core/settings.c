/* SPDX-License-Identifier: MIT */
#include "core/settings.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

void access_list_done(struct access_list *list)
{
    if (!list)
        return;
    for (size_t i = 0; i < list->n_rules; i++)
        free(list->rules[i].text);
    free(list->rules);
    *list = (struct access_list){0};
}

void profile_settings_done(struct profile_settings *s)
{
    if (!s)
        return;
    char *strings[] = {
        s->name,  s->description, s->file,           s->environment, s->token_url,           s->client_id,
        s->scope, s->audience,    s->signing_key_id, s->ca_file,     s->tls_certificate_file};
    for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
        free(strings[i]);
    for (size_t i = 0; i < s->n_resources; i++)
        free(s->resources[i]);
    free(s->resources);
    for (size_t i = 0; i < s->n_headers; i++) {
        free(s->headers[i].name);
        free(s->headers[i].value);
    }
    free(s->headers);
    access_list_done(&s->allow);
    for (size_t i = 0; i < N_KEY_KINDS; i++) {
        free(s->key_files[i]);
        secret_done(&s->keys[i]);
    }
    secret_done(&s->tls_certificate);
    *s = (struct profile_settings){0};
}

struct profile_settings *profile_settings_ref(struct profile_settings *s)
{
    s->n_refs++;
    return s;
}

void profile_settings_free(struct profile_settings *s)
{
    if (s && s->n_refs > 0) {
        s->n_refs--;
        return;
    }
    profile_settings_done(s);
    free(s);
}

void daemon_settings_done(struct daemon_settings *s)
{
    if (!s)
        return;
    free(s->socket_path);
    free(s->socket_group);
    free(s->profile_directory);
    access_list_done(&s->admin);
    *s = (struct daemon_settings){0};
}

const char *provider_name(enum provider provider)
{
    static const char *const names[] = {
        [PROVIDER_VIPPS] = "vipps",
        [PROVIDER_VIPPS_OAUTH] = "vipps-oauth",
        [PROVIDER_OAUTH2] = "oauth2",
    };
    return names[provider];
}

static const struct {
    const char *credential;
    const char *setting;
    const char *words;
} key_kinds[N_KEY_KINDS] = {
    [KEY_CLIENT_SECRET] = {"client-secret",              "ClientSecret",             "client secret"       },
    [KEY_NEXT_CLIENT_SECRET] = {"next-client-secret",         "NextClientSecret",         "next client secret"  },
    [KEY_SUBSCRIPTION] = {"subscription-key",           "SubscriptionKey",          "subscription key"    },
    [KEY_SECONDARY_SUBSCRIPTION] = {"secondary-subscription-key", "SecondarySubscriptionKey",
                           "secondary subscription key"                                                    },
    [KEY_API_SUBSCRIPTION] = {"api-subscription-key",       "APISubscriptionKey",       "API subscription key"},
    [KEY_TLS] = {"tls-key",                    "TLSKey",                   "TLS key"             },
    [KEY_SIGNING] = {"signing-key",                "SigningKey",               "signing key"         },
};

const char *key_kind_credential(enum key_kind kind)
{
    return key_kinds[kind].credential;
}

const char *key_kind_setting(enum key_kind kind)
{
    return key_kinds[kind].setting;
}

const char *key_kind_words(enum key_kind kind)
{
    return key_kinds[kind].words;
}

/* ---- choosing keys ---- */

const struct secret *profile_settings_client_secret(const struct profile_settings *s,
                                                    struct key_choice choice)
{
    return &s->keys[choice.is_next_secret ? KEY_NEXT_CLIENT_SECRET : KEY_CLIENT_SECRET];
}

const struct secret *profile_settings_subscription_key(const struct profile_settings *s,
                                                       struct key_choice choice)
{
    return &s->keys[choice.is_secondary_subscription ? KEY_SECONDARY_SUBSCRIPTION : KEY_SUBSCRIPTION];
}

bool profile_settings_has_next_secret(const struct profile_settings *s)
{
    return secret_is_set(&s->keys[KEY_NEXT_CLIENT_SECRET]);
}

bool profile_settings_has_secondary(const struct profile_settings *s)
{
    return secret_is_set(&s->keys[KEY_SECONDARY_SUBSCRIPTION]);
}

/* ---- comparing ---- */

/* NULL equals NULL alone. */
static bool text_is_equal(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool secret_is_same(const struct secret *a, const struct secret *b)
{
    return secret_is_set(a) == secret_is_set(b) && (!secret_is_set(a) || secret_equal(a, b));
}

/* The header that names the sales unit: with partner keys it says for whom the token is. */
static const char *merchant_of(const struct profile_settings *s)
{
    for (size_t i = 0; i < s->n_headers; i++) {
        if (strcasecmp(s->headers[i].name, "Merchant-Serial-Number") == 0)
            return s->headers[i].value;
    }
    return NULL;
}

static bool is_same_identity(const struct profile_settings *a, const struct profile_settings *b)
{
    bool is_same = a->provider == b->provider && a->client_auth == b->client_auth &&
                   text_is_equal(a->token_url, b->token_url) && text_is_equal(a->client_id, b->client_id) &&
                   text_is_equal(a->scope, b->scope) && text_is_equal(a->audience, b->audience) &&
                   text_is_equal(merchant_of(a), merchant_of(b)) && a->n_resources == b->n_resources;

    for (size_t i = 0; is_same && i < a->n_resources; i++)
        is_same = text_is_equal(a->resources[i], b->resources[i]);
    return is_same;
}

static bool has_same_keys(const struct profile_settings *a, const struct profile_settings *b)
{
    bool is_same = a->signing_algorithm == b->signing_algorithm && a->n_headers == b->n_headers &&
                   text_is_equal(a->signing_key_id, b->signing_key_id) &&
                   text_is_equal(a->ca_file, b->ca_file) &&
                   secret_is_same(&a->tls_certificate, &b->tls_certificate);

    for (size_t i = 0; is_same && i < a->n_headers; i++)
        is_same = text_is_equal(a->headers[i].name, b->headers[i].name) &&
                  text_is_equal(a->headers[i].value, b->headers[i].value);
    for (size_t i = 0; is_same && i < N_KEY_KINDS; i++)
        is_same = secret_is_same(&a->keys[i], &b->keys[i]);
    return is_same;
}

static bool has_same_policy(const struct profile_settings *a, const struct profile_settings *b)
{
    const struct refresh_policy *p = &a->refresh, *q = &b->refresh;

    return p->at_percent == q->at_percent && p->jitter_percent == q->jitter_percent &&
           p->retry_min_for == q->retry_min_for && p->retry_max_for == q->retry_max_for &&
           p->timeout_for == q->timeout_for && a->is_preloaded == b->is_preloaded &&
           a->idle_after_for == b->idle_after_for;
}

static bool has_same_access(const struct profile_settings *a, const struct profile_settings *b)
{
    bool is_same = text_is_equal(a->description, b->description) && a->allow.n_rules == b->allow.n_rules;

    for (size_t i = 0; is_same && i < a->allow.n_rules; i++) {
        const struct access_rule *r = &a->allow.rules[i], *q = &b->allow.rules[i];
        /* The id too: a name can have come to mean another user. */
        is_same = r->kind == q->kind && r->id == q->id && text_is_equal(r->text, q->text);
    }
    return is_same;
}

enum settings_change profile_settings_compare(const struct profile_settings *a,
                                              const struct profile_settings *b)
{
    if (!is_same_identity(a, b))
        return CHANGE_IDENTITY;
    if (!has_same_keys(a, b))
        return CHANGE_KEYS;
    if (!has_same_policy(a, b))
        return CHANGE_POLICY;
    return has_same_access(a, b) ? CHANGE_NONE : CHANGE_ACCESS;
}

const char *settings_change_name(enum settings_change change)
{
    static const char *const names[] = {
        [CHANGE_NONE] = "none", [CHANGE_ACCESS] = "access",     [CHANGE_POLICY] = "policy",
        [CHANGE_KEYS] = "keys", [CHANGE_IDENTITY] = "identity",
    };
    return names[change];
}
