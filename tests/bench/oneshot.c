/* SPDX-License-Identifier: MIT */

/*
 * One connection a request, as curl and every short script have it: connect to a Unix socket, ask, read the
 * whole answer, close; again and again, one after the other. Prints one line: the median, the 99th percentile
 * and the smallest of the times between connect() and the last byte, in microseconds.
 *
 *   oneshot SOCKET TARGET REQUESTS
 */

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* One answer, whole: a token of 16 KiB and its head, and room. */
#define ANSWER_MAX ((size_t) 64 * 1024)

static void die(const char *what)
{
    (void) fprintf(stderr, "oneshot: %s: %s\n", what, errno ? strerror(errno) : "unexpected");
    exit(1);
}

static uint64_t now_nsec(void)
{
    struct timespec t;

    (void) clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000000000U + (uint64_t) t.tv_nsec;
}

/* The size of the whole answer in `text`, or 0 while its head has not ended. */
static size_t answer_size(const char *text)
{
    const char *end = strstr(text, "\r\n\r\n");
    const char *length = strcasestr(text, "\r\nContent-Length:");

    if (!end)
        return 0;
    if (strncmp(text, "HTTP/1.1 200 ", 13) != 0 || !length || length > end) {
        errno = 0;
        die("not the answer that is measured");
    }
    return (size_t) (end + 4 - text) + strtoul(length + 17, NULL, 10);
}

/* One request over a connection of its own; how long it took. */
static uint64_t ask(const struct sockaddr_un *address, const char *request, size_t request_size)
{
    static char answer[ANSWER_MAX];
    size_t size = 0, expected = 0;
    uint64_t began_at = now_nsec();

    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *) address, sizeof(*address)) < 0)
        die("connect");
    if (write(fd, request, request_size) != (ssize_t) request_size)
        die("write");
    while (expected == 0 || size < expected) {
        ssize_t n = read(fd, answer + size, sizeof(answer) - 1 - size);
        if (n <= 0)
            die("read");
        size += (size_t) n;
        answer[size] = 0;
        if (expected == 0)
            expected = answer_size(answer);
    }
    uint64_t took = now_nsec() - began_at;
    (void) close(fd);
    return took;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t n = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
    char request[512];

    if (n == 0) {
        (void) fprintf(stderr, "oneshot SOCKET TARGET REQUESTS\n");
        return 2;
    }
    if (strlen(argv[1]) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        die(argv[1]);
    }
    memcpy(address.sun_path, argv[1], strlen(argv[1]) + 1);
    int size = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n",
                        argv[2]);
    if (size < 0 || (size_t) size >= sizeof(request)) {
        errno = ENAMETOOLONG;
        die(argv[2]);
    }
    uint64_t *times = calloc(n, sizeof(*times));
    if (!times)
        die("calloc");
    for (size_t i = 0; i < n; i++)
        times[i] = ask(&address, request, (size_t) size);
    qsort(times, n, sizeof(*times), compare);
    (void) printf("%.2f %.2f %.2f\n", (double) times[n / 2] / 1000, (double) times[n * 99 / 100] / 1000,
                  (double) times[0] / 1000);
    free(times);
    return 0;
}
