/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "config/profile_draft.h"
#include "config/url.h"

/* What no single line of a profile can tell: what is missing, what does not go together, and the URL made of
 * it all. */

/* The path of the newer token endpoint; TokenPath= is there for the day it is renamed. */
#define TOKEN_PATH_VIPPS       "/accesstoken/get"
#define TOKEN_PATH_VIPPS_OAUTH "/miami/v1/token"

static const struct {
    const char *environment;
    const char *base_url;
} environments[] = {
    {"test",       "https://apitest.vipps.no"},
    {"production", "https://api.vipps.no"    },
};

#define report(d, line, ...) problem_error((d)->problems, (d)->source->file, (line), __VA_ARGS__)

static bool is_set(const struct profile_draft *d, const char *section, const char *key)
{
    return profile_draft_state(d, section, key)->line > 0;
}

static unsigned line_of(const struct profile_draft *d, const char *section, const char *key)
{
    return profile_draft_state(d, section, key)->line;
}

/* ---- keys that are not for this provider ---- */

/* "vipps or vipps-oauth": the providers of a row. */
static const char *list_providers(unsigned tags, struct buffer *list)
{
    for (enum provider p = PROVIDER_VIPPS; p <= PROVIDER_OAUTH2; p++) {
        if (!(tags & FOR_PROVIDER(p)))
            continue;
        buffer_append_string(list, list->size > 0 ? " or " : "");
        buffer_append_string(list, provider_name(p));
    }
    return buffer_peek(list);
}

static const char *list_auths(unsigned tags, struct buffer *list)
{
    for (enum client_auth a = CLIENT_AUTH_BASIC; a <= CLIENT_AUTH_TLS; a++) {
        if (!(tags & FOR_AUTH(a)))
            continue;
        buffer_append_string(list, list->size > 0 ? " or " : "");
        buffer_append_string(list, client_auth_name(a));
    }
    return buffer_peek(list);
}

static void check_row(const struct profile_draft *d, const struct setting *row, unsigned line)
{
    enum provider provider = d->settings.provider;
    _cleanup_(buffer_done) struct buffer list = BUFFER_INIT(256);

    if (!(row->tags & FOR_PROVIDER(provider)))
        report(d, line, "%s= is not for Provider=%s, only for %s", row->key, provider_name(provider),
               list_providers(row->tags, &list));
    else if (provider == PROVIDER_OAUTH2 && !profile_draft_state(d, "Profile", "ClientAuth")->is_bad &&
             !(row->tags & FOR_AUTH(d->settings.client_auth)))
        report(d, line, "%s= is not for ClientAuth=%s, only for %s", row->key,
               client_auth_name(d->settings.client_auth), list_auths(row->tags, &list));
}

/* ---- where the token comes from ---- */

static int set_token_url(struct profile_draft *d, const char *base, const char *path)
{
    size_t size = strlen(base);
    char *url;

    while (size > 0 && base[size - 1] == '/')
        size--;
    if (asprintf(&url, "%.*s%s", (int) size, base, path) < 0)
        return -ENOMEM;
    free(d->settings.token_url);
    d->settings.token_url = url;
    return 0;
}

static int compose_vipps(struct profile_draft *d)
{
    const char *path = d->settings.provider == PROVIDER_VIPPS ? TOKEN_PATH_VIPPS
                       : d->token_path                        ? d->token_path
                                                              : TOKEN_PATH_VIPPS_OAUTH;
    bool has_base = is_set(d, "Profile", "BaseURL"), has_environment = is_set(d, "Profile", "Environment");

    if (has_base && has_environment)
        report(d, line_of(d, "Profile", "BaseURL"),
               "BaseURL= stands instead of Environment= (line %u): leave one of them out",
               line_of(d, "Profile", "Environment"));
    if (!has_base && !has_environment)
        report(d, 0, "[Profile] Environment= is missing: test or production");
    if (d->base_url)
        return set_token_url(d, d->base_url, path);
    for (size_t i = 0; d->settings.environment && i < ARRAY_SIZE(environments); i++) {
        if (strcmp(d->settings.environment, environments[i].environment) == 0)
            return set_token_url(d, environments[i].base_url, path);
    }
    return 0;
}

static void check_oauth2(const struct profile_draft *d)
{
    if (!is_set(d, "Profile", "TokenURL"))
        report(d, 0, "[Profile] TokenURL= is missing: the https:// URL of the issuer's token endpoint");
    if (profile_draft_state(d, "Profile", "ClientAuth")->is_bad || d->settings.client_auth != CLIENT_AUTH_TLS)
        return;
    if (!is_set(d, "Profile", "TLSCertificateFile"))
        report(d, line_of(d, "Profile", "ClientAuth"),
               "ClientAuth=tls needs TLSCertificateFile=, the client's certificate in PEM form");
    if (d->settings.token_url && !url_is_https(d->settings.token_url))
        report(d, line_of(d, "Profile", "ClientAuth"), "ClientAuth=tls needs an https:// TokenURL=");
}

/* ---- ids and times ---- */

static void check_client_id(const struct profile_draft *d)
{
    const char *id = d->settings.client_id;

    if (!is_set(d, "Keys", "ClientID"))
        report(d, 0, "[Keys] ClientID= is missing");
    if (id && d->settings.provider != PROVIDER_OAUTH2 && strlen(id) == 32 &&
        strspn(id, "0123456789abcdefABCDEF") == 32)
        problem_warning(d->problems, d->source->file, line_of(d, "Keys", "ClientID"),
                        "ClientID= looks like a subscription key (32 hex digits); a client id looks like "
                        "fb492b5e-7907-4d83-ba20-c7fb60ca35de");
}

/* Two settings of [Refresh] that must go together. A default is named as one, since nobody sees it in the
 * file. */
static void check_pair(const struct profile_draft *d, const char *smaller, const char *larger,
                       const char *text)
{
    unsigned line_a = line_of(d, "Refresh", smaller), line_b = line_of(d, "Refresh", larger);
    const char *unset = !line_a ? smaller : !line_b ? larger : NULL;

    if (unset)
        report(d, line_a > line_b ? line_a : line_b, "%s; %s= is at its default, set it too", text, unset);
    else
        report(d, line_a > line_b ? line_a : line_b, "%s", text);
}

static bool is_good(const struct profile_draft *d, const char *key)
{
    return !profile_draft_state(d, "Refresh", key)->is_bad;
}

static void check_refresh(const struct profile_draft *d)
{
    const struct refresh_policy *policy = &d->settings.refresh;
    char text[192];

    if (is_good(d, "At") && is_good(d, "Jitter") && policy->jitter_percent >= policy->at_percent) {
        (void) snprintf(text, sizeof(text), "Jitter= (%u%%) must be less than At= (%u%%)",
                        policy->jitter_percent, policy->at_percent);
        check_pair(d, "Jitter", "At", text);
    }
    if (is_good(d, "RetryMin") && is_good(d, "RetryMax") && policy->retry_max_for < policy->retry_min_for) {
        char low[SPAN_SIZE], high[SPAN_SIZE];
        (void) snprintf(text, sizeof(text), "RetryMax= (%s) must not be less than RetryMin= (%s)",
                        usec_format_span(policy->retry_max_for, high),
                        usec_format_span(policy->retry_min_for, low));
        check_pair(d, "RetryMin", "RetryMax", text);
    }
}

/* A warning only: with both lines there, Preload= alone is what is changed to and fro. */
static void check_idle(const struct profile_draft *d)
{
    unsigned line = line_of(d, "Profile", "IdleAfter"), preload = line_of(d, "Profile", "Preload");

    if (!line || !d->settings.is_preloaded || profile_draft_state(d, "Profile", "Preload")->is_bad)
        return;
    if (preload)
        problem_warning(d->problems, d->source->file, line,
                        "IdleAfter= does nothing with Preload=yes (line %u)", preload);
    else
        problem_warning(d->problems, d->source->file, line,
                        "IdleAfter= does nothing without Preload=no; Preload= is at its default, yes");
}

static void check_access(const struct profile_draft *d)
{
    if (!is_set(d, "Access", "Allow"))
        problem_warning(d->problems, d->source->file, 0,
                        "[Access] Allow= is not set: nobody may use this profile");
}

int profile_draft_check(struct profile_draft *d)
{
    const struct setting_state *provider = profile_draft_state(d, "Profile", "Provider");
    int r = 0;

    check_client_id(d);
    check_refresh(d);
    check_idle(d);
    check_access(d);
    if (!provider->line)
        report(d, 0, "[Profile] Provider= is missing: vipps, vipps-oauth or oauth2");
    if (!provider->line || provider->is_bad)
        return 0;

    for (size_t i = 0; i < d->table->n_rows; i++) {
        if (d->table->rows[i].key && d->states[i].line)
            check_row(d, &d->table->rows[i], d->states[i].line);
    }
    profile_draft_check_headers(d);
    switch (d->settings.provider) {
    case PROVIDER_VIPPS:
    case PROVIDER_VIPPS_OAUTH:
        r = compose_vipps(d);
        break;
    case PROVIDER_OAUTH2:
        check_oauth2(d);
        break;
    }
    return r;
}
