/* SPDX-License-Identifier: MIT */
#include "host/keys.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host/files.h"
#include "host/key_form.h"

/* LoadCredentialEncrypted=PROFILE:FOLDER makes one credential of each file (systemd.exec(5)). */
#define KEY_FOLDER_PREFIX "PROFILE_"

/* Which kinds of keys go with a provider; for oauth2 the way of authentication decides. */
struct want {
    enum provider provider;
    enum client_auth auth; /* looked at for oauth2 only */
    enum key_kind kind;
    bool is_optional;
};

static const struct want wants[] = {
    {PROVIDER_VIPPS,       0,                           KEY_CLIENT_SECRET,          false},
    {PROVIDER_VIPPS,       0,                           KEY_NEXT_CLIENT_SECRET,     true },
    {PROVIDER_VIPPS,       0,                           KEY_SUBSCRIPTION,           false},
    {PROVIDER_VIPPS,       0,                           KEY_SECONDARY_SUBSCRIPTION, true },
    {PROVIDER_VIPPS,       0,                           KEY_API_SUBSCRIPTION,       true },
    {PROVIDER_VIPPS_OAUTH, 0,                           KEY_CLIENT_SECRET,          false},
    {PROVIDER_VIPPS_OAUTH, 0,                           KEY_NEXT_CLIENT_SECRET,     true },
    {PROVIDER_OAUTH2,      CLIENT_AUTH_BASIC,           KEY_CLIENT_SECRET,          false},
    {PROVIDER_OAUTH2,      CLIENT_AUTH_BASIC,           KEY_NEXT_CLIENT_SECRET,     true },
    {PROVIDER_OAUTH2,      CLIENT_AUTH_POST,            KEY_CLIENT_SECRET,          false},
    {PROVIDER_OAUTH2,      CLIENT_AUTH_POST,            KEY_NEXT_CLIENT_SECRET,     true },
    {PROVIDER_OAUTH2,      CLIENT_AUTH_PRIVATE_KEY_JWT, KEY_SIGNING,                false},
    {PROVIDER_OAUTH2,      CLIENT_AUTH_TLS,             KEY_TLS,                    false},
};

struct loader {
    const struct key_source *source;
    const struct profile_notes *notes;
    struct problems *problems;
    struct profile_settings *settings;
};

static bool is_wanted(const struct want *want, const struct profile_settings *s)
{
    return want->provider == s->provider && (s->provider != PROVIDER_OAUTH2 || want->auth == s->client_auth);
}

/* Records what is wrong with the looks of a key. 0, or -EINVAL where it cannot be used. */
static int check_form(const struct loader *l, enum key_kind kind, const struct named_file *file,
                      const struct secret *key)
{
    const struct key_form form = key_form_check(kind, key);

    for (size_t i = 0; i < form.n_warnings; i++)
        problem_warning(l->problems, file->file, file->line, "%s%s %s", file->what, file->path,
                        form.warnings[i]);
    if (!form.error)
        return 0;
    problem_error(l->problems, file->file, file->line, "%s%s %s", file->what, file->path, form.error);
    return -EINVAL;
}

/* ---- where a key lies ---- */

/* Reads one file and takes the key when it is fit. -ENOENT is the caller's to word. */
static int load_from(const struct loader *l, enum key_kind kind, const struct named_file *file)
{
    _cleanup_(secret_done) struct secret key = SECRET_INIT;

    int r = file_read_key(file, &l->source->rights, l->problems, &key);
    if (r == 0)
        r = check_form(l, kind, file, &key);
    if (r == 0)
        secret_move(&l->settings->keys[kind], &key);
    return r;
}

static int load_from_setting(const struct loader *l, enum key_kind kind)
{
    const struct profile_settings *s = l->settings;
    unsigned line = l->notes->key_lines[kind];
    char what[40];

    (void) snprintf(what, sizeof(what), "%sFile=", key_kind_setting(kind));
    const struct named_file file = {.path = s->key_files[kind], .what = what, .file = s->file, .line = line};
    int r = load_from(l, kind, &file);
    if (r != -ENOENT)
        return r;
    problem_error(l->problems, s->file, line,
                  "%s%s does not exist; put the key there, or leave %s out and pass the credential %s.%s",
                  what, file.path, what, s->name, key_kind_credential(kind));
    return -EINVAL;
}

/* One credential, if it is there; else -ENOENT. */
static int load_credential(const struct loader *l, enum key_kind kind, const char *prefix)
{
    _cleanup_free_ char *path = NULL;

    if (!l->source->credentials_directory)
        return -ENOENT;
    if (asprintf(&path, "%s/%s%s.%s", l->source->credentials_directory, prefix, l->settings->name,
                 key_kind_credential(kind)) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    const struct named_file file = {.path = path, .what = "credential ", .file = l->settings->file};
    return load_from(l, kind, &file);
}

/* For a check from outside the service: the stored key of which systemd makes a credential. */
static char *stored_path(const struct loader *l, enum key_kind kind)
{
    char *path;

    return asprintf(&path, "%s/%s.%s", l->source->encrypted_directory, l->settings->name,
                    key_kind_credential(kind)) < 0
               ? NULL
               : path;
}

/* For a check from outside the service: is there a key that only systemd can read? 1, 0 or -ENOMEM. */
static int is_stored_encrypted(const struct loader *l, enum key_kind kind)
{
    if (!l->source->encrypted_directory)
        return 0;
    _cleanup_free_ char *path = stored_path(l, kind);
    if (!path)
        return -ENOMEM;
    if (access(path, F_OK) < 0)
        return 0;
    problem_warning(l->problems, l->settings->file, 0,
                    "the %s is not checked: %s is encrypted, and read when the service starts "
                    "(systemctl restart bearerd)",
                    key_kind_words(kind), path);
    return 1;
}

/* The same, where the running service has the key: would it have it after a restart? A warning, and no error,
 * since a drop-in may pass another folder. */
static int note_if_gone(const struct loader *l, const struct want *want)
{
    if (!l->source->encrypted_directory || want->is_optional)
        return 0;
    _cleanup_free_ char *path = stored_path(l, want->kind);
    if (!path)
        return -ENOMEM;
    if (access(path, F_OK) < 0 && errno == ENOENT)
        problem_warning(
            l->problems, l->settings->file, 0,
            "the %s is no longer stored: the running service has it, and a restart would not; %s is "
            "gone: bearerctl keys %s",
            key_kind_words(want->kind), path, l->settings->name);
    return 0;
}

static int report_no_key(const struct loader *l, enum key_kind kind)
{
    const char *directory = l->source->credentials_directory, *suffix = key_kind_credential(kind);
    const struct profile_settings *s = l->settings;

    problem_error(
        l->problems, s->file, 0,
        "no %s: [Keys] %sFile= is not set, and there is no credential %s.%s in %s, nor " KEY_FOLDER_PREFIX
        "%s.%s; store it with: bearerctl keys %s, then: systemctl restart bearerd (where it is stored and "
        "left out, "
        "journalctl -u bearerd-credentials says why)",
        suffix, key_kind_setting(kind), s->name, suffix,
        directory ? directory : "$CREDENTIALS_DIRECTORY (which is not set: the unit passes none)", s->name,
        suffix, s->name);
    return -EINVAL;
}

static int load_from_credential(const struct loader *l, const struct want *want)
{
    /* What a unit passes by name is meant for this key; the folder is what `bearerctl keys` stored. */
    int r = load_credential(l, want->kind, "");
    if (r != -ENOENT)
        return r;
    r = load_credential(l, want->kind, KEY_FOLDER_PREFIX);
    if (r != -ENOENT)
        return r < 0 ? r : note_if_gone(l, want);
    int stored = is_stored_encrypted(l, want->kind);
    if (stored < 0)
        return stored;
    return stored || want->is_optional ? 0 : report_no_key(l, want->kind);
}

static int load_key(const struct loader *l, const struct want *want)
{
    if (l->notes->is_key_refused[want->kind])
        return -EINVAL; /* the line that names it was reported */
    return l->settings->key_files[want->kind] ? load_from_setting(l, want->kind)
                                              : load_from_credential(l, want);
}

/* ---- certificates ---- */

static int report_missing(const struct loader *l, const struct named_file *file, int r)
{
    if (r != -ENOENT)
        return r;
    problem_error(l->problems, file->file, file->line, "%s%s does not exist", file->what, file->path);
    return -EINVAL;
}

static int load_certificate(const struct loader *l)
{
    struct profile_settings *s = l->settings;
    const struct named_file file = {.path = s->tls_certificate_file,
                                    .what = "TLSCertificateFile=",
                                    .file = s->file,
                                    .line = l->notes->certificate_line};

    if (!s->tls_certificate_file || s->provider != PROVIDER_OAUTH2 || s->client_auth != CLIENT_AUTH_TLS)
        return 0;
    return report_missing(l, &file, file_read_certificate(&file, l->problems, &s->tls_certificate));
}

static int check_authorities(const struct loader *l)
{
    const struct profile_settings *s = l->settings;
    const struct named_file file = {
        .path = s->ca_file, .what = "CAFile=", .file = s->file, .line = l->notes->ca_line};

    if (!s->ca_file)
        return 0;
    return report_missing(l, &file, file_check_authorities(&file, l->problems));
}

/* ---- keys that look like one another ---- */

/* Two keys that should differ, and what it means when they do not. */
static const struct {
    enum key_kind a, b;
    const char *meaning;
} pairs[] = {
    {KEY_CLIENT_SECRET,          KEY_SUBSCRIPTION,           "are they mixed up?"},
    {KEY_CLIENT_SECRET,          KEY_SECONDARY_SUBSCRIPTION, "are they mixed up?"},
    {KEY_CLIENT_SECRET,          KEY_API_SUBSCRIPTION,       "are they mixed up?"},
    {KEY_NEXT_CLIENT_SECRET,     KEY_SUBSCRIPTION,           "are they mixed up?"},
    {KEY_NEXT_CLIENT_SECRET,     KEY_SECONDARY_SUBSCRIPTION, "are they mixed up?"},
    {KEY_NEXT_CLIENT_SECRET,     KEY_API_SUBSCRIPTION,       "are they mixed up?"},
    {KEY_NEXT_CLIENT_SECRET,     KEY_CLIENT_SECRET,          "it is of no use so"},
    {KEY_SECONDARY_SUBSCRIPTION, KEY_SUBSCRIPTION,           "it is of no use so"},
};

static void warn_about_twins(const struct loader *l)
{
    const struct profile_settings *s = l->settings;

    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
        if (secret_equal(&s->keys[pairs[i].a], &s->keys[pairs[i].b]))
            problem_warning(l->problems, s->file, 0, "the %s is the same as the %s: %s",
                            key_kind_words(pairs[i].a), key_kind_words(pairs[i].b), pairs[i].meaning);
    }
}

/* The client id is no key, so it can be compared as it is. */
static void warn_about_ids(const struct loader *l)
{
    static const enum key_kind secrets[] = {KEY_CLIENT_SECRET, KEY_NEXT_CLIENT_SECRET};
    static const enum key_kind subscriptions[] = {KEY_SUBSCRIPTION, KEY_SECONDARY_SUBSCRIPTION,
                                                  KEY_API_SUBSCRIPTION};
    const struct profile_settings *s = l->settings;

    for (size_t i = 0; s->client_id && i < ARRAY_SIZE(secrets); i++) {
        const struct secret *key = &s->keys[secrets[i]];
        if (secret_is_set(key) && strcmp(secret_peek(key), s->client_id) == 0)
            problem_warning(l->problems, s->file, 0, "the %s is the same as ClientID=: are they mixed up?",
                            key_kind_words(secrets[i]));
    }
    for (size_t i = 0; i < ARRAY_SIZE(subscriptions); i++) {
        if (key_form_is_guid(&s->keys[subscriptions[i]]))
            problem_warning(l->problems, s->file, 0,
                            "the %s looks like a client id; a subscription key is 32 hex digits",
                            key_kind_words(subscriptions[i]));
    }
}

size_t keys_wanted(const struct profile_settings *settings, struct wanted_key ret[static N_KEY_KINDS])
{
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_SIZE(wants); i++) {
        if (is_wanted(&wants[i], settings))
            ret[n++] = (struct wanted_key){wants[i].kind, wants[i].is_optional};
    }
    return n;
}

int keys_load(const struct key_source *source, const struct profile_notes *notes, struct problems *problems,
              struct profile_settings *settings)
{
    const struct loader loader = {source, notes, problems, settings};
    int result = 0;

    if (!notes->is_provider_known)
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(wants); i++) {
        int r = is_wanted(&wants[i], settings) ? load_key(&loader, &wants[i]) : 0;
        if (r == -ENOMEM)
            return r;
        result = r < 0 ? r : result;
    }
    int certificate = load_certificate(&loader), authorities = check_authorities(&loader);
    if (certificate == -ENOMEM || authorities == -ENOMEM)
        return -ENOMEM;
    warn_about_twins(&loader);
    warn_about_ids(&loader);
    return certificate < 0 || authorities < 0 ? -EINVAL : result;
}
