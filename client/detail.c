/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "client/field.h"
#include "client/table.h"

struct table_row table_row_from_status(const struct bearer_status *s)
{
    int64_t issued_at = bearer_status_issued_at(s), expires_at = bearer_status_expires_at(s);
    bool has_lifetime = issued_at >= 0 && expires_at > issued_at;

    return (struct table_row){
        .profile = bearer_status_name(s),
        .state_name = bearer_status_state_name(s),
        .state = bearer_status_state(s),
        .left = bearer_status_expires_in(s),
        .lifetime = has_lifetime ? expires_at - issued_at : 0,
        .next_refresh_at = bearer_status_next_refresh_at(s),
        .error =
            bearer_status_error_message(s) ? bearer_status_error_message(s) : bearer_status_error_reason(s),
        .error_at = bearer_status_error_at(s),
    };
}

/* What is refreshed only when somebody asks has no next moment; that needs saying. */
static void append_next_refresh(struct buffer *out, const struct bearer_status *s, int64_t now,
                                const struct style *style)
{
    int64_t next_at = bearer_status_next_refresh_at(s);
    bool is_empty = bearer_status_state(s) == BEARER_STATE_EMPTY && !bearer_status_is_preloaded(s);

    if (next_at >= 0)
        field_append_moment(out, "Next refresh", next_at, now);
    else if (bearer_status_state(s) == BEARER_STATE_IDLE)
        field_append_text(out, "Next refresh", "at the next request: nobody has asked for a while", style);
    else if (is_empty)
        field_append_text(out, "Next refresh", "at the first request (Preload=no)", style);
}

/* That what is in use is what is used first. */
static bool are_keys_preferred(const char *secret, const char *key)
{
    return (!secret || !strcmp(secret, "current")) && (!key || !strcmp(key, "primary"));
}

/* "next client secret, secondary subscription key" */
static void append_keys(struct buffer *out, const struct bearer_status *s, bool has_all,
                        const struct style *style)
{
    const char *secret = bearer_status_client_secret(s), *key = bearer_status_subscription_key(s);

    if ((!secret && !key) || (!has_all && are_keys_preferred(secret, key)))
        return;
    field_append_label(out, "Keys in use");
    if (secret) {
        text_append_clean(out, secret, style->is_utf8);
        buffer_append_string(out, " client secret");
    }
    if (secret && key)
        buffer_append_string(out, ", ");
    if (key) {
        text_append_clean(out, key, style->is_utf8);
        buffer_append_string(out, " subscription key");
    }
    buffer_append_char(out, '\n');
}

void detail_append_outlook(struct buffer *out, const struct bearer_status *s, bool has_all_keys, int64_t now,
                           const struct style *style)
{
    const struct table_row row = table_row_from_status(s);

    field_append_label(out, "State");
    state_append(out, &row, 0, style);
    buffer_append_char(out, '\n');
    field_append_label(out, "Left");
    left_append(out, &row, true, 0, style);
    buffer_append_char(out, '\n');
    field_append_moment(out, "Issued", bearer_status_issued_at(s), now);
    field_append_moment(out, "Expires", bearer_status_expires_at(s), now);
    append_next_refresh(out, s, now, style);
    append_keys(out, s, has_all_keys, style);
    field_append_text(out, "Fingerprint", bearer_status_fingerprint(s), style);
    field_append_number(out, "Generation", bearer_status_generation(s), "");
    field_append_number(out, "Failures", bearer_status_consecutive_failures(s), " in a row");
    field_append_wrapped(out, "Last error", row.error, style);
    field_append_text(out, "Reason", bearer_status_error_reason(s), style);
    field_append_number(out, "HTTP status", bearer_status_error_http_status(s), "");
    field_append_moment(out, "Failed", row.error_at, now);
}

void detail_append(struct buffer *out, const struct bearer_status *s, int64_t now, const struct style *style)
{
    field_append_text(out, "Profile", bearer_status_name(s), style);
    field_append_text(out, "Description", bearer_status_description(s), style);
    field_append_text(out, "Provider", bearer_status_provider(s), style);
    for (size_t i = 0; i < bearer_status_n_allow(s); i++)
        field_append_text(out, i == 0 ? "Allow" : NULL, bearer_status_allow(s, i), style);
    detail_append_outlook(out, s, false, now, style);
}
