/* SPDX-License-Identifier: MIT */
#include "host/key_proof.h"

#include <errno.h>

#include "wire/assertion.h"
#include "wire/pem.h"

#define ENDS_SOON_FOR (30 * USEC_PER_DAY)

static int prove_signing_key(const struct profile_settings *s, const struct profile_notes *notes,
                             struct problems *problems)
{
    const char *problem;

    int r = assertion_key_check(&s->keys[KEY_SIGNING], s->signing_algorithm, &problem);
    if (r == -EBADMSG) {
        problem_error(problems, s->file, notes->key_lines[KEY_SIGNING], "the signing key cannot be used: %s",
                      problem);
        return -EINVAL;
    }
    return r;
}

static int prove_tls_key(const struct profile_settings *s, const struct profile_notes *notes, usec_t wall_now,
                         struct problems *problems)
{
    usec_t ends_at;
    char moment[RFC3339_SIZE];
    const char *problem;

    int r = tls_key_check(&s->tls_certificate, &s->keys[KEY_TLS], &ends_at, &problem);
    if (r == -EBADMSG) {
        problem_error(problems, s->file, notes->certificate_line, "the client certificate cannot be used: %s",
                      problem);
        return -EINVAL;
    }
    if (r == 0 && ends_at < usec_add(wall_now, ENDS_SOON_FOR))
        problem_warning(problems, s->file, notes->certificate_line,
                        "the client certificate %s at %s: renew it",
                        ends_at <= wall_now ? "has ended" : "ends", usec_format_rfc3339(ends_at, moment));
    return r;
}

int key_proof_run(const struct profile_settings *s, const struct profile_notes *notes, usec_t wall_now,
                  struct problems *problems)
{
    if (s->provider != PROVIDER_OAUTH2)
        return 0;
    /* An encrypted key that a check cannot read proves nothing, and is no fault. */
    if (!secret_is_set(&s->keys[KEY_SIGNING]) && !secret_is_set(&s->keys[KEY_TLS]))
        return 0;
    switch (s->client_auth) {
    case CLIENT_AUTH_BASIC:
    case CLIENT_AUTH_POST:
        return 0;
    case CLIENT_AUTH_PRIVATE_KEY_JWT:
        return prove_signing_key(s, notes, problems);
    case CLIENT_AUTH_TLS:
        return prove_tls_key(s, notes, wall_now, problems);
    }
    return 0;
}
