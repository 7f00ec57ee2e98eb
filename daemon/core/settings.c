/* SPDX-License-Identifier: MIT */
#include "core/settings.h"

#include <stdlib.h>

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

void profile_settings_free(struct profile_settings *s)
{
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
} key_kinds[N_KEY_KINDS] = {
    [KEY_CLIENT_SECRET] = {"client-secret",        "ClientSecret"      },
    [KEY_SUBSCRIPTION] = {"subscription-key",     "SubscriptionKey"   },
    [KEY_API_SUBSCRIPTION] = {"api-subscription-key", "APISubscriptionKey"},
    [KEY_TLS] = {"tls-key",              "TLSKey"            },
    [KEY_SIGNING] = {"signing-key",          "SigningKey"        },
};

const char *key_kind_credential(enum key_kind kind)
{
    return key_kinds[kind].credential;
}

const char *key_kind_setting(enum key_kind kind)
{
    return key_kinds[kind].setting;
}
