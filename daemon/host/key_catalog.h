/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What there is to know about keys without having one: which kinds the provider of a profile wants, and where
 * the settings say that they lie. For `bearerctl keys`, which stores them, so all of it is plain text: the
 * client knows none of the layers below.
 *
 * Opens settings files only, never a key.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/problem.h"
#include "base/secret.h"

/* How many kinds of keys there are. */
#define CATALOG_N_KINDS 7
/* The longest key that the daemon reads. */
#define CATALOG_KEY_MAX      ((size_t) 65536)
#define CATALOG_WARNINGS_MAX 3

/* A kind of key. Static texts. */
struct catalog_kind {
    unsigned id;         /* below CATALOG_N_KINDS */
    const char *name;    /* "client-secret": of the credential, and on the command line */
    const char *setting; /* "ClientSecret": with "File" behind it, the key of [Keys] */
    const char *words;   /* "client secret" */
    bool is_pem;         /* a private key, of many lines; else one line of text */
};

/* The kind of this id. */
struct catalog_kind key_catalog_kind(unsigned id);

/* A kind of key that a profile wants. */
struct catalog_key {
    struct catalog_kind kind;
    bool is_optional;
    char *file;    /* KEYFile= as set, owned; NULL: it is a credential */
    unsigned line; /* of KEYFile= */
};

/* The keys of one profile. */
struct profile_keys {
    char *settings_file;  /* where its settings are, or would be; owned */
    bool has_settings;    /* it is there */
    const char *provider; /* static; NULL: not known, and then the keys are those of "vipps" */
    struct catalog_key keys[CATALOG_N_KINDS]; /* in the order to ask for them */
    size_t n_keys;
};

void profile_keys_done(struct profile_keys *keys);

/* Names of profiles. Zeroed: empty. */
struct profile_names {
    char **items;
    size_t n_items;
};

void profile_names_done(struct profile_names *list);

/* True for what can be the name of a profile. */
bool key_catalog_is_profile(const char *name);

/*
 * The folder of profiles, out of the main settings where they lie by default. Returns 0 and a string that the
 * caller frees, -EINVAL (the main settings cannot be used; recorded) or -ENOMEM.
 */
_must_check_ int key_catalog_directory(struct problems *problems, char **ret);

/* The profiles that have settings, sorted. 0, or -errno when the folder cannot be read (an absent one is
 * empty). */
_must_check_ int key_catalog_profiles(const char *directory, struct profile_names *ret);

/*
 * What the profile `name` wants. Settings that are not there, or that do not say which provider, are no
 * failure; what is wrong with them is recorded. Returns 0 or -ENOMEM. The caller releases *ret.
 */
_must_check_ int key_catalog_read(const char *directory, const char *name, struct problems *problems,
                                  struct profile_keys *ret);

/* What is wrong with a key; static texts that go on behind its name, none with a part of it. */
struct catalog_verdict {
    const char *error; /* why the daemon would not take it, or NULL */
    const char *warnings[CATALOG_WARNINGS_MAX];
    size_t n_warnings;
};

/* Judges a key (without the newline at its end) as the daemon would. */
struct catalog_verdict key_catalog_judge(const struct catalog_kind *kind, const struct secret *key);
