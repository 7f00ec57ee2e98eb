/* SPDX-License-Identifier: MIT */
#include "core/audit.h"

#include <errno.h>
#include <string.h>

#include "base/list.h"

/* A quarter of the most there can be: chains of four at worst, 16 KiB of pointers for both tables. */
#define BUCKET_BITS 10
#define N_BUCKETS   (1 << BUCKET_BITS)

/* One window of one caller. It lies in a bucket while it is open, and is freed when its summary was told. */
struct audit_record {
    enum audit_kind kind;
    struct audit_caller caller; /* its strings lie behind the record */
    uint64_t hash;
    struct audit_record *next; /* in its bucket */
    struct list place;         /* in `open` or `due`; in neither: the others, when nothing happened to them */
    struct list processes;     /* of struct process, by `sibling` */
    bool is_of_others;
    bool is_told; /* its first event was logged by itself */
    usec_t began_at;
    usec_t ends_at;
    int32_t pid;
    char fingerprint[FINGERPRINT_SIZE];
    uint64_t generation;
    char asked[AUDIT_NAME_SIZE];
    uint64_t n_cache, n_waited, n_denied; /* not logged by themselves */
};

/* A process that was looked up. */
struct process {
    struct audit_key key;
    struct audit_record *record;
    struct process *next; /* in its bucket */
    struct list sibling;  /* in record->processes */
    struct list age;      /* in audit.processes */
};

struct audit {
    enum audit_mode mode;
    struct audit_record others[N_AUDIT_KINDS];
    struct list open;      /* by the end of the window: they are all of one length */
    struct list due;       /* windows that have ended, with something to tell */
    struct list processes; /* the oldest first */
    size_t n_records;      /* open and due, without the others */
    size_t n_processes;
    usec_t denial_debt_at; /* leaky bucket of denials that are logged by themselves */
    struct audit_summary summary;
    struct audit_record *popped; /* what `summary` borrows from */
    struct audit_record *records_by_hash[N_BUCKETS];
    struct process *processes_by_hash[N_BUCKETS];
};

/* ---- hashing ---- */

/* FNV-1a. Callers cannot gain by choosing names: chains end at what AUDIT_CALLERS_MAX allows. */
static uint64_t hash_bytes(uint64_t hash, const void *data, size_t size)
{
    const unsigned char *p = data;

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ p[i]) * 0x100000001b3;
    return hash;
}

/* With the NUL, so that the ends of names count; NULL is not "". */
static uint64_t hash_text(uint64_t hash, const char *text)
{
    return text ? hash_bytes(hash, text, strlen(text) + 1) : hash_bytes(hash, "\xff", 1);
}

static uint64_t hash_caller(enum audit_kind kind, const struct audit_caller *c)
{
    uint64_t hash = hash_bytes(0xcbf29ce484222325, &(uint64_t){(uint64_t) c->uid << 8 | kind}, 8);

    return hash_text(hash_text(hash_text(hash, c->unit), c->exe), c->profile);
}

static struct process **process_bucket(struct audit *a, const struct audit_key *key)
{
    uint64_t hash = key->process_id ^ (uintptr_t) key->profile;

    /* Fibonacci hashing: the upper bits depend on all others. */
    return &a->processes_by_hash[(hash * 0x9e3779b97f4a7c15) >> (64 - BUCKET_BITS)];
}

static bool text_is_equal(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool caller_is_equal(const struct audit_caller *a, const struct audit_caller *b)
{
    return a->uid == b->uid && text_is_equal(a->profile, b->profile) && text_is_equal(a->unit, b->unit) &&
           text_is_equal(a->exe, b->exe);
}

/* ---- processes ---- */

static void process_forget(struct audit *a, struct process *p)
{
    struct process **at = process_bucket(a, &p->key);

    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    list_remove(&p->sibling);
    list_remove(&p->age);
    a->n_processes--;
    free(p);
}

/* Not remembering for want of memory costs another look-up, and nothing else. */
static void process_remember(struct audit *a, const struct audit_key *key, struct audit_record *record)
{
    if (key->process_id == 0)
        return;
    if (a->n_processes == AUDIT_PROCESSES_MAX)
        process_forget(a, container_of(a->processes.next, struct process, age));
    struct process *p = malloc(sizeof(*p));
    if (!p)
        return;
    struct process **bucket = process_bucket(a, key);
    *p = (struct process){.key = *key, .record = record, .next = *bucket};
    *bucket = p;
    list_append(&record->processes, &p->sibling);
    list_append(&a->processes, &p->age);
    a->n_processes++;
}

void audit_forget_processes(struct audit *a)
{
    list_foreach_safe(i, &a->processes) process_forget(a, container_of(i, struct process, age));
}

/* ---- windows ---- */

static uint64_t record_n_counted(const struct audit_record *r)
{
    return r->n_cache + r->n_waited + r->n_denied;
}

static void record_free(struct audit *a, struct audit_record *r)
{
    if (!r)
        return;
    a->n_records--;
    free(r);
}

static void window_begin(struct audit *a, struct audit_record *r, usec_t now)
{
    r->began_at = now;
    r->ends_at = usec_add(now, AUDIT_WINDOW_FOR);
    list_append(&a->open, &r->place);
}

/* The others have no bucket. */
static void leave_bucket(struct audit *a, const struct audit_record *r)
{
    struct audit_record **at = &a->records_by_hash[r->hash % N_BUCKETS];

    if (r->is_of_others)
        return;
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
}

static void window_end(struct audit *a, struct audit_record *r, usec_t now)
{
    list_foreach_safe(i, &r->processes) process_forget(a, container_of(i, struct process, sibling));
    leave_bucket(a, r);
    list_remove(&r->place);
    r->ends_at = usec_min(r->ends_at, now);
    if (record_n_counted(r) > 0)
        list_append(&a->due, &r->place);
    else if (!r->is_of_others)
        record_free(a, r);
}

static struct audit_record *oldest_window(const struct audit *a)
{
    return list_is_empty(&a->open) ? NULL : container_of(a->open.next, struct audit_record, place);
}

static void end_windows(struct audit *a, usec_t now)
{
    struct audit_record *r;

    while ((r = oldest_window(a)) && r->ends_at <= now)
        window_end(a, r, now);
}

void audit_flush(struct audit *a, usec_t now)
{
    struct audit_record *r;

    while ((r = oldest_window(a)))
        window_end(a, r, now);
}

usec_t audit_next_at(const struct audit *a)
{
    const struct audit_record *oldest = oldest_window(a);

    if (!list_is_empty(&a->due))
        return 0;
    return oldest ? oldest->ends_at : USEC_INFINITY;
}

/* ---- records ---- */

static size_t text_size(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

/* Copies a string behind the record, and moves the end on. */
static const char *store_text(char **end, const char *text)
{
    char *copy = *end;

    if (!text)
        return NULL;
    memcpy(copy, text, text_size(text));
    *end += text_size(text);
    return copy;
}

static struct audit_record *record_new(struct audit *a, enum audit_kind kind, const struct audit_caller *c)
{
    struct audit_record *r =
        calloc(1, sizeof(*r) + text_size(c->unit) + text_size(c->exe) + text_size(c->profile));
    if (!r)
        return NULL;
    char *end = (char *) (r + 1);
    r->kind = kind;
    r->caller = (struct audit_caller){
        .uid = c->uid,
        .unit = store_text(&end, c->unit),
        .exe = store_text(&end, c->exe),
        .profile = store_text(&end, c->profile),
    };
    list_init(&r->place);
    list_init(&r->processes);
    a->n_records++;
    return r;
}

/* Whether one more caller that is denied may be named. */
static bool has_denial_left(struct audit *a, usec_t now)
{
    usec_t debt_at = usec_max(a->denial_debt_at, now);

    if (debt_at > usec_add(now, (AUDIT_DENIAL_BURST - 1) * AUDIT_DENIAL_INTERVAL_FOR))
        return false;
    a->denial_debt_at = usec_add(debt_at, AUDIT_DENIAL_INTERVAL_FOR);
    return true;
}

/* A record for a caller that has none; that of the others where there is no room, memory or line left. */
static struct audit_record *open_new(struct audit *a, enum audit_kind kind, const struct audit_caller *caller,
                                     uint64_t hash, usec_t now)
{
    struct audit_record *r = NULL;

    if (a->n_records < AUDIT_CALLERS_MAX && (kind != AUDIT_DENIAL || has_denial_left(a, now)))
        r = record_new(a, kind, caller);
    if (!r)
        return &a->others[kind];
    struct audit_record **bucket = &a->records_by_hash[hash % N_BUCKETS];
    r->hash = hash;
    r->next = *bucket;
    *bucket = r;
    window_begin(a, r, now);
    return r;
}

struct audit_record *audit_find(struct audit *a, const struct audit_key *key, usec_t now)
{
    if (key->process_id == 0)
        return NULL;
    for (struct process *p = *process_bucket(a, key); p; p = p->next) {
        if (p->key.process_id == key->process_id && p->key.profile == key->profile &&
            p->key.uid == key->uid && p->key.kind == key->kind)
            return now < p->record->ends_at ? p->record : NULL;
    }
    return NULL;
}

struct audit_record *audit_open(struct audit *a, const struct audit_key *key,
                                const struct audit_caller *caller, usec_t now)
{
    uint64_t hash = hash_caller(key->kind, caller);

    end_windows(a, now);
    struct audit_record *r = a->records_by_hash[hash % N_BUCKETS];
    while (r && (r->hash != hash || r->kind != key->kind || !caller_is_equal(&r->caller, caller)))
        r = r->next;
    if (!r)
        r = open_new(a, key->kind, caller, hash, now);
    if (!r->is_of_others)
        process_remember(a, key, r);
    return r;
}

const struct audit_caller *audit_caller_peek(const struct audit_record *record)
{
    return &record->caller;
}

/* ---- counting ---- */

/* Whether this event is the one of its window that is logged by itself; the others have none. */
static bool take_first(struct audit *a, struct audit_record *r, usec_t now)
{
    if (r->is_of_others && list_is_empty(&r->place))
        window_begin(a, r, now);
    bool is_first = !r->is_told && !r->is_of_others;
    r->is_told = true;
    return is_first;
}

bool audit_has_handouts(const struct audit *a)
{
    return a->mode != AUDIT_OFF;
}

bool audit_count_handout(struct audit *a, struct audit_record *r, const struct audit_handout *h, usec_t now)
{
    switch (a->mode) {
    case AUDIT_OFF:
        return false;
    case AUDIT_EVERY:
        return true;
    case AUDIT_SUMMARY:
        break;
    }
    if (take_first(a, r, now))
        return true;
    if (h->has_waited)
        r->n_waited++;
    else
        r->n_cache++;
    if (r->is_of_others)
        return false;
    r->pid = h->pid;
    r->generation = h->generation;
    size_t size = strnlen(h->fingerprint, FINGERPRINT_SIZE - 1);
    memcpy(r->fingerprint, h->fingerprint, size);
    r->fingerprint[size] = '\0';
    return false;
}

bool audit_count_denial(struct audit *a, struct audit_record *r, const struct audit_denial *d, usec_t now)
{
    if (take_first(a, r, now))
        return true;
    r->n_denied++;
    if (r->is_of_others)
        return false;
    r->pid = d->pid;
    (void) audit_name_print(d->asked, r->asked);
    return false;
}

const char *audit_name_print(const char *name, char buf[static AUDIT_NAME_SIZE])
{
    size_t size = strnlen(name, AUDIT_NAME_SIZE);
    bool is_cut = size == AUDIT_NAME_SIZE;

    size -= is_cut;
    for (size_t i = 0; i < size; i++)
        buf[i] = (char) (name[i] > ' ' && name[i] <= '~' ? name[i] : '?');
    if (is_cut)
        memcpy(buf + size - 3, "...", 3);
    buf[size] = '\0';
    return buf;
}

/* ---- telling ---- */

/* Moves the counts into the summary: what comes later is of another one. */
static void summarize(struct audit *a, struct audit_record *r)
{
    a->summary = (struct audit_summary){
        .kind = r->kind,
        .is_of_others = r->is_of_others,
        .caller = r->caller,
        .pid = r->pid,
        .generation = r->generation,
        .n_cache = r->n_cache,
        .n_waited = r->n_waited,
        .n_denied = r->n_denied,
        .during_for = usec_sub(r->ends_at, r->began_at),
    };
    memcpy(a->summary.fingerprint, r->fingerprint, sizeof(r->fingerprint));
    memcpy(a->summary.asked, r->asked, sizeof(r->asked));
    r->n_cache = r->n_waited = r->n_denied = 0;
}

const struct audit_summary *audit_pop_summary(struct audit *a, usec_t now)
{
    record_free(a, TAKE_PTR(a->popped));
    end_windows(a, now);
    struct list *first = list_pop(&a->due);
    if (!first)
        return NULL;
    struct audit_record *r = container_of(first, struct audit_record, place);
    summarize(a, r);
    if (!r->is_of_others)
        a->popped = r;
    return &a->summary;
}

/* ---- the whole ---- */

void audit_set_mode(struct audit *a, enum audit_mode mode, usec_t now)
{
    if (a->mode == mode)
        return;
    audit_flush(a, now);
    a->mode = mode;
}

int audit_new(struct audit **ret, enum audit_mode mode)
{
    struct audit *a = calloc(1, sizeof(*a));

    if (!a)
        return -ENOMEM;
    a->mode = mode;
    list_init(&a->open);
    list_init(&a->due);
    list_init(&a->processes);
    for (enum audit_kind kind = 0; kind < N_AUDIT_KINDS; kind++) {
        struct audit_record *r = &a->others[kind];
        r->kind = kind;
        r->is_of_others = true;
        r->caller.uid = UINT32_MAX;
        list_init(&r->place);
        list_init(&r->processes);
    }
    *ret = a;
    return 0;
}

struct audit *audit_free(struct audit *a)
{
    if (!a)
        return NULL;
    audit_flush(a, 0);
    while (audit_pop_summary(a, 0))
        continue;
    free(a);
    return NULL;
}
