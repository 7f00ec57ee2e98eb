/* SPDX-License-Identifier: MIT */
#include "host/settings_worker.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

struct settings_worker {
    /* The thread's from its start to its end, then the loop's. */
    struct settings_source source; /* borrows from the three below */
    int result;
    struct settings settings;

    char *config_path;
    char *socket_path;
    char *credentials_directory;
    pthread_t thread;
    bool has_thread; /* that is not joined */
    int done_fd;     /* an eventfd: the last thing the thread does is to write to it */
    sd_event_source *io;
    settings_worker_done *done;
    void *userdata;
};

static void *run(void *userdata)
{
    struct settings_worker *w = userdata;

    /* For ps -L and a debugger. */
    (void) pthread_setname_np(pthread_self(), "settings");
    w->result = settings_load(&w->source, &w->settings);
    /* Cannot fail: the counter was 0. */
    (void) eventfd_write(w->done_fd, 1);
    return NULL;
}

/* Without a signal: all of them belong to the loop. */
static int start_thread(struct settings_worker *w)
{
    pthread_attr_t attributes;
    sigset_t all;

    (void) sigfillset(&all);
    int r = pthread_attr_init(&attributes);
    if (r != 0)
        return -r;
    r = pthread_attr_setsigmask_np(&attributes, &all);
    if (r == 0)
        r = pthread_create(&w->thread, &attributes, run, w);
    (void) pthread_attr_destroy(&attributes);
    w->has_thread = r == 0;
    return -r;
}

/* The thread has written, so it ends now: this does not wait. */
static void join(struct settings_worker *w)
{
    (void) pthread_join(w->thread, NULL);
    w->has_thread = false;
}

static int on_done(sd_event_source *source _unused_, int fd _unused_, uint32_t revents _unused_,
                   void *userdata)
{
    struct settings_worker *w = userdata;
    _cleanup_(settings_done) struct settings settings = {0};

    join(w);
    (void) sd_event_source_set_enabled(w->io, SD_EVENT_OFF);
    settings = w->settings;
    w->settings = (struct settings){0};
    /* Behind this call there may be no worker. */
    w->done(w->userdata, w->result, &settings);
    return 0;
}

/* NULL for NULL; false when memory is out. */
static bool copy_text(const char *text, char **ret, const char **ret_borrowed)
{
    *ret = text ? strdup(text) : NULL;
    *ret_borrowed = *ret;
    return !text || *ret;
}

static bool copy_source(struct settings_worker *w, const struct settings_source *source)
{
    w->source = *source;
    return copy_text(source->config_path, &w->config_path, &w->source.config_path) &&
           copy_text(source->socket_path, &w->socket_path, &w->source.socket_path) &&
           copy_text(source->credentials_directory, &w->credentials_directory,
                     &w->source.credentials_directory);
}

/* Nothing runs any more. */
static void release(struct settings_worker *w)
{
    (void) sd_event_source_disable_unref(w->io);
    if (w->done_fd >= 0)
        (void) close(w->done_fd);
    settings_done(&w->settings);
    free(w->config_path);
    free(w->socket_path);
    free(w->credentials_directory);
    free(w);
}
DEFINE_CLEANUP(struct settings_worker *, release, release)

int settings_worker_start(struct settings_worker **ret, sd_event *event, const struct settings_source *source,
                          settings_worker_done *done, void *userdata)
{
    _cleanup_(release_p) struct settings_worker *w = calloc(1, sizeof(*w));

    if (!w)
        return -ENOMEM;
    w->done = done;
    w->userdata = userdata;
    w->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->done_fd < 0)
        return -errno;
    if (!copy_source(w, source))
        return -ENOMEM;
    int r = sd_event_add_io(event, &w->io, w->done_fd, EPOLLIN, on_done, w);
    if (r < 0)
        return r;
    r = start_thread(w);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(w);
    return 0;
}

static bool is_done_within(const struct settings_worker *w, usec_t patience_for)
{
    struct pollfd p = {.fd = w->done_fd, .events = POLLIN};
    int n;

    do
        n = poll(&p, 1, (int) (patience_for / USEC_PER_MSEC));
    while (n < 0 && errno == EINTR);
    return n > 0;
}

struct settings_worker *settings_worker_free(struct settings_worker *w)
{
    if (!w)
        return NULL;
    if (w->has_thread && !is_done_within(w, SETTINGS_WORKER_STOP_FOR))
        return w;
    if (w->has_thread)
        join(w);
    release(w);
    return NULL;
}
