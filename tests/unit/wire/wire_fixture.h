/* SPDX-License-Identifier: MIT */
#pragma once

/* Profiles and answers for the tests of wire/, in memory alone. */

#include "core/settings.h"
#include "wire/http.h"

#define FIXTURE_CLIENT_ID        "fb492b5e-7907-4d83-ba20-c7fb60ca35de"
#define FIXTURE_SECRET           "Y8Kteew6GE3ZmeycEt6egg=="
#define FIXTURE_SUBSCRIPTION_KEY "0f14ebcab0eb4b29ae0cb90d91b4a84a"
#define FIXTURE_NEXT_SECRET      "q0Zb7Rj4XwTnV2sLd9PfMA=="
#define FIXTURE_SECONDARY_KEY    "7c3d9e51f2a84b06b7d1e8f4035a6c92"

/* A vipps profile with one client secret and one subscription key. Change what the test is about;
 * profile_settings_done() releases all. */
struct profile_settings fixture_vipps(void);

/* The same for oauth2 with ClientAuth=basic at https://issuer.example/oauth2/token. */
struct profile_settings fixture_oauth2(void);

/* Adds the next client secret and the secondary subscription key. */
void fixture_add_second_keys(struct profile_settings *s);

/* Replaces an owned string of the settings; `value` may be NULL. */
void fixture_set(char **string, const char *value);

void fixture_set_key(struct profile_settings *s, enum key_kind kind, const char *value);

/* An answer with that status and body, sent at 1000 s. Release it with http_answer_done(). */
struct http_answer fixture_answer(int status, const char *content_type, const char *body);
