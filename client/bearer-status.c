/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "client/bearer-json.h"
#include "client/bearer-objects.h"

/* `last_error` of a profile. */
struct last_error {
    const char *message;
    const char *reason;
    int64_t at;
    int64_t http_status;
};

struct bearer_status {
    struct buffer text;       /* of one asked for by itself */
    struct json_object *json; /* likewise: what the members below point into */
    const char *name;
    const char *description;
    const char *provider;
    const char *state_name;
    const char *fingerprint;
    const char *client_secret;
    const char *subscription_key;
    int64_t generation;
    int64_t issued_at;
    int64_t expires_at;
    int64_t expires_in;
    int64_t next_refresh_at;
    int64_t consecutive_failures;
    bool is_preloaded;
    struct json_object *allow;        /* texts, or NULL */
    struct json_object *error_object; /* what `error` is read from, or NULL */
    struct last_error error;
};

struct bearer_status_list {
    struct buffer text;
    struct json_object *json; /* what the items point into */
    size_t n_items;
    struct bearer_status items[];
};

static const struct bearer_field status_fields[] = {
    {"name",                 BEARER_FIELD_TEXT,   true,  offsetof(struct bearer_status, name)                },
    {"description",          BEARER_FIELD_TEXT,   false, offsetof(struct bearer_status, description)         },
    {"provider",             BEARER_FIELD_TEXT,   false, offsetof(struct bearer_status, provider)            },
    {"state",                BEARER_FIELD_TEXT,   true,  offsetof(struct bearer_status, state_name)          },
    {"fingerprint",          BEARER_FIELD_TEXT,   false, offsetof(struct bearer_status, fingerprint)         },
    {"client_secret",        BEARER_FIELD_TEXT,   false, offsetof(struct bearer_status, client_secret)       },
    {"subscription_key",     BEARER_FIELD_TEXT,   false, offsetof(struct bearer_status, subscription_key)    },
    {"generation",           BEARER_FIELD_NUMBER, false, offsetof(struct bearer_status, generation)          },
    {"issued_at",            BEARER_FIELD_MOMENT, false, offsetof(struct bearer_status, issued_at)           },
    {"expires_at",           BEARER_FIELD_MOMENT, false, offsetof(struct bearer_status, expires_at)          },
    {"expires_in",           BEARER_FIELD_NUMBER, false, offsetof(struct bearer_status, expires_in)          },
    {"next_refresh_at",      BEARER_FIELD_MOMENT, false, offsetof(struct bearer_status, next_refresh_at)     },
    {"consecutive_failures", BEARER_FIELD_NUMBER, false,
     offsetof(struct bearer_status,                                                     consecutive_failures)},
    {"preload",              BEARER_FIELD_BOOL,   false, offsetof(struct bearer_status, is_preloaded)        },
    {"allow",                BEARER_FIELD_TEXTS,  false, offsetof(struct bearer_status, allow)               },
    {"last_error",           BEARER_FIELD_OBJECT, false, offsetof(struct bearer_status, error_object)        },
};

static const struct bearer_field last_error_fields[] = {
    {"message",     BEARER_FIELD_TEXT,   false, offsetof(struct last_error, message)    },
    {"reason",      BEARER_FIELD_TEXT,   false, offsetof(struct last_error, reason)     },
    {"at",          BEARER_FIELD_MOMENT, false, offsetof(struct last_error, at)         },
    {"http_status", BEARER_FIELD_NUMBER, false, offsetof(struct last_error, http_status)},
};

DEFINE_CLEANUP(struct bearer_status *, bearer_status_free, bearer_status_free)
DEFINE_CLEANUP(struct bearer_status_list *, bearer_status_list_free, bearer_status_list_free)

enum bearer_state bearer_state_from_name(const char *name)
{
    static const struct {
        const char *name;
        enum bearer_state state;
    } states[] = {
        {"empty",      BEARER_STATE_EMPTY     },
        {"fetching",   BEARER_STATE_FETCHING  },
        {"fresh",      BEARER_STATE_FRESH     },
        {"refreshing", BEARER_STATE_REFRESHING},
        {"stale",      BEARER_STATE_STALE     },
        {"failed",     BEARER_STATE_FAILED    },
        {"idle",       BEARER_STATE_IDLE      },
    };

    for (size_t i = 0; name && i < ARRAY_SIZE(states); i++)
        if (!strcmp(states[i].name, name))
            return states[i].state;
    return BEARER_STATE_UNKNOWN;
}

/* ---- status ---- */

static int read_status(struct json_object *object, struct bearer_status *s)
{
    s->is_preloaded = true; /* what Preload= is by default, and all that older daemons know */
    s->error = (struct last_error){.at = BEARER_ABSENT, .http_status = BEARER_ABSENT};
    if (!json_object_is_type(object, json_type_object))
        return -EBADMSG;
    int r = bearer_json_read(object, status_fields, ARRAY_SIZE(status_fields), s);
    if (r < 0 || !s->error_object)
        return r;
    return bearer_json_read(s->error_object, last_error_fields, ARRAY_SIZE(last_error_fields), &s->error);
}

void bearer_status_free(struct bearer_status *s)
{
    if (!s)
        return;
    bearer_json_free(s->json);
    buffer_done(&s->text);
    free(s);
}

int bearer_status_read(struct json_object *object, struct bearer_status **ret)
{
    _cleanup_(bearer_status_free_p) struct bearer_status *s = calloc(1, sizeof(*s));

    if (!s)
        return -ENOMEM;
    int r = read_status(object, s);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(s);
    return 0;
}

int bearer_status_parse(struct buffer *body_take, struct bearer_status **ret)
{
    _cleanup_(bearer_status_free_p) struct bearer_status *s = calloc(1, sizeof(*s));

    if (!s)
        return -ENOMEM;
    int r = bearer_json_parse(buffer_peek(body_take), body_take->size, false, &s->json);
    if (r == 0)
        r = read_status(s->json, s);
    if (r < 0)
        return r;
    bearer_body_take(&s->text, body_take);
    *ret = TAKE_PTR(s);
    return 0;
}

const char *bearer_status_name(const struct bearer_status *s)
{
    return s->name;
}

const char *bearer_status_description(const struct bearer_status *s)
{
    return s->description;
}

const char *bearer_status_provider(const struct bearer_status *s)
{
    return s->provider;
}

enum bearer_state bearer_status_state(const struct bearer_status *s)
{
    return bearer_state_from_name(s->state_name);
}

const char *bearer_status_state_name(const struct bearer_status *s)
{
    return s->state_name;
}

bool bearer_status_is_usable(const struct bearer_status *s)
{
    switch (bearer_status_state(s)) {
    case BEARER_STATE_FRESH:
    case BEARER_STATE_REFRESHING:
    case BEARER_STATE_STALE:
        return true;
    case BEARER_STATE_IDLE: /* nobody refreshes what it has, but as long as it lives it is as good as any */
        return s->expires_in > 0;
    case BEARER_STATE_UNKNOWN:
    case BEARER_STATE_EMPTY:
    case BEARER_STATE_FETCHING:
    case BEARER_STATE_FAILED:
        return false;
    }
    return false;
}

int64_t bearer_status_generation(const struct bearer_status *s)
{
    return s->generation;
}

int64_t bearer_status_issued_at(const struct bearer_status *s)
{
    return s->issued_at;
}

int64_t bearer_status_expires_at(const struct bearer_status *s)
{
    return s->expires_at;
}

int64_t bearer_status_expires_in(const struct bearer_status *s)
{
    return s->expires_in;
}

int64_t bearer_status_next_refresh_at(const struct bearer_status *s)
{
    return s->next_refresh_at;
}

const char *bearer_status_fingerprint(const struct bearer_status *s)
{
    return s->fingerprint;
}

int64_t bearer_status_consecutive_failures(const struct bearer_status *s)
{
    return s->consecutive_failures;
}

const char *bearer_status_client_secret(const struct bearer_status *s)
{
    return s->client_secret;
}

const char *bearer_status_subscription_key(const struct bearer_status *s)
{
    return s->subscription_key;
}

bool bearer_status_is_preloaded(const struct bearer_status *s)
{
    return s->is_preloaded;
}

size_t bearer_status_n_allow(const struct bearer_status *s)
{
    return bearer_json_texts_size(s->allow);
}

const char *bearer_status_allow(const struct bearer_status *s, size_t i)
{
    return bearer_json_texts_at(s->allow, i);
}

const char *bearer_status_error_message(const struct bearer_status *s)
{
    return s->error.message;
}

const char *bearer_status_error_reason(const struct bearer_status *s)
{
    return s->error.reason;
}

int64_t bearer_status_error_at(const struct bearer_status *s)
{
    return s->error.at;
}

int64_t bearer_status_error_http_status(const struct bearer_status *s)
{
    return s->error.http_status;
}

const char *bearer_status_json(const struct bearer_status *s)
{
    return s->json ? buffer_peek(&s->text) : NULL;
}

/* ---- list ---- */

void bearer_status_list_free(struct bearer_status_list *l)
{
    if (!l)
        return;
    bearer_json_free(l->json);
    buffer_done(&l->text);
    free(l);
}

int bearer_status_list_parse(struct buffer *body_take, struct bearer_status_list **ret)
{
    _cleanup_(bearer_json_free_p) struct json_object *object = NULL;
    struct json_object *profiles = NULL;

    int r = bearer_json_parse(buffer_peek(body_take), body_take->size, false, &object);
    if (r < 0)
        return r;
    if (!json_object_object_get_ex(object, "profiles", &profiles) ||
        !json_object_is_type(profiles, json_type_array))
        return -EBADMSG;

    size_t n = json_object_array_length(profiles);
    _cleanup_(bearer_status_list_free_p) struct bearer_status_list *l =
        calloc(1, sizeof(*l) + n * sizeof(l->items[0]));
    if (!l)
        return -ENOMEM;
    for (; l->n_items < n; l->n_items++) {
        r = read_status(json_object_array_get_idx(profiles, l->n_items), &l->items[l->n_items]);
        if (r < 0)
            return r;
    }
    l->json = TAKE_PTR(object);
    bearer_body_take(&l->text, body_take);
    *ret = TAKE_PTR(l);
    return 0;
}

size_t bearer_status_list_size(const struct bearer_status_list *l)
{
    return l->n_items;
}

const struct bearer_status *bearer_status_list_at(const struct bearer_status_list *l, size_t i)
{
    return i < l->n_items ? &l->items[i] : NULL;
}

const char *bearer_status_list_json(const struct bearer_status_list *l)
{
    return buffer_peek(&l->text);
}
