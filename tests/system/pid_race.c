/* SPDX-License-Identifier: MIT */

/*
 * Tries to be taken for a process of another unit by its process id, as often as it is told to.
 *
 *     pid_race SOCKET STRANGERS MEMBERS DAEMON N_ATTEMPTS
 *
 * STRANGERS and MEMBERS are folders of cgroups: of the first nobody is admitted to the profile "shop", of the
 * second everybody. DAEMON is the process id of the daemon. All is to be in one pid namespace of its own,
 * since the next process id is set here.
 *
 * In each attempt a stranger connects, leaves its connection to us and ends, and a member is given its
 * process id before the daemon has looked. Then we ask for the token over that connection. Attempts are made
 * in batches, with the daemon stopped meanwhile, so that it always comes too late; a baseline
 * (core/pid_reuse.h) is taken while the strangers live and the ids that come next are theirs, which is the
 * hardest case.
 *
 * Prints "attempts N reused N admitted N closed N members N refused N": the process ids that were a member's
 * when we asked (a daemon that goes by the number alone admits all of these); strangers that got the token
 * (wrong, each of them); those whose connection was closed; honest members, and how many of these were
 * refused.
 */

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BATCH      1000
#define STACK_SIZE 16384
/* Batches have ids so far apart that no baseline has looked at those of the next. */
#define FIRST_PID 10000
#define PID_STEP  10000
#define N_MEMBERS 500
/* A baseline is renewed when it is so old and somebody connects. */
#define BASELINE_AGE_NSEC 120000000
/* Long enough for the daemon to see after an answer that nobody waits any more. */
#define PAUSE_NSEC 10000000

static const char get_health[] = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
static const char get_token[] = "GET /v1/profiles/shop/token HTTP/1.1\r\nHost: x\r\n\r\n";

static struct sockaddr_un address = {.sun_family = AF_UNIX};

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void write_number(const char *folder, const char *file, long value)
{
    char path[256], text[32];

    (void) snprintf(path, sizeof(path), "%s/%s", folder, file);
    int size = snprintf(text, sizeof(text), "%ld", value), fd = open(path, O_WRONLY);
    if (fd < 0 || write(fd, text, (size_t) size) != size)
        fail(path);
    (void) close(fd);
}

static void pause_for(long nsec)
{
    (void) nanosleep(&(struct timespec){.tv_nsec = nsec}, NULL);
}

static void set_next_pid(pid_t pid)
{
    write_number("/proc/sys/kernel", "ns_last_pid", pid - 1);
}

static bool is_in(pid_t pid, const char *unit)
{
    char path[64], text[4096];

    (void) snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    (void) close(fd);
    if (n < 0)
        return false;
    text[n] = '\0';
    return strstr(text, unit);
}

/* ---- asking ---- */

static int new_socket(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        fail("socket");
    return fd;
}

static int connect_socket(int fd)
{
    return connect(fd, (const struct sockaddr *) &address, sizeof(address));
}

/* The status of the answer; 0 when the connection was closed instead. */
static int ask(int fd, const char *request)
{
    char answer[8192];
    int status = 0;

    if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0)
        return 0;
    ssize_t n = recv(fd, answer, sizeof(answer) - 1, 0);
    if (n <= 0)
        return 0;
    answer[n] = '\0';
    return sscanf(answer, "HTTP/1.1 %d", &status) == 1 ? status : 0;
}

static void ask_health(void)
{
    int fd = new_socket();

    if (connect_socket(fd) < 0 || ask(fd, get_health) != 200)
        fail("/healthz");
    (void) close(fd);
}

/* ---- members: children of a process in their cgroup, made when it is told to ---- */

struct nursery {
    int control;
    pid_t pid;
};

static pid_t make_child(void)
{
    pid_t pid = fork();

    if (pid < 0)
        fail("fork");
    if (pid == 0)
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    return pid;
}

/* The i-th of a batch: a process of its own that shares our memory and descriptors, since that is made and
 * gone in no time. */
static pid_t make_light_child(int i, int (*run)(void *argument), void *argument)
{
    static char stacks[BATCH][STACK_SIZE] __attribute__((aligned(64)));
    pid_t pid = clone(run, stacks[i] + STACK_SIZE, CLONE_VM | CLONE_FILES | SIGCHLD, argument);

    if (pid < 0)
        fail("clone");
    return pid;
}

/* Lives until it is killed. */
static int sleep_on(void *argument)
{
    (void) argument;
    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (pause() < 0)
        continue;
    return 0;
}

static int run_honest(void)
{
    int status = 0;
    pid_t pid = make_child();

    if (pid == 0) {
        int fd = new_socket();
        _exit(connect_socket(fd) == 0 && ask(fd, get_token) == 200 ? 0 : 1);
    }
    (void) waitpid(pid, &status, 0);
    return status == 0;
}

/* "s": a batch of sleepers, answered with their number; "k": kills them; "h": honest ones, answered with how
 * many were admitted. */
static void serve_nursery(int control)
{
    pid_t sleepers[BATCH];
    int n = 0;
    char command;

    while (read(control, &command, 1) == 1) {
        if (command == 's') {
            for (n = 0; n < BATCH; n++)
                sleepers[n] = make_light_child(n, sleep_on, NULL);
        } else if (command == 'k') {
            for (int i = 0; i < n; i++)
                (void) kill(sleepers[i], SIGKILL);
            while (n > 0 && waitpid(-1, NULL, 0) > 0)
                n--;
        } else {
            n = 0;
            for (int i = 0; i < N_MEMBERS; i++)
                n += run_honest();
        }
        if (write(control, &n, sizeof(n)) != sizeof(n))
            break;
    }
    _exit(0);
}

static struct nursery nursery_new(const char *cgroup)
{
    struct nursery n;
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        fail("socketpair");
    n.pid = make_child();
    if (n.pid == 0) {
        write_number(cgroup, "cgroup.procs", 0);
        (void) close(ends[0]);
        serve_nursery(ends[1]);
    }
    (void) close(ends[1]);
    n.control = ends[0];
    return n;
}

static int nursery_do(const struct nursery *n, char command)
{
    int result = 0;

    if (write(n->control, &command, 1) != 1 || read(n->control, &result, sizeof(result)) != sizeof(result))
        fail("nursery");
    return result;
}

/* ---- strangers ---- */

struct stranger {
    int trigger; /* a pipe whose end means: go */
    int socket;
    pid_t pid;
};

/* Connects the socket that it has from us, and ends. */
static int run_stranger(void *argument)
{
    const struct stranger *s = argument;
    char byte;

    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void) read(s->trigger, &byte, 1);
    return connect_socket(s->socket) == 0 ? 0 : 1;
}

static void make_strangers(struct stranger *strangers, int trigger)
{
    for (int i = 0; i < BATCH; i++) {
        strangers[i] = (struct stranger){.trigger = trigger, .socket = new_socket()};
        strangers[i].pid = make_light_child(i, run_stranger, &strangers[i]);
    }
}

static void wait_for_strangers(const struct stranger *strangers)
{
    for (int i = 0; i < BATCH; i++) {
        int status = 1;
        if (waitpid(strangers[i].pid, &status, 0) != strangers[i].pid || status != 0)
            fail("a stranger could not connect");
    }
}

static void stop_daemon(pid_t pid)
{
    char path[64], text[512] = "";

    (void) snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    (void) kill(pid, SIGSTOP);
    while (!strstr(text, ") T ")) {
        int fd = open(path, O_RDONLY);
        ssize_t n = read(fd, text, sizeof(text) - 1);
        (void) close(fd);
        if (n <= 0)
            fail("the daemon is gone");
        text[n] = '\0';
    }
}

/* ---- the race ---- */

static struct {
    long n_attempts, n_reused, n_admitted, n_closed;
} result;

static void attack(const struct nursery *members, const char *unit, pid_t daemon)
{
    static struct stranger strangers[BATCH];
    int trigger[2];

    if (pipe2(trigger, O_CLOEXEC) < 0)
        fail("pipe");
    set_next_pid((pid_t) (FIRST_PID + result.n_attempts / BATCH * PID_STEP));
    make_strangers(strangers, trigger[0]);
    /* The strangers' ids come next, and the daemon takes its baseline: it is there when the second is
     * answered. */
    set_next_pid(strangers[0].pid);
    pause_for(BASELINE_AGE_NSEC);
    ask_health();
    pause_for(PAUSE_NSEC);
    ask_health();
    stop_daemon(daemon);
    (void) close(trigger[1]);
    wait_for_strangers(strangers);
    (void) close(trigger[0]);
    if (nursery_do(members, 's') != BATCH)
        fail("members");
    for (int i = 0; i < BATCH; i++)
        result.n_reused += is_in(strangers[i].pid, unit);
    (void) kill(daemon, SIGCONT);
    for (int i = 0; i < BATCH; i++) {
        int status = ask(strangers[i].socket, get_token);
        result.n_attempts++;
        result.n_admitted += status == 200;
        result.n_closed += status == 0;
        (void) close(strangers[i].socket);
    }
    (void) nursery_do(members, 'k');
}

int main(int argc, char **argv)
{
    if (argc != 6)
        return 2;
    (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", argv[1]);
    const struct nursery members = nursery_new(argv[3]);
    write_number(argv[2], "cgroup.procs", 0);
    const char *unit = strrchr(argv[3], '/');
    int n_honest = nursery_do(&members, 'h');
    for (long n = strtol(argv[5], NULL, 10); n > 0; n -= BATCH)
        attack(&members, unit, (pid_t) strtol(argv[4], NULL, 10));
    (void) printf("attempts %ld reused %ld admitted %ld closed %ld members %d refused %d\n",
                  result.n_attempts, result.n_reused, result.n_admitted, result.n_closed, N_MEMBERS,
                  N_MEMBERS - n_honest);
    return 0;
}
