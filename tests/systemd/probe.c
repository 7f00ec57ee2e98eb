/* SPDX-License-Identifier: MIT */

/*
 * Says what a process can do here: one line "NAME=RESULT" for each attempt, where RESULT is "ok", the name of
 * an errno, or a word of the attempt's own. Run as a service with the sandbox in question, and without it for
 * comparison (boxlib/probe.py, test_sandbox.py).
 *
 * Nothing that is tried does harm where it succeeds: a file is made and removed, a value set to what it is.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
/* asm-generic/unistd.h; the headers may be older. */
#define NR_MEMFD_SECRET   447
#define NR_IO_URING_SETUP 425

static const char *result(long r)
{
    return r < 0 ? strerrorname_np(errno) : "ok";
}

/* ---- files ---- */

static const char *make_file(const char *folder)
{
    char path[256];

    (void) snprintf(path, sizeof(path), "%s/.probe", folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    const char *said = result(fd);
    if (fd >= 0) {
        (void) close(fd);
        (void) unlink(path);
    }
    return said;
}

static const char *list_folder(const char *path)
{
    DIR *d = opendir(path);
    const char *said = result(d ? 0 : -1);

    if (d)
        (void) closedir(d);
    return said;
}

static const char *read_file(const char *path)
{
    char byte;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    const char *said = result(fd < 0 ? -1 : read(fd, &byte, 1));

    if (fd >= 0)
        (void) close(fd);
    return said;
}

static const char *look_at(const char *path)
{
    struct stat st;
    return result(stat(path, &st));
}

static const char *file_system_is(const char *path)
{
    struct statvfs st;

    if (statvfs(path, &st) < 0)
        return result(-1);
    return st.f_flag & ST_RDONLY ? "read-only" : "writable";
}

/* Of a file that is nobody else's, and goes with us. */
static const char *set_user_id(const char *unused)
{
    (void) unused;
    return result(fchmod(memfd_create("probe", MFD_CLOEXEC), 04700));
}

/* ---- code ---- */

static const char *execute(const char *path)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        char *const arguments[] = {(char *) path, NULL}, *const environment[] = {NULL};
        (void) execve(path, arguments, environment);
        _exit(errno);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0)
        return result(-1);
    errno = WIFEXITED(status) ? WEXITSTATUS(status) : EFAULT;
    return result(errno ? -1 : 0);
}

static const char *map_code(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *p = fd < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    return result(p == MAP_FAILED ? -1 : 0);
}

static const char *write_code(const char *unused)
{
    (void) unused;
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return result(p == MAP_FAILED ? -1 : 0);
}

static const char *make_code(const char *unused)
{
    (void) unused;
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return result(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}

/* getpid() of 32-bit x86 in a 64-bit process; a child, since the kernel may kill for it. */
static const char *call_foreign(const char *unused)
{
    (void) unused;
#ifdef __x86_64__
    int status;
    pid_t child = fork();
    if (child == 0) {
        long r = 20;
        __asm__ volatile("int $0x80" : "+a"(r) : : "memory", "r8", "r9", "r10", "r11");
        _exit(r == getpid() ? 0 : 1);
    }
    if (waitpid(child, &status, 0) < 0)
        return result(-1);
    if (WIFSIGNALED(status))
        return sigabbrev_np(WTERMSIG(status));
    return WEXITSTATUS(status) == 0 ? "ok" : "refused";
#else
    return "SYS";
#endif
}

/* ---- sockets ---- */

static const char *open_socket(int family, int type)
{
    int fd = socket(family, type | SOCK_CLOEXEC, 0);
    const char *said = result(fd);

    if (fd >= 0)
        (void) close(fd);
    return said;
}

static const char *open_unix(const char *unused)
{
    (void) unused;
    return open_socket(AF_UNIX, SOCK_STREAM);
}

static const char *open_inet(const char *unused)
{
    (void) unused;
    return open_socket(AF_INET, SOCK_STREAM);
}

static const char *open_inet6(const char *unused)
{
    (void) unused;
    return open_socket(AF_INET6, SOCK_STREAM);
}

static const char *open_netlink(const char *unused)
{
    (void) unused;
    return open_socket(AF_NETLINK, SOCK_RAW);
}

static const char *open_packet(const char *unused)
{
    (void) unused;
    return open_socket(AF_PACKET, SOCK_RAW);
}

/* ---- the kernel ---- */

static const char *new_user_namespace(const char *unused)
{
    (void) unused;
    int status;
    pid_t child = fork();
    if (child == 0)
        _exit(unshare(CLONE_NEWUSER) < 0 ? errno : 0);
    if (waitpid(child, &status, 0) < 0)
        return result(-1);
    errno = WEXITSTATUS(status);
    return result(errno ? -1 : 0);
}

static const char *change_personality(const char *unused)
{
    (void) unused;
    return result(personality(ADDR_NO_RANDOMIZE));
}

static const char *be_traced(const char *unused)
{
    (void) unused;
    int status;
    pid_t child = fork();
    if (child == 0)
        _exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 ? errno : 0);
    if (waitpid(child, &status, 0) < 0)
        return result(-1);
    errno = WEXITSTATUS(status);
    return result(errno ? -1 : 0);
}

static const char *change_scheduler(const char *unused)
{
    const struct sched_param none = {0};

    (void) unused;
    return result(sched_setscheduler(0, SCHED_OTHER, &none));
}

static const char *ask_kernel_log(const char *unused)
{
    (void) unused;
    return result(syscall(SYS_syslog, 10L, NULL, 0L)); /* the size of its buffer */
}

static const char *change_priority(const char *unused)
{
    (void) unused;
    return result(setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0)));
}

static const char *read_clock_state(const char *unused)
{
    struct timex t = {.modes = 0};

    (void) unused;
    return result(adjtimex(&t));
}

static const char *use_keyring(const char *unused)
{
    (void) unused;
    return result(syscall(SYS_keyctl, 0L, -3L,
                          1L)); /* KEYCTL_GET_KEYRING_ID, of the session, made where it is not there */
}

static const char *use_io_uring(const char *unused)
{
    unsigned char parameters[256] = {0};

    (void) unused;
    return result(syscall(NR_IO_URING_SETUP, 4L, parameters));
}

static const char *read_own_memory(const char *unused)
{
    char from = 'x', to = 0;
    struct iovec local = {&to, 1}, remote = {&from, 1};

    (void) unused;
    return result(syscall(SYS_process_vm_readv, (long) getpid(), &local, 1L, &remote, 1L, 0L));
}

static const char *give_file_away(const char *unused)
{
    (void) unused;
    return result(lchown("/proc/self/nothing", getuid(), (gid_t) -1)); /* unfiltered: ENOENT */
}

static const char *lock_memory(const char *unused)
{
    size_t size = (size_t) 4 << 20;

    (void) unused;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return result(mlock(p, size));
}

static const char *make_memfd(const char *unused)
{
    (void) unused;
    return result(memfd_create("probe", MFD_CLOEXEC | MFD_ALLOW_SEALING));
}

static const char *make_secret_memfd(const char *unused)
{
    (void) unused;
    return result(syscall(NR_MEMFD_SECRET, (long) O_CLOEXEC));
}

static const char *raise_limit(const char *unused)
{
    struct rlimit limit;

    (void) unused;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return result(-1);
    limit.rlim_cur = limit.rlim_max;
    return result(setrlimit(RLIMIT_NOFILE, &limit));
}

static const char *signal_other(const char *unused)
{
    (void) unused;
    return result(kill(1, 0));
}

static const char *say_namespace(const char *name)
{
    static char target[64];
    char path[64];

    (void) snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
    ssize_t n = readlink(path, target, sizeof(target) - 1);
    target[n > 0 ? n : 0] = '\0';
    return target;
}

static const char *say_umask(const char *unused)
{
    static char text[8];

    (void) unused;
    (void) snprintf(text, sizeof(text), "%04o", (unsigned) umask(0));
    return text;
}

static const char *say_core_limit(const char *unused)
{
    static char text[64];
    struct rlimit limit = {1, 1};

    (void) unused;
    (void) getrlimit(RLIMIT_CORE, &limit);
    (void) snprintf(text, sizeof(text), "%lu", (unsigned long) limit.rlim_max);
    return text;
}

/* A line of /proc/self/status, without its blanks. */
static const char *say_status(const char *name)
{
    static char line[256];
    FILE *f = fopen("/proc/self/status", "re");
    size_t size = strlen(name);

    while (f && fgets(line, sizeof(line), f)) {
        if (strncmp(line, name, size) != 0 || line[size] != ':')
            continue;
        (void) fclose(f);
        line[strcspn(line, "\n")] = '\0';
        return line + size + 1 + strspn(line + size + 1, "\t ");
    }
    return "?";
}

static const struct {
    const char *name;
    const char *(*attempt)(const char *argument);
    const char *argument;
} attempts[] = {
    {"umask",                 say_umask,          NULL                      },
    {"/etc is",               file_system_is,     "/etc"                    },
    {"/usr is",               file_system_is,     "/usr"                    },
    {"/usr/lib is",           file_system_is,     "/usr/lib"                },
    {"/usr/lib64 is",         file_system_is,     "/usr/lib64"              },
    {"/usr/local/lib is",     file_system_is,     "/usr/local/lib"          },
    {"/var is",               file_system_is,     "/var"                    },
    {"/run is",               file_system_is,     "/run"                    },
    {"/boot is",              file_system_is,     "/boot"                   },
    {"write keys",            make_file,          "/etc/bearerd/keys"       },
    {"write /dev/shm",        make_file,          "/dev/shm"                },
    {"write /tmp",            make_file,          "/tmp"                    },
    {"see /tmp",              look_at,            "/tmp/of-others"          },
    {"see /var/tmp",          look_at,            "/var/tmp/of-others"      },
    {"list /home",            list_folder,        "/home"                   },
    {"list /usr/lib/modules", list_folder,        "/usr/lib/modules"        },
    {"open a device",         read_file,          "/dev/of-others"          },
    {"open /dev/urandom",     read_file,          "/dev/urandom"            },
    {"set-user-id",           set_user_id,        NULL                      },
    {"cgroups are",           file_system_is,     "/sys/fs/cgroup"          },
    {"list cgroups",          list_folder,        "/sys/fs/cgroup"          },
    {"/proc/irq is",          file_system_is,     "/proc/irq"               },
    {"see process 1",         read_file,          "/proc/1/cgroup"          },
    {"read loadavg",          read_file,          "/proc/loadavg"           },
    {"read pid_max",          read_file,          "/proc/sys/kernel/pid_max"},
    {"signal process 1",      signal_other,       NULL                      },
    {"execute",               execute,            "/usr/bin/true"           },
    {"map a program",         map_code,           "/usr/bin/true"           },
    {"map a library",         map_code,           "/usr/lib/os-release"     },
    {"writable code",         write_code,         NULL                      },
    {"code that was data",    make_code,          NULL                      },
    {"foreign system call",   call_foreign,       NULL                      },
    {"AF_UNIX",               open_unix,          NULL                      },
    {"AF_INET",               open_inet,          NULL                      },
    {"AF_INET6",              open_inet6,         NULL                      },
    {"AF_NETLINK",            open_netlink,       NULL                      },
    {"AF_PACKET",             open_packet,        NULL                      },
    {"user namespace",        new_user_namespace, NULL                      },
    {"personality",           change_personality, NULL                      },
    {"setpriority",           change_priority,    NULL                      },
    {"sched_setscheduler",    change_scheduler,   NULL                      },
    {"ptrace",                be_traced,          NULL                      },
    {"kernel log",            ask_kernel_log,     NULL                      },
    {"adjtimex",              read_clock_state,   NULL                      },
    {"keyctl",                use_keyring,        NULL                      },
    {"io_uring",              use_io_uring,       NULL                      },
    {"process_vm_readv",      read_own_memory,    NULL                      },
    {"lchown",                give_file_away,     NULL                      },
    {"mlock",                 lock_memory,        NULL                      },
    {"memfd_create",          make_memfd,         NULL                      },
    {"memfd_secret",          make_secret_memfd,  NULL                      },
    {"setrlimit",             raise_limit,        NULL                      },
    {"mnt",                   say_namespace,      "mnt"                     },
    {"ipc",                   say_namespace,      "ipc"                     },
    {"uts",                   say_namespace,      "uts"                     },
    {"net",                   say_namespace,      "net"                     },
    {"user",                  say_namespace,      "user"                    },
    {"core limit",            say_core_limit,     NULL                      },
    {"CapBnd",                say_status,         "CapBnd"                  },
    {"CapEff",                say_status,         "CapEff"                  },
    {"NoNewPrivs",            say_status,         "NoNewPrivs"              },
    {"Seccomp",               say_status,         "Seccomp"                 },
    {"Uid",                   say_status,         "Uid"                     },
};

int main(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
        errno = 0;
        (void) printf("%s=%s\n", attempts[i].name, attempts[i].attempt(attempts[i].argument));
        (void) fflush(stdout);
    }
    return EXIT_SUCCESS;
}
