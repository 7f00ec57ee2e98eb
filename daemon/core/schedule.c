/* SPDX-License-Identifier: MIT */
#include "core/schedule.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

void schedule_init(struct schedule *s, size_t n_slots)
{
    *s = (struct schedule){.n_slots = n_slots};
    list_init(&s->ready);
}

static void origin_free(void *p)
{
    struct origin *o = p;
    free(o->name);
    free(o);
}

void schedule_done(struct schedule *s)
{
    if (!s)
        return;
    tdestroy(s->origins, origin_free);
    *s = (struct schedule){0};
    list_init(&s->ready);
}

static int origin_compare(const void *a, const void *b)
{
    return strcmp(((const struct origin *) a)->name, ((const struct origin *) b)->name);
}

/* "https://host:port" of a URL: everything up to the path. */
static char *origin_name_of(const char *url)
{
    const char *host = strstr(url, "://");
    size_t length = host ? (size_t) (host - url) + 3 : 0;
    return strndup(url, length + strcspn(url + length, "/?#"));
}

static void origin_free_p(struct origin **o)
{
    if (*o)
        origin_free(*o);
}

int schedule_get_origin(struct schedule *s, const char *url, struct origin **ret)
{
    _cleanup_(origin_free_p) struct origin *o = calloc(1, sizeof(*o));
    if (!o)
        return -ENOMEM;
    list_init(&o->ready);
    o->name = origin_name_of(url);
    if (!o->name)
        return -ENOMEM;
    void *found = tsearch(o, &s->origins, origin_compare);
    if (!found)
        return -ENOMEM;
    *ret = *(struct origin **) found;
    if (*ret == o) {
        s->n_origins++;
        (void) TAKE_PTR(o);
    }
    (*ret)->n_users++;
    return 0;
}

void schedule_put_origin(struct schedule *s, struct origin *origin)
{
    if (--origin->n_users > 0)
        return;
    s->n_origins--;
    list_remove(&origin->ready);
    (void) tdelete(origin, &s->origins, origin_compare);
    origin_free(origin);
}

/* How many slots an origin may hold. */
static size_t origin_limit(const struct schedule *s, const struct origin *o)
{
    size_t limit = s->n_slots;

    if (s->n_origins > 1)
        limit = o->is_suspect ? s->n_slots / 8 : s->n_slots / 2;
    return limit > 0 ? limit : 1;
}

/* Puts the origin where it belongs: at the end of the turn when it may start something, else out of it. */
static void origin_update(struct schedule *s, struct origin *o)
{
    bool is_ready = heap_peek(&o->queue) && o->n_in_flight < origin_limit(s, o);

    if (!is_ready)
        list_remove(&o->ready);
    else if (list_is_empty(&o->ready))
        list_append(&s->ready, &o->ready);
}

static void update_visited(const void *node, VISIT visit, void *s)
{
    if (visit == postorder || visit == leaf)
        origin_update(s, *(struct origin *const *) node);
}

void schedule_set_slots(struct schedule *s, size_t n_slots)
{
    s->n_slots = n_slots;
    twalk_r(s->origins, update_visited, s);
}

void schedule_add(struct schedule *s, struct job *job, usec_t urgent_at)
{
    heap_set(&job->origin->queue, &job->node, usec_min(urgent_at, USEC_INFINITY - 1));
    origin_update(s, job->origin);
}

void schedule_remove(struct schedule *s, struct job *job)
{
    if (!job->node.is_queued)
        return;
    heap_remove(&job->origin->queue, &job->node);
    origin_update(s, job->origin);
}

struct job *schedule_pop(struct schedule *s)
{
    if (s->n_in_flight >= s->n_slots)
        return NULL;
    struct list *turn = list_pop(&s->ready);
    if (!turn)
        return NULL;
    struct origin *o = container_of(turn, struct origin, ready);
    struct heap_node *node = heap_peek(&o->queue);
    heap_remove(&o->queue, node);
    o->n_in_flight++;
    s->n_in_flight++;
    origin_update(s, o);
    return container_of(node, struct job, node);
}

void schedule_end(struct schedule *s, struct job *job, bool has_answered)
{
    job->origin->n_in_flight--;
    s->n_in_flight--;
    job->origin->is_suspect = !has_answered;
    origin_update(s, job->origin);
}
