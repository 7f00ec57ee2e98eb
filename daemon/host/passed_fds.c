/* SPDX-License-Identifier: MIT */
#include "host/passed_fds.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

int passed_fds_read(struct passed_fds *ret)
{
    char **names = NULL;

    *ret = (struct passed_fds){0};
    int n = sd_listen_fds_with_names(1, &names);
    if (n <= 0)
        return n;
    struct passed_fd *items = calloc((size_t) n, sizeof(*items));
    for (int i = 0; i < n; i++) {
        if (items)
            items[i] = (struct passed_fd){.fd = SD_LISTEN_FDS_START + i, .name = names[i]};
        else
            free(names[i]);
    }
    free(names);
    if (!items)
        return -ENOMEM;
    *ret = (struct passed_fds){items, (size_t) n};
    return 0;
}

int passed_fds_take(struct passed_fds *p, const char *name)
{
    for (size_t i = 0; i < p->n_items; i++) {
        if (p->items[i].fd >= 0 && strcmp(p->items[i].name, name) == 0)
            return TAKE_FD(p->items[i].fd);
    }
    return -1;
}

static bool is_ours(int fd)
{
    return sd_is_socket(fd, AF_UNIX, SOCK_STREAM, 1) > 0;
}

int passed_fds_take_socket(struct passed_fds *p)
{
    for (size_t i = 0; i < p->n_items; i++) {
        if (p->items[i].fd >= 0 && is_ours(p->items[i].fd))
            return TAKE_FD(p->items[i].fd);
    }
    return -1;
}

static void refuse(struct passed_fd *item, struct supervisor *s, struct log *log)
{
    if (is_ours(item->fd))
        log_error(log, "the socket \"%s\" is one more than are served: who connects to it waits in vain",
                  item->name);
    else
        log_warning(log, "the descriptor \"%s\" that the service manager passed is not one of ours: closed",
                    item->name);
    (void) close(TAKE_FD(item->fd));
    if (supervisor_drop_fd(s, item->name) < 0)
        log_debug(log, "the service manager is busy: it is asked again at the next start to keep no \"%s\"",
                  item->name);
}

void passed_fds_refuse(struct passed_fds *p, struct supervisor *s, struct log *log)
{
    for (size_t i = 0; i < p->n_items; i++) {
        if (p->items[i].fd >= 0)
            refuse(&p->items[i], s, log);
    }
}

void passed_fds_done(struct passed_fds *p)
{
    for (size_t i = 0; p && i < p->n_items; i++) {
        if (p->items[i].fd >= 0)
            (void) close(p->items[i].fd);
        free(p->items[i].name);
    }
    if (p) {
        free(p->items);
        *p = (struct passed_fds){0};
    }
}
