/* SPDX-License-Identifier: MIT */
#include "server_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "host/clock.h"

#define READ_SIZE ((size_t) 4 << 20)
/* More turns of the loop than any test has work for. */
#define TURNS_MAX 20000

struct fake_api api;
struct server *server;

static sd_event *event;
static struct sockaddr_un addresses[N_SOCKETS_MAX];
static socklen_t address_sizes[N_SOCKETS_MAX];
static char *read_text;

static void keep(struct log *log _unused_, const struct log_entry *entry)
{
    if (entry->level > LOG_LEVEL_INFO)
        return;
    api.n_said++;
    (void) snprintf(api.said, sizeof(api.said), "%s", entry->message);
}

static struct log test_log = {.max_level = LOG_LEVEL_DEBUG, .write = keep};

struct response *make_response(size_t size)
{
    _cleanup_(buffer_done) struct buffer body = BUFFER_INIT_SECRET(READ_SIZE);
    const struct response_header headers[] = {
        {"X-One", "1" },
        {"X-No",  NULL}
    };

    if (size == 0)
        buffer_append_string(&body, "hello\n");
    for (size_t i = 0; i < size; i++)
        buffer_append_char(&body, 'x');
    return response_new(200, "text/plain", &body, headers, ARRAY_SIZE(headers));
}

static struct response *handle(void *userdata, struct request *r)
{
    struct fake_api *a = userdata;

    a->n_calls++;
    a->last = *r;
    if (a->has_no_memory)
        return NULL;
    if (!a->does_wait)
        return make_response(a->body_size);
    assert_true(a->n_waiting < N_WAITING_MAX);
    a->waiting[a->n_waiting++] = r;
    r->is_waiting = true;
    return NULL;
}

static void hang_up(void *userdata, struct request *r)
{
    struct fake_api *a = userdata;
    size_t i = 0;

    a->n_hang_ups++;
    /* Only what waits can be taken back, and once. */
    while (i < a->n_waiting && a->waiting[i] != r)
        i++;
    assert_true(i < a->n_waiting);
    a->waiting[i] = a->waiting[--a->n_waiting];
}

int listen_at(size_t i)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    /* The kernel picks a name. */
    addresses[i] = (struct sockaddr_un){.sun_family = AF_UNIX};
    assert_int_equal(bind(fd, (struct sockaddr *) &addresses[i], sizeof(sa_family_t)), 0);
    address_sizes[i] = sizeof(addresses[i]);
    assert_int_equal(getsockname(fd, (struct sockaddr *) &addresses[i], &address_sizes[i]), 0);
    assert_int_equal(listen(fd, 128), 0);
    return fd;
}

void server_restart_at(const struct listeners *listeners, uint64_t max_connections,
                       uint64_t max_connections_per_user)
{
    const struct server_limits limits = {max_connections, max_connections_per_user};
    const struct server_handler handler = {.handle = handle, .hang_up = hang_up, .userdata = &api};

    server = server_free(server);
    assert_int_equal(server_new(&server, event, listeners, &limits, &handler, &test_log), 0);
}

void server_restart(uint64_t max_connections, uint64_t max_connections_per_user)
{
    int fd = listen_at(0);

    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    server_restart_at(&(struct listeners){.items = {{.fd = fd}}, .n_items = 1}, max_connections,
                      max_connections_per_user);
}

int server_set_up(void **state _unused_)
{
    api = (struct fake_api){0};
    read_text = malloc(READ_SIZE);
    assert_non_null(read_text);
    assert_int_equal(sd_event_new(&event), 0);
    server_restart(16, 8);
    return 0;
}

int server_tear_down(void **state _unused_)
{
    server = server_free(server);
    event = sd_event_unref(event);
    free(read_text);
    return 0;
}

void loop_settle(void)
{
    for (unsigned i = 0; i < TURNS_MAX; i++) {
        int r = sd_event_run(event, 0);
        assert_true(r >= 0);
        if (r == 0)
            return;
    }
    fail_msg("the loop spins");
}

static int try_connect(size_t i, int *ret_fd)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *) &addresses[i], address_sizes[i]) < 0) {
        int r = -errno;
        (void) close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

int client_try_connect(int *ret_fd)
{
    return try_connect(0, ret_fd);
}

int client_connect_to(size_t i)
{
    int fd = -1;

    assert_int_equal(try_connect(i, &fd), 0);
    return fd;
}

int client_connect(void)
{
    return client_connect_to(0);
}

int client_send(int fd, const char *text)
{
    ssize_t n = send(fd, text, strlen(text), MSG_NOSIGNAL);

    if (n < 0)
        return -errno;
    assert_int_equal(n, strlen(text));
    return 0;
}

const char *client_read(int fd, bool *ret_is_end)
{
    size_t size = 0;
    ssize_t n;

    while ((n = recv(fd, read_text + size, READ_SIZE - 1 - size, 0)) > 0)
        size += (size_t) n;
    assert_true(n == 0 || errno == EAGAIN || errno == ECONNRESET);
    if (ret_is_end)
        *ret_is_end = n == 0 || errno == ECONNRESET;
    read_text[size] = '\0';
    return read_text;
}

const char *client_ask(int fd, const char *text)
{
    assert_int_equal(client_send(fd, text), 0);
    loop_settle();
    return client_read(fd, NULL);
}

size_t count_phase(enum phase phase)
{
    size_t n = 0;

    list_foreach(i, &server->phases[phase]) n++;
    return n;
}

void phases_are_old(usec_t age)
{
    for (unsigned i = 0; i < N_PHASES; i++) {
        list_foreach(k, &server->phases[i])
        {
            container_of(k, struct connection, in_phase)->since_at = clock_boottime() - age;
        }
    }
    server_arm_timer(server);
    loop_settle();
}

void phases_grow_older(usec_t by)
{
    for (unsigned i = 0; i < N_PHASES; i++) {
        list_foreach(k, &server->phases[i]) container_of(k, struct connection, in_phase)->since_at -= by;
    }
    server_arm_timer(server);
    loop_settle();
}

unsigned count_text(const char *text, const char *part)
{
    unsigned n = 0;

    for (const char *at = text; (at = strstr(at, part)); at++)
        n++;
    return n;
}
