/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What an operator sets, as plain data: read by config/, used by core/, wire/ and host/. Nothing here decides
 * or does anything; defaults stand beside the members and are put in by config/.
 *
 * All strings are owned by the struct they are in, NUL-terminated, and free of control characters (config
 * refuses them), so they can go into a header or an answer as they are. NULL means "not set".
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/secret.h"
#include "base/usec.h"

/* NAME of a profile: [a-z0-9][a-z0-9._-]{0,62} */
#define PROFILE_NAME_MAX 63

/* ---- who may ask ---- */

enum access_rule_kind {
    ACCESS_ANY,   /* everybody who can connect */
    ACCESS_USER,  /* the peer's uid */
    ACCESS_GROUP, /* the peer's gid or one of its supplementary groups */
    ACCESS_UNIT,  /* the system unit that the peer's process runs in */
};

/* One word of Allow= or Admin=. Names are resolved to ids once, when settings are read. */
struct access_rule {
    enum access_rule_kind kind;
    uint32_t id;      /* uid or gid */
    char *text;       /* as written ("user:www-data"), for people */
    const char *unit; /* ACCESS_UNIT: the glob, within `text` */
};

/* Empty means: nobody. */
struct access_list {
    struct access_rule *rules;
    size_t n_rules;
};

/* ---- one profile ---- */

enum provider {
    PROVIDER_VIPPS,       /* POST {base}/accesstoken/get, credentials in headers */
    PROVIDER_VIPPS_OAUTH, /* POST {base}/miami/v1/token, RFC 6749 4.4 with HTTP Basic */
    PROVIDER_OAUTH2,      /* RFC 6749 4.4 at TokenURL= */
};

enum client_auth {
    CLIENT_AUTH_BASIC,           /* RFC 6749 2.3.1, both parts form-encoded before base64 */
    CLIENT_AUTH_POST,            /* RFC 6749 2.3.1, in the body */
    CLIENT_AUTH_PRIVATE_KEY_JWT, /* RFC 7523 */
    CLIENT_AUTH_TLS,             /* RFC 8705 */
};

enum signing_algorithm {
    SIGNING_RS256,
    SIGNING_PS256,
    SIGNING_ES256,
};

/* [Refresh] */
struct refresh_policy {
    unsigned at_percent;     /* of the lifetime, from when the request was sent; 50 */
    unsigned jitter_percent; /* of the lifetime, subtracted at random; 10; at most at_percent */
    usec_t retry_min_for;    /* 1 s */
    usec_t retry_max_for;    /* 60 s; at least retry_min_for */
    usec_t timeout_for;      /* one upstream request, whole; 15 s */
};

/* A header of [Headers]: sent with token requests and part of the header set handed out. */
struct header_setting {
    char *name;
    char *value;
};

/* The key material of one profile, read from files or credentials. */
enum key_kind {
    KEY_CLIENT_SECRET,
    KEY_NEXT_CLIENT_SECRET, /* optional: for a rotation without an outage */
    KEY_SUBSCRIPTION,
    KEY_SECONDARY_SUBSCRIPTION, /* optional, and as good as the other at any time */
    KEY_API_SUBSCRIPTION,
    KEY_TLS,
    KEY_SIGNING,
    N_KEY_KINDS,
};

/*
 * Which of two keys a request is made with, where there are two: the client secret and the one that is to
 * follow it, the primary and the secondary subscription key. All false: the preferred ones.
 */
struct key_choice {
    bool is_next_secret;
    bool is_secondary_subscription;
};

struct profile_settings {
    unsigned n_refs; /* besides the first: a fetch in flight outlives a reload that replaces them */
    char *name;
    char *description; /* or NULL */
    char *file;        /* the settings file, for messages */

    enum provider provider;
    char *environment; /* vipps*: "test" or "production", or NULL when BaseURL= stands instead */
    char *token_url;   /* the whole URL a token is asked from, whatever it was made of */
    char *client_id;
    enum client_auth client_auth; /* oauth2; vipps-oauth is basic, vipps has headers of its own */
    char *scope;                  /* oauth2, or NULL */
    char *audience;               /* oauth2, or NULL */
    char **resources;             /* oauth2: RFC 8707, may be repeated */
    size_t n_resources;
    enum signing_algorithm signing_algorithm; /* private-key-jwt */
    char *signing_key_id;                     /* "kid", or NULL */
    char *tls_certificate_file;               /* tls: PEM path */
    char *ca_file;                            /* PEM path, or NULL for the system's */

    struct header_setting *headers;
    size_t n_headers;
    struct refresh_policy refresh;
    bool is_preloaded;     /* fetch at start; else on first use */
    usec_t idle_after_for; /* not preloaded: without a request for so long, refreshing stops; 1 h */
    struct access_list allow;

    char *key_files[N_KEY_KINDS];    /* KEYFile= as set, or NULL: then the credential is looked for */
    struct secret keys[N_KEY_KINDS]; /* filled by host/keys; set where this provider wants it */
    struct secret tls_certificate; /* the PEM text of tls_certificate_file (public, but kept with its key) */
};

/* Audit=: what the log says of tokens handed out. */
enum audit_mode {
    AUDIT_OFF,     /* nothing; denials are still logged */
    AUDIT_SUMMARY, /* the first of a caller, and what followed once a minute */
    AUDIT_EVERY,   /* each one */
};

struct daemon_settings {
    char *socket_path;           /* /run/bearerd/bearerd.sock */
    unsigned socket_mode;        /* 0660 */
    char *socket_group;          /* "bearerd"; resolved when the socket is made */
    bool is_socket_group_set;    /* SocketGroup= was written: then a group that does not exist is an error */
    char *profile_directory;     /* /etc/bearerd/profiles.d */
    uint64_t concurrent_fetches; /* 16 */
    uint64_t max_connections;    /* 4096 */
    uint64_t max_connections_per_user; /* 1024 */
    enum audit_mode audit;             /* summary */
    struct access_list admin;          /* user:root */
};

/* Release everything inside (wiping keys); the struct is then empty. Take NULL. */
void access_list_done(struct access_list *list);
void profile_settings_done(struct profile_settings *s);
void daemon_settings_done(struct daemon_settings *s);

/* Another reference, to be given back by profile_settings_free(). Returns `s`. */
struct profile_settings *profile_settings_ref(struct profile_settings *s);

/* Gives a reference back; with the last one, profile_settings_done() and free(). Takes NULL. */
void profile_settings_free(struct profile_settings *s);

/* The keys of a choice; not set where this provider has none. Borrowed. */
const struct secret *profile_settings_client_secret(const struct profile_settings *s,
                                                    struct key_choice choice);
const struct secret *profile_settings_subscription_key(const struct profile_settings *s,
                                                       struct key_choice choice);

/* True where there is a second one to choose. */
bool profile_settings_has_next_secret(const struct profile_settings *s);
bool profile_settings_has_secondary(const struct profile_settings *s);

/* How far apart the old and the new settings of a profile are; each also means all before it. */
enum settings_change {
    CHANGE_NONE,     /* nothing at all */
    CHANGE_ACCESS,   /* only what people see, and who may ask */
    CHANGE_POLICY,   /* when and how to ask: [Refresh], Preload=, IdleAfter= */
    CHANGE_KEYS,     /* another key, header or CA: the same client, whose new keys are to be proven */
    CHANGE_IDENTITY, /* another client, issuer or scope: a token of the old one is none of the new one */
};

/* Compares all that matters; keys in constant time. Where the settings file lies is no change. */
enum settings_change profile_settings_compare(const struct profile_settings *a,
                                              const struct profile_settings *b);

/* "none", "access", "policy", "keys", "identity". */
const char *settings_change_name(enum settings_change change);

/* "vipps", "vipps-oauth", "oauth2". */
const char *provider_name(enum provider provider);

/* What a kind of key is called: as a credential ("client-secret"), in settings ("ClientSecret"), and in a
 * sentence ("client secret"). */
const char *key_kind_credential(enum key_kind kind);
const char *key_kind_setting(enum key_kind kind);
const char *key_kind_words(enum key_kind kind);
