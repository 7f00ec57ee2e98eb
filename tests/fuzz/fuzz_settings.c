/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a main file and as a profile. What must hold: no crash, a result of 0 or -EINVAL that agrees
 * with the problems, no control character in a setting or a message, and a token URL that keys may be sent
 * to.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/daemon_settings.h"
#include "config/profile_settings.h"
#include "config/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int resolve(void *userdata, const char *name, uint32_t *ret)
{
    (void) userdata;
    if (name[0] == 'x')
        return -ENOENT;
    *ret = (uint32_t) strlen(name);
    return 0;
}

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void require_printable(const char *text)
{
    for (; text && *text; text++)
        require((unsigned char) *text >= 0x20 && *text != 0x7f);
}

static void check_problems(const struct problems *problems, int result)
{
    require(result == (problems->n_errors > 0 ? -EINVAL : 0));
    for (size_t i = 0; i < problems->n_items; i++)
        require_printable(problems->items[i].message);
}

static void try_daemon(const struct settings_text *text)
{
    _cleanup_(problems_done) struct problems problems = {0};
    _cleanup_(daemon_settings_done) struct daemon_settings s = {0};

    check_problems(&problems, daemon_settings_parse(text, &problems, &s));
    require_printable(s.socket_path);
    require(!s.socket_path || strlen(s.socket_path) <= SOCKET_PATH_MAX);
}

static void try_profile(const struct settings_text *text)
{
    _cleanup_(problems_done) struct problems problems = {0};
    _cleanup_(profile_settings_done) struct profile_settings s = {0};
    struct profile_notes notes;

    int r = profile_settings_parse(text, "fuzz", &problems, &s, &notes);
    check_problems(&problems, r);
    const char *texts[] = {s.description, s.client_id,      s.scope,    s.audience,
                           s.ca_file,     s.signing_key_id, s.token_url};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        require_printable(texts[i]);
    for (size_t i = 0; i < s.n_headers; i++) {
        require_printable(s.headers[i].name);
        require_printable(s.headers[i].value);
    }
    if (r < 0)
        return;
    require(s.token_url && !url_find_problem(s.token_url, URL_FULL));
    require(s.client_id && s.refresh.jitter_percent < s.refresh.at_percent);
    require(s.idle_after_for >= USEC_PER_MIN);
    require(s.refresh.retry_min_for > 0 && s.refresh.retry_min_for <= s.refresh.retry_max_for);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct name_resolver resolver = {.user = resolve, .group = resolve};
    const struct settings_text text = {"fuzz.conf", (const char *) data, size, &resolver};

    try_daemon(&text);
    try_profile(&text);
    return 0;
}
