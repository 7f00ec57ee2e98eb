/* SPDX-License-Identifier: MIT */
#include "server_child.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* No server outlives this, whatever happens to the test. */
#define LIFE_SECONDS 60u

static ssize_t peer_read(struct peer *p, char *to, size_t size)
{
    return p->ssl ? SSL_read(p->ssl, to, (int) size) : read(p->fd, to, size);
}

bool peer_read_request(struct peer *p, char *request, size_t size)
{
    size_t n = 0, wanted = SIZE_MAX;

    request[0] = '\0';
    while (n < wanted && n + 1 < size) {
        ssize_t got = peer_read(p, request + n, wanted == SIZE_MAX ? 1 : wanted - n);
        if (got <= 0)
            return false;
        n += (size_t) got;
        request[n] = '\0';
        if (wanted == SIZE_MAX && n >= 4 && strcmp(request + n - 4, "\r\n\r\n") == 0) {
            const char *length = strcasestr(request, "\r\nContent-Length: ");
            wanted = n + (length ? strtoul(length + 18, NULL, 10) : 0);
        }
    }
    return true;
}

void peer_write(struct peer *p, const void *data, size_t size)
{
    if (p->ssl)
        (void) SSL_write(p->ssl, data, (int) size);
    else
        (void) !send(p->fd, data, size, MSG_NOSIGNAL);
}

void peer_answer(struct peer *p, const char *body)
{
    char head[128];

    int n = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", strlen(body));
    peer_write(p, head, (size_t) n);
    peer_write(p, body, strlen(body));
}

static SSL_CTX *tls_context(const struct server_tls *tls)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());

    if (tls->max_version > 0 && tls->max_version < TLS1_2_VERSION) {
        SSL_CTX_set_security_level(context, 0);
        SSL_CTX_set_min_proto_version(context, tls->max_version);
    }
    if (tls->max_version > 0)
        SSL_CTX_set_max_proto_version(context, tls->max_version);
    if (SSL_CTX_use_certificate_file(context, tls->certificate_file, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, tls->key_file, SSL_FILETYPE_PEM) != 1)
        _exit(2);
    if (tls->client_ca_file) {
        if (SSL_CTX_load_verify_locations(context, tls->client_ca_file, NULL) != 1)
            _exit(2);
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    return context;
}

static void die_with_parent(void)
{
    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void) alarm(LIFE_SECONDS);
}

/* Reads what is still coming: closing on unread data is a reset, which overtakes the TLS alert that says why.
 */
_Noreturn static void hang_up_politely(struct peer *p)
{
    char rest[1024];

    (void) shutdown(p->fd, SHUT_WR);
    while (read(p->fd, rest, sizeof(rest)) > 0)
        continue;
    _exit(0);
}

_Noreturn static void serve_one(struct peer *p, const struct server_tls *tls, server_script script)
{
    die_with_parent();
    if (tls) {
        p->ssl = SSL_new(tls_context(tls));
        (void) SSL_set_fd(p->ssl, p->fd);
        if (SSL_accept(p->ssl) != 1)
            hang_up_politely(p);
    }
    script(p);
    if (p->ssl)
        (void) SSL_shutdown(p->ssl);
    (void) shutdown(p->fd, SHUT_WR);
    _exit(0);
}

_Noreturn static void serve(int listen_fd, int seen_fd, const struct server_tls *tls, server_script script)
{
    struct peer p = {.seen_fd = seen_fd};

    die_with_parent();
    (void) signal(SIGCHLD, SIG_IGN);
    (void) signal(SIGPIPE, SIG_IGN);
    for (;;) {
        p.fd = accept(listen_fd, NULL, NULL);
        if (p.fd < 0)
            _exit(1);
        p.nth++;
        if (fork() == 0)
            serve_one(&p, tls, script);
        (void) close(p.fd);
    }
}

static int listen_somewhere(uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);

    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *) &address, &size), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

uint16_t port_unused(void)
{
    uint16_t port;

    (void) close(listen_somewhere(&port));
    return port;
}

void server_start(struct server *s, const struct server_tls *tls, server_script script)
{
    int seen[2];
    int fd = listen_somewhere(&s->port);

    assert_int_equal(pipe(seen), 0);
    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid == 0)
        serve(fd, seen[1], tls, script);
    (void) close(fd);
    (void) close(seen[1]);
    s->seen_fd = seen[0];
    (void) snprintf(s->url, sizeof(s->url), "%s://127.0.0.1:%u/token", tls ? "https" : "http", s->port);
}

void server_stop(struct server *s)
{
    (void) kill(s->pid, SIGKILL);
    (void) waitpid(s->pid, NULL, 0);
    (void) close(s->seen_fd);
}

void server_read_seen(struct server *s, char *text, size_t size)
{
    struct pollfd p = {.fd = s->seen_fd, .events = POLLIN};

    assert_int_equal(poll(&p, 1, 5000), 1);
    ssize_t n = read(s->seen_fd, text, size - 1);
    assert_true(n >= 0);
    text[n] = '\0';
}

static FILE *open_in(const char *directory, const char *name, const char *suffix)
{
    char path[256];

    (void) snprintf(path, sizeof(path), "%s/%s.%s", directory, name, suffix);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    return f;
}

void certificate_make(const char *directory, const char *name, const char *alt_name, long valid_for_seconds)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    X509_NAME *subject = X509_get_subject_name(certificate);

    (void) X509_set_version(certificate, X509_VERSION_3);
    (void) ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    (void) X509_gmtime_adj(X509_getm_notBefore(certificate), -86400);
    (void) X509_gmtime_adj(X509_getm_notAfter(certificate), valid_for_seconds);
    (void) X509_set_pubkey(certificate, key);
    (void) X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *) name, -1, -1, 0);
    (void) X509_set_issuer_name(certificate, subject);
    X509_EXTENSION *alt = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alt_name);
    assert_non_null(alt);
    (void) X509_add_ext(certificate, alt, -1);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);

    FILE *f = open_in(directory, name, "pem");
    assert_int_equal(PEM_write_X509(f, certificate), 1);
    (void) fclose(f);
    f = open_in(directory, name, "key");
    assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    (void) fclose(f);
    X509_EXTENSION_free(alt);
    X509_free(certificate);
    EVP_PKEY_free(key);
}
