/* SPDX-License-Identifier: MIT */
#include "config/url.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/parse.h"

/* RFC 1035: a name has at most 253 characters in its text form. */
#define HOST_MAX 253

#define LETTERS  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS   "0123456789"
#define HEX      "0123456789abcdefABCDEF"
/* RFC 3986 pchar without "%", and the slash between segments. */
#define PATH_CHARACTERS LETTERS DIGITS "-._~!$&'()*+,;=:@/"

/* Only characters of `allowed`, and % with two hex digits. */
static bool is_made_of(const char *text, size_t size, const char *allowed)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '%') {
            if (size - i < 3 || !strchr(HEX, text[i + 1]) || !strchr(HEX, text[i + 2]))
                return false;
            i += 2;
        } else if (!strchr(allowed, text[i]))
            return false;
    }
    return true;
}

static bool is_port(const char *text, size_t size)
{
    char digits[6];
    uint64_t port;

    if (size >= sizeof(digits))
        return false;
    memcpy(digits, text, size);
    digits[size] = '\0';
    return parse_u64_max(digits, UINT16_MAX, &port) == 0 && port > 0;
}

/* Labels of letters, digits, - and _, with single dots between; IPv4 addresses are of this form too. */
static bool is_host_name(const char *host)
{
    return *host && *host != '.' && *host != '-' && !strstr(host, "..") &&
           strspn(host, LETTERS DIGITS "-_.") == strlen(host);
}

static bool is_loopback(const char *host, bool is_ipv6)
{
    struct in_addr v4;
    struct in6_addr v6;

    if (is_ipv6)
        return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
    if (strcasecmp(host, "localhost") == 0)
        return true;
    return inet_pton(AF_INET, host, &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127;
}

/* host, host:port, [ipv6] or [ipv6]:port in `size` bytes. */
static const char *find_authority_problem(const char *text, size_t size, bool is_https)
{
    bool is_ipv6 = size > 0 && *text == '[';
    const char *stop = memchr(text, is_ipv6 ? ']' : ':', size);
    size_t host_size = stop ? (size_t) (stop - text) : size;
    char host[HOST_MAX + 1];
    struct in6_addr v6;

    if (memchr(text, '@', size))
        return "must not hold a user name or password";
    if (is_ipv6) {
        if (!stop)
            return "has a [ without a ] in its host";
        text++;
        size--;
        host_size--;
    }
    if (host_size > HOST_MAX)
        return "has a host name that is too long";
    memcpy(host, text, host_size);
    host[host_size] = '\0';
    if (is_ipv6 ? inet_pton(AF_INET6, host, &v6) != 1 : !is_host_name(host))
        return "must have a host name or address behind its //";

    const char *port = text + host_size + (is_ipv6 ? 1 : 0);
    size_t port_size = size - host_size - (is_ipv6 ? 1 : 0);
    if (port_size > 0 && (*port != ':' || !is_port(port + 1, port_size - 1)))
        return "must have a port from 1 to 65535 behind the colon, or none";
    if (!is_https && !is_loopback(host, is_ipv6))
        return "must begin with https:// (keys go over it; http:// is for loopback hosts only)";
    return NULL;
}

const char *url_find_problem(const char *text, enum url_parts parts)
{
    bool is_https = url_is_https(text);

    if (strlen(text) > URL_MAX)
        return "must not be longer than 2048 characters";
    if (!is_https && strncasecmp(text, "http://", 7) != 0)
        return "must be a URL that begins with https://";

    const char *authority = text + (is_https ? 8 : 7);
    const char *path = authority + strcspn(authority, "/?#");
    const char *problem = find_authority_problem(authority, (size_t) (path - authority), is_https);
    if (problem)
        return problem;

    const char *query = path + strcspn(path, "?#");
    if (strchr(query, '#'))
        return "must not have a fragment (#)";
    if (*query && parts == URL_BASE)
        return "must not have a query (?)";
    if (!is_made_of(path, (size_t) (query - path), PATH_CHARACTERS) ||
        !is_made_of(query, strlen(query), PATH_CHARACTERS "?"))
        return "has a character that must be written as % and two hex digits";
    return NULL;
}

const char *url_find_path_problem(const char *path)
{
    if (*path != '/' || path[1] == '/')
        return "must begin with one slash";
    if (strpbrk(path, "?#"))
        return "must not have a query (?) or fragment (#)";
    if (strlen(path) > URL_MAX / 2)
        return "must not be longer than 1024 characters";
    if (!is_made_of(path, strlen(path), PATH_CHARACTERS))
        return "has a character that must be written as % and two hex digits";
    return NULL;
}

bool url_is_https(const char *text)
{
    return strncasecmp(text, "https://", 8) == 0;
}
