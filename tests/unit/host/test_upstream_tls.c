/* SPDX-License-Identifier: MIT */
/* Whom an upstream connection trusts, who is trusted by whom, and what is left in memory when it is over. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "memory_scan.h"
#include "upstream_fixture.h"

#define DAY 86400L

/* One directory of keys for all tests. */
static char directory[] = "/tmp/test-upstream-XXXXXX";
static const char *const names[] = {"good", "other", "elsewhere", "expired", "client"};

static const char *path_of(const char *name, const char *suffix)
{
    static char paths[8][128];
    static unsigned n;
    char *path = paths[n++ % ARRAY_SIZE(paths)];

    (void) snprintf(path, sizeof(paths[0]), "%s/%s.%s", directory, name, suffix);
    return path;
}

static int make_certificates(void **state _unused_)
{
    assert_int_equal(upstream_init_process(), 0);
    assert_non_null(mkdtemp(directory));
    certificate_make(directory, "good", "IP:127.0.0.1,DNS:localhost", DAY);
    certificate_make(directory, "other", "IP:127.0.0.1", DAY);
    certificate_make(directory, "elsewhere", "DNS:elsewhere.example", DAY);
    certificate_make(directory, "expired", "IP:127.0.0.1", -3600);
    certificate_make(directory, "client", "DNS:client.example", DAY);
    return 0;
}

static int remove_certificates(void **state _unused_)
{
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        (void) unlink(path_of(names[i], "pem"));
        (void) unlink(path_of(names[i], "key"));
    }
    return rmdir(directory);
}

static void read_secret(struct secret *s, const char *path)
{
    char text[8192];
    FILE *f = fopen(path, "re");

    assert_non_null(f);
    size_t n = fread(text, 1, sizeof(text), f);
    (void) fclose(f);
    assert_int_equal(secret_set(s, text, n), 0);
}

/* Answers every request with the number of the connection that it came on. */
static void script_count_connections(struct peer *p)
{
    char request[8192], number[16];

    (void) snprintf(number, sizeof(number), "%u", p->nth);
    while (peer_read_request(p, request, sizeof(request)))
        peer_answer(p, number);
}

static struct exchange_params trusting(const char *name)
{
    return (struct exchange_params){.timeout_for = 5 * USEC_PER_SEC, .ca_file = path_of(name, "pem")};
}

static void serve_as(struct fixture *f, const char *name)
{
    struct server_tls tls = {.certificate_file = path_of(name, "pem"), .key_file = path_of(name, "key")};

    fixture_serve(f, &tls, script_count_connections);
}

/* ---- the server's certificate ---- */

static const struct {
    const char *server;
    const char *ca; /* NULL: the system's */
    enum http_outcome outcome;
    const char *words;
} verdicts[] = {
    {"good",      "good",      HTTP_ANSWERED,    ""           },
    {"good",      "other",     HTTP_CERTIFICATE, "self-signed"},
    {"good",      NULL,        HTTP_CERTIFICATE, "self-signed"},
    {"elsewhere", "elsewhere", HTTP_CERTIFICATE, "127.0.0.1"  },
    {"expired",   "expired",   HTTP_CERTIFICATE, "expired"    },
    {"good",      "missing",   HTTP_NOT_SENT,    "missing.pem"},
};

static void test_certificates_are_verified(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(verdicts); i++) {
        struct outcome o = {0};
        struct exchange_params p = trusting(verdicts[i].ca ? verdicts[i].ca : "");
        p.ca_file = verdicts[i].ca ? p.ca_file : NULL;
        serve_as(f, verdicts[i].server);
        fixture_exchange(f, &p, &o);
        if (o.answer.outcome != verdicts[i].outcome || !strstr(o.answer.detail, verdicts[i].words))
            fail_msg("%s trusting %s: %d, %s", verdicts[i].server, verdicts[i].ca, (int) o.answer.outcome,
                     o.answer.detail);
        outcome_done(&o);
        server_stop(&f->server);
        f->has_server = false;
    }
}

static void test_old_tls_is_refused(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};
    struct exchange_params p = trusting("good");
    struct server_tls tls = {.certificate_file = path_of("good", "pem"),
                             .key_file = path_of("good", "key"),
                             .max_version = TLS1_1_VERSION};

    fixture_serve(f, &tls, script_count_connections);
    fixture_exchange(f, &p, &o);
    assert_int_equal(o.answer.outcome, HTTP_TLS_FAILED);
    outcome_done(&o);
}

static void script_speaks_plainly(struct peer *p)
{
    char hello[64];

    (void) !read(p->fd, hello, sizeof(hello));
    peer_answer(p, "what?");
}

static void test_a_server_without_tls(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};

    fixture_serve(f, NULL, script_speaks_plainly);
    (void) snprintf(f->server.url, sizeof(f->server.url), "https://127.0.0.1:%u/", f->server.port);
    fixture_exchange(f, NULL, &o);
    assert_int_equal(o.answer.outcome, HTTP_TLS_FAILED);
    outcome_done(&o);
}

/* ---- who may share a connection ---- */

static void test_connections_are_not_shared_across_trust(void **state)
{
    struct fixture *f = *state;
    struct outcome first = {0}, again = {0}, other = {0};
    struct exchange_params good = trusting("good"), distrusting = trusting("other");

    serve_as(f, "good");
    fixture_exchange(f, &good, &first);
    fixture_exchange(f, &good, &again);
    assert_string_equal(buffer_peek(&first.answer.body), "1");
    assert_string_equal(buffer_peek(&again.answer.body), "1"); /* the same connection */
    fixture_exchange(f, &distrusting, &other);
    assert_int_equal(other.answer.outcome, HTTP_CERTIFICATE);
    outcome_done(&first);
    outcome_done(&again);
    outcome_done(&other);
}

/* ---- our certificate ---- */

static void serve_clients(struct fixture *f, int max_version)
{
    struct server_tls tls = {.certificate_file = path_of("good", "pem"),
                             .key_file = path_of("good", "key"),
                             .client_ca_file = path_of("client", "pem"),
                             .max_version = max_version};

    fixture_serve(f, &tls, script_count_connections);
}

static void test_a_client_certificate_opens_the_door(void **state)
{
    struct fixture *f = *state;
    struct outcome with = {0}, again = {0}, without = {0};
    _cleanup_(secret_done) struct secret certificate = SECRET_INIT, key = SECRET_INIT;
    struct exchange_params p = trusting("good");

    read_secret(&certificate, path_of("client", "pem"));
    read_secret(&key, path_of("client", "key"));
    serve_clients(f, 0);
    p.tls_certificate = &certificate;
    p.tls_key = &key;
    fixture_exchange(f, &p, &with);
    assert_int_equal(with.answer.outcome, HTTP_ANSWERED);
    assert_string_equal(buffer_peek(&with.answer.body), "1");
    fixture_exchange(f, &p, &again);
    assert_string_equal(buffer_peek(&again.answer.body), "2"); /* the key is not kept for a second request */

    p.tls_certificate = p.tls_key = NULL;
    fixture_exchange(f, &p, &without);
    assert_int_equal(without.answer.outcome, HTTP_TLS_FAILED);
    assert_non_null(strstr(without.answer.detail, "certificate required"));
    outcome_done(&with);
    outcome_done(&again);
    outcome_done(&without);
}

static void test_before_tls_1_3_too(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};
    struct exchange_params p = trusting("good");

    serve_clients(f, TLS1_2_VERSION);
    fixture_exchange(f, &p, &o);
    assert_int_equal(o.answer.outcome, HTTP_TLS_FAILED);
    outcome_done(&o);
}

/* Encrypted with a pass phrase that nobody will type: it must neither ask for it nor crash. */
static const char encrypted_key[] = "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
                                    "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgAAAAAAAAAAAICCAAw\n"
                                    "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEAAAAAAAAAAAAAAAAAAAAAAEgZAA\n"
                                    "-----END ENCRYPTED PRIVATE KEY-----\n";

static const char old_encrypted_key[] = "-----BEGIN RSA PRIVATE KEY-----\n"
                                        "Proc-Type: 4,ENCRYPTED\n"
                                        "DEK-Info: AES-128-CBC,00000000000000000000000000000000\n\n"
                                        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
                                        "-----END RSA PRIVATE KEY-----\n";

static void test_unusable_keys_are_our_fault(void **state)
{
    struct fixture *f = *state;
    const char *const keys[] = {"garbage", "", encrypted_key, old_encrypted_key};
    _cleanup_(secret_done) struct secret certificate = SECRET_INIT, key = SECRET_INIT;
    struct exchange_params p = trusting("good");

    read_secret(&certificate, path_of("client", "pem"));
    serve_clients(f, 0);
    p.tls_certificate = &certificate;
    p.tls_key = &key;
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        struct outcome o = {0};
        assert_int_equal(secret_set(&key, keys[i], strlen(keys[i])), 0);
        fixture_exchange(f, &p, &o);
        if (o.answer.outcome != HTTP_NOT_SENT)
            fail_msg("key %zu: %d, %s", i, (int) o.answer.outcome, o.answer.detail);
        outcome_done(&o);
    }
}

/* ---- what is left in memory ---- */

static void script_answer_token(struct peer *p)
{
    char request[65536], token[4096];

    /* The second half of the canary is made here, so that the test never had it. */
    canary_write(token, 1);
    while (peer_read_request(p, request, sizeof(request)))
        peer_answer(p, token);
}

/* The key goes out in a header and in the body, the token comes back; both are then in locked memory alone.
 */
static void test_nothing_stays_outside_locked_memory(void **state)
{
    struct fixture *f = *state;
    struct outcome o = {0};
    struct exchange_params p = trusting("good");
    struct server_tls tls = {.certificate_file = path_of("good", "pem"), .key_file = path_of("good", "key")};

    if (!memory_can_scan()) {
        print_message("skipped: this memory cannot be scanned (sanitizer or valgrind)\n");
        skip();
    }
    fixture_serve(f, &tls, script_answer_token);
    canary_into_secret(&f->request.headers[0], "client_secret: ", 0);
    f->request.n_headers = 1;
    canary_into_secret(&f->request.body, "client_secret=", 0);
    fixture_exchange(f, &p, &o);
    assert_int_equal(o.answer.outcome, HTTP_ANSWERED);

    assert_true(memory_count(0, MEMORY_LOCKED) >= 2); /* the request's own: the scan does find things */
    assert_true(memory_count(1, MEMORY_LOCKED) >= 1);
    assert_int_equal(memory_count(0, MEMORY_OTHER), 0);
    assert_int_equal(memory_count(1, MEMORY_OTHER), 0);
    outcome_done(&o);
    assert_int_equal(memory_count(1, MEMORY_LOCKED), 0);
}

#define with_fixture(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_fixture(test_certificates_are_verified),
        with_fixture(test_old_tls_is_refused),
        with_fixture(test_a_server_without_tls),
        with_fixture(test_connections_are_not_shared_across_trust),
        with_fixture(test_a_client_certificate_opens_the_door),
        with_fixture(test_before_tls_1_3_too),
        with_fixture(test_unusable_keys_are_our_fault),
        with_fixture(test_nothing_stays_outside_locked_memory),
    };

    return cmocka_run_group_tests_name("host/upstream: TLS", tests, make_certificates, remove_certificates);
}
