/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A little HTTP(S) server on 127.0.0.1 for one test: a child process that says what a script tells it to.
 * Every connection is served by a process of its own, so one that hangs or stays open holds up nobody. All of
 * it dies with server_stop() or with the test.
 */

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* One accepted connection, within the server. */
struct peer {
    int fd;
    SSL *ssl;     /* or NULL */
    unsigned nth; /* 1 for the first connection that the server accepted */
    int seen_fd;  /* what is written here, server_read_seen() reads */
};

typedef void (*server_script)(struct peer *p);

/* Reads one request, headers and body, as text. False at the end of the connection. */
bool peer_read_request(struct peer *p, char *request, size_t size);

void peer_write(struct peer *p, const void *data, size_t size);

/* "HTTP/1.1 200 OK" with this body. */
void peer_answer(struct peer *p, const char *body);

struct server_tls {
    const char *certificate_file;
    const char *key_file;
    const char *client_ca_file; /* NULL: asks for no client certificate */
    int max_version;            /* TLS1_1_VERSION, ...; 0: the newest */
};

struct server {
    pid_t pid;
    uint16_t port;
    int seen_fd;
    char url[64]; /* http(s)://127.0.0.1:PORT/token */
};

/* `tls` NULL: plain HTTP. Fails the test when it cannot. */
void server_start(struct server *s, const struct server_tls *tls, server_script script);
void server_stop(struct server *s);

/* Waits for what the script wrote to `seen_fd`, at most a few seconds; a string. */
void server_read_seen(struct server *s, char *text, size_t size);

/* Writes NAME.pem and NAME.key into `directory`: self-signed, so NAME.pem is also the CA file that trusts it.
 */
void certificate_make(const char *directory, const char *name, const char *alt_name, long valid_for_seconds);

/* A port of 127.0.0.1 on which nobody listens. */
uint16_t port_unused(void);
