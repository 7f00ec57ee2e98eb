/* SPDX-License-Identifier: MIT */
#include "config/daemon_settings.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>

#include "bearerd-paths.h"
#include "config/table.h"
#include "config/values.h"

/* More token requests than this at once are a stampede; far fewer fill 10,000 profiles within a minute. */
#define CONCURRENT_FETCHES_MAX 1024
/* Each connection is a descriptor; the kernel's own limit of them (fs.nr_open) is about a million. */
#define CONNECTIONS_MAX 1000000
/* Of a group's name: LOGIN_NAME_MAX and useradd(8) have 32 characters. */
#define GROUP_NAME_MAX 32
/* Leaves room for the name of any file inside. */
#define PROFILE_DIRECTORY_MAX (PATH_MAX - NAME_MAX - 2)

/* In the order of enum audit_mode. */
static const char *const audit_words[] = {"off", "summary", "every"};

static int read_audit(const struct setting_context *context _unused_, const char *value, void *target)
{
    return value_choose(value, audit_words, ARRAY_SIZE(audit_words), target);
}

#define AT(member) offsetof(struct daemon_settings, member)

/* Section, key, parser, place; limits, default, and what is allowed. */
/* clang-format off */
static const struct setting rows[] = {
    {"Daemon", "Socket", value_path, AT(socket_path),
     .max = SOCKET_PATH_MAX, .fallback = BEARERD_SOCKET_PATH,
     .allowed = "an absolute path of at most 107 bytes (the kernel's limit for a socket)"},
    {"Daemon", "SocketMode", value_mode, AT(socket_mode),
     .max = 0777, .fallback = "0660", .allowed = "an octal mode of at most 0777, like 0660"},
    {"Daemon", "SocketGroup", value_group, AT(socket_group),
     .max = GROUP_NAME_MAX, .fallback = "bearerd", .allowed = "the name or number of one group"},
    {"Daemon", "ProfileDirectory", value_path, AT(profile_directory),
     .max = PROFILE_DIRECTORY_MAX, .fallback = BEARERD_PROFILE_DIRECTORY,
     .allowed = "an absolute path without a slash at its end"},
    {"Daemon", "ConcurrentFetches", value_count, AT(concurrent_fetches),
     .min = 1, .max = CONCURRENT_FETCHES_MAX, .fallback = "16", .allowed = "a number from 1 to 1024"},
    {"Daemon", "MaxConnections", value_count, AT(max_connections),
     .min = 1, .max = CONNECTIONS_MAX, .fallback = "4096", .allowed = "a number from 1 to 1000000"},
    {"Daemon", "MaxConnectionsPerUser", value_count, AT(max_connections_per_user),
     .min = 1, .max = CONNECTIONS_MAX, .fallback = "1024", .allowed = "a number from 1 to 1000000"},
    {"Daemon", "Audit", read_audit, AT(audit),
     .fallback = "summary", .allowed = "off, summary or every"},
    /* root by its number: the default needs no lookup that could fail. */
    {"Access", "Admin", value_access, AT(admin), SETTING_LIST, .fallback = "user:0"},
};
/* clang-format on */

static const struct setting_table table = {rows, ARRAY_SIZE(rows)};

struct check {
    const struct settings_text *source;
    struct problems *problems;
    const struct setting_state *states;
    const struct daemon_settings *settings;
};

/* The line where a key is set, 0 where it is not. */
static unsigned line_of(const struct check *c, const char *section, const char *key)
{
    return c->states[table_find(&table, section, key)].line;
}

static void check_socket_mode(const struct check *c)
{
    unsigned line = line_of(c, "Daemon", "SocketMode");

    if (!line || c->states[table_find(&table, "Daemon", "SocketMode")].is_bad)
        return;
    if ((c->settings->socket_mode & 0222) == 0)
        problem_error(c->problems, c->source->file, line,
                      "SocketMode=: without any write permission nobody can connect");
    else if (c->settings->socket_mode & 0007)
        problem_warning(
            c->problems, c->source->file, line,
            "SocketMode= lets every user of this machine connect; Allow= alone then guards the tokens");
}

/* A group that is written down must exist; that the built-in default may be missing is host/listen's matter.
 */
static int check_socket_group(const struct check *c)
{
    const struct name_resolver *resolver = c->source->resolver;
    const char *group = c->settings->socket_group;
    unsigned line = line_of(c, "Daemon", "SocketGroup");
    uint32_t gid;

    if (!line || !group || c->states[table_find(&table, "Daemon", "SocketGroup")].is_bad)
        return 0;
    if (strspn(group, "0123456789") == strlen(group))
        return 0;
    int r = resolver->group(resolver->userdata, group, &gid);
    if (r == -ENOENT)
        problem_error(
            c->problems, c->source->file, line,
            "SocketGroup= names the group \"%s\", which does not exist on this system; create it, or name "
            "another",
            group);
    else if (r < 0 && r != -ENOMEM)
        problem_error(c->problems, c->source->file, line,
                      "SocketGroup= names the group \"%s\", which could not be looked up: %s", group,
                      strerror(-r));
    return r == -ENOMEM ? r : 0;
}

static void check_connections(const struct check *c)
{
    unsigned total = line_of(c, "Daemon", "MaxConnections");
    unsigned per_user = line_of(c, "Daemon", "MaxConnectionsPerUser");

    if (total && per_user && c->settings->max_connections > 0 &&
        c->settings->max_connections_per_user > c->settings->max_connections)
        problem_warning(c->problems, c->source->file, per_user,
                        "MaxConnectionsPerUser= is more than MaxConnections= (%" PRIu64
                        "), so it limits nobody",
                        c->settings->max_connections);
}

const char *daemon_settings_default_file(void)
{
    return BEARERD_CONFIG_FILE;
}

int daemon_settings_parse(const struct settings_text *source, struct problems *problems,
                          struct daemon_settings *ret)
{
    struct setting_state states[ARRAY_SIZE(rows)] = {0};
    size_t n_errors_before = problems->n_errors;

    *ret = (struct daemon_settings){0};
    int r = table_read(&table, source, problems, states, ret);
    if (r < 0 && r != -EINVAL)
        return r;
    ret->is_socket_group_set = states[table_find(&table, "Daemon", "SocketGroup")].line > 0;

    const struct check check = {source, problems, states, ret};
    check_socket_mode(&check);
    check_connections(&check);
    r = check_socket_group(&check);
    if (r < 0)
        return r;
    return problems->n_errors > n_errors_before ? -EINVAL : 0;
}
