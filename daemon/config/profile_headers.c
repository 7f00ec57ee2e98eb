/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/profile_draft.h"
#include "config/values.h"

/* [Headers]: what an operator may add to token requests and to the header set handed out. */

/* Servers take 8 KiB of headers and more; these leave room for a token and keep one header from filling it
 * all. */
#define HEADER_NAME_MAX  64
#define HEADER_VALUE_MAX 1024
/* Vipps MobilePay, "HTTP headers" guide (2023). */
#define VIPPS_SYSTEM_MAX 30
#define MSN_MIN          4

/* Names that are not the operator's, and why. */
static const struct {
    const char *name;
    const char *reason;
} owned_names[] = {
    {"Authorization",             "bearerd makes it"                                                              },
    {"Proxy-Authorization",       "it would hold a secret"                                                        },
    {"client_id",                 "set [Keys] ClientID= instead"                                                  },
    {"client_secret",             "a secret has no place in a settings file; set [Keys] ClientSecretFile= instead"},
    {"Ocp-Apim-Subscription-Key", "a key has no place in a settings file; set [Keys] SubscriptionKeyFile= or "
                                  "APISubscriptionKeyFile= instead"              },
    {"Host",                      "it comes from the URL"                                                         },
    {"Accept",                    "bearerd asks for JSON"                                                         },
    {"Accept-Encoding",           "bearerd reads answers as they are"                                             },
    {"Content-Type",              "bearerd makes it"                                                              },
    {"Content-Length",            "bearerd makes it"                                                              },
    {"Content-Encoding",          "bearerd makes it"                                                              },
    {"Transfer-Encoding",         "it belongs to the connection"                                                  },
    {"TE",                        "it belongs to the connection"                                                  },
    {"Trailer",                   "it belongs to the connection"                                                  },
    {"Connection",                "it belongs to the connection"                                                  },
    {"Keep-Alive",                "it belongs to the connection"                                                  },
    {"Proxy-Connection",          "it belongs to the connection"                                                  },
    {"Upgrade",                   "it belongs to the connection"                                                  },
    {"Expect",                    "it belongs to the connection"                                                  },
};

/* RFC 9110 section 5.6.2. */
static bool is_token(const char *text)
{
    static const char allowed[] =
        "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    size_t size = strlen(text);

    return size > 0 && strspn(text, allowed) == size;
}

/* Why the line is refused, or NULL. The name is shown by the caller only where it is a known one. */
static const char *find_problem(const char *name, const char *value)
{
    if (!is_token(name) || strlen(name) > HEADER_NAME_MAX)
        return "a header name is letters, digits and -, at most 64 of them";
    if (!text_is_ascii(value) || strlen(value) > HEADER_VALUE_MAX)
        return "a header value is printable ASCII of at most 1024 characters";
    return NULL;
}

static size_t find_header(const struct profile_draft *d, const char *name)
{
    size_t i = 0;

    while (i < d->settings.n_headers && strcasecmp(d->settings.headers[i].name, name) != 0)
        i++;
    return i;
}

/* An empty value takes the header out again. */
static void reset_header(struct profile_draft *d, const char *name)
{
    struct profile_settings *s = &d->settings;
    size_t i = find_header(d, name);

    if (i == s->n_headers)
        return;
    free(s->headers[i].name);
    free(s->headers[i].value);
    s->n_headers--;
    memmove(s->headers + i, s->headers + i + 1, (s->n_headers - i) * sizeof(*s->headers));
    memmove(d->header_lines + i, d->header_lines + i + 1, (s->n_headers - i) * sizeof(*d->header_lines));
}

static int append_header(struct profile_draft *d, const char *name, const char *value, unsigned line)
{
    struct profile_settings *s = &d->settings;
    _cleanup_free_ char *name_copy = strdup(name), *value_copy = strdup(value);
    struct header_setting *headers = reallocarray(s->headers, s->n_headers + 1, sizeof(*headers));

    if (headers)
        s->headers = headers;
    if (!headers || !name_copy || !value_copy)
        return -ENOMEM;
    d->header_lines[s->n_headers] = line;
    s->headers[s->n_headers++] =
        (struct header_setting){.name = TAKE_PTR(name_copy), .value = TAKE_PTR(value_copy)};
    return 0;
}

int profile_draft_read_header(const struct setting_context *context, const char *value, void *target)
{
    struct profile_draft *d = target;
    const char *problem = find_problem(context->key, value);
    size_t i = find_header(d, context->key);

    for (size_t n = 0; n < ARRAY_SIZE(owned_names); n++) {
        if (strcasecmp(owned_names[n].name, context->key) != 0)
            continue;
        problem_error(context->problems, context->file, context->line, "[Headers] must not have %s: %s",
                      owned_names[n].name, owned_names[n].reason);
        return -EBADMSG;
    }
    if (!problem && *value == '\0') {
        reset_header(d, context->key);
        return 0;
    }
    if (!problem && i < d->settings.n_headers) {
        problem_error(context->problems, context->file, context->line,
                      "the header %s is set twice; first in line %u", d->settings.headers[i].name,
                      d->header_lines[i]);
        return -EBADMSG;
    }
    if (!problem && d->settings.n_headers == PROFILE_HEADERS_MAX)
        problem = "at most 20 headers can be set";
    if (problem) {
        problem_error(context->problems, context->file, context->line, "[Headers]: %s", problem);
        return -EBADMSG;
    }
    if (strncasecmp(value, "Bearer ", 7) == 0 || strncasecmp(value, "Basic ", 6) == 0)
        problem_warning(
            context->problems, context->file, context->line,
            "the value of the header %s looks like a credential; a settings file is no place for one",
            context->key);
    return append_header(d, context->key, value, context->line);
}

void profile_draft_check_headers(const struct profile_draft *d)
{
    static const char system_prefix[] = "Vipps-System-";

    if (d->settings.provider == PROVIDER_OAUTH2)
        return;
    for (size_t i = 0; i < d->settings.n_headers; i++) {
        const struct header_setting *header = &d->settings.headers[i];
        size_t size = strlen(header->value);
        if (strncasecmp(header->name, system_prefix, strlen(system_prefix)) == 0 && size > VIPPS_SYSTEM_MAX)
            problem_error(d->problems, d->source->file, d->header_lines[i],
                          "the header %s must be at most 30 characters for Vipps; this is %zu", header->name,
                          size);
        if (strcasecmp(header->name, "Merchant-Serial-Number") == 0 &&
            (size < MSN_MIN || strspn(header->value, "0123456789") != size))
            problem_warning(d->problems, d->source->file, d->header_lines[i],
                            "a Merchant-Serial-Number is a number of 4 or more digits");
    }
}
