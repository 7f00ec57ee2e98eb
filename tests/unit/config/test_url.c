/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "config/url.h"

static void test_https_goes_anywhere(void **state)
{
    (void) state;
    static const char *const good[] = {
        "https://issuer.example",
        "https://issuer.example/",
        "HTTPS://Issuer.Example:8443/oauth2/token",
        "https://10.0.0.1/t",
        "https://[2001:db8::1]:443/t",
        "https://a_b.example/x%20y",
        "https://xn--bcher-kva.example/t",
        "https://issuer.example/t?a=b&c",
        "https://issuer.example:65535?x/y?z",
    };
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        if (url_find_problem(good[i], URL_FULL))
            fail_msg("%s %s", good[i], url_find_problem(good[i], URL_FULL));
    }
}

static void test_http_goes_to_this_machine_only(void **state)
{
    (void) state;
    static const char *const good[] = {
        "http://127.0.0.1:8080/t",
        "http://127.255.255.254/t",
        "http://[::1]:8080",
        "http://LocalHost:1/t",
    };
    static const char *const bad[] = {
        "http://issuer.example/t",     "http://127.0.0.1.example/t", "http://localhost.example/t",
        "http://example/127.0.0.1",    "http://128.0.0.1/t",         "http://127.1/t",
        "http://0177.0.0.1/t",         "http://2130706433/t",        "http://[::2]/t",
        "http://[::ffff:127.0.0.1]/t", "http://0.0.0.0/t",
    };
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_null(url_find_problem(good[i], URL_FULL));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        const char *problem = url_find_problem(bad[i], URL_FULL);
        if (!problem || !strstr(problem, "https://"))
            fail_msg("%s: %s", bad[i], problem ? problem : "taken");
    }
}

static void test_what_could_be_read_in_two_ways_is_refused(void **state)
{
    (void) state;
    static const struct {
        const char *url;
        const char *problem;
    } bad[] = {
        {"https://user:pass@issuer.example/",    "password" },
        {"https://issuer.example@evil.example/", "password" },
        {"https://issuer.example/#top",          "fragment" },
        {"https://issuer.example/?a#b",          "fragment" },
        {"https:///path",                        "host name"},
        {"https://",                             "host name"},
        {"https://:443/",                        "host name"},
        {"https://issuer..example/",             "host name"},
        {"https://.example/",                    "host name"},
        {"https://iss%75er.example/",            "host name"},
        {"https://issuer.example\\@evil/",       "password" },
        {"https://issuer example/",              "host name"},
        {"https://bl\xc3\xa5.example/",          "host name"},
        {"https://[::1/",                        "]"        },
        {"https://[::1]x/",                      "port"     },
        {"https://[fe80::1%25eth0]/",            "host name"},
        {"https://[127.0.0.1]/",                 "host name"},
        {"https://issuer.example:/",             "port"     },
        {"https://issuer.example:0/",            "port"     },
        {"https://issuer.example:65536/",        "port"     },
        {"https://issuer.example:0443/",         "port"     },
        {"https://issuer.example:443x/",         "port"     },
        {"https://issuer.example/a b",           "hex"      },
        {"https://issuer.example/%2",            "hex"      },
        {"https://issuer.example/%zz",           "hex"      },
        {"https://issuer.example/\"",            "hex"      },
        {"https://issuer.example/?\xc3\xa5",     "hex"      },
        {"ftp://issuer.example/",                "https://" },
        {"issuer.example/token",                 "https://" },
        {"",                                     "https://" },
        {" https://issuer.example/",             "https://" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        const char *problem = url_find_problem(bad[i].url, URL_FULL);
        if (!problem || !strstr(problem, bad[i].problem))
            fail_msg("%s: %s", bad[i].url, problem ? problem : "taken");
    }
}

static void test_a_base_has_no_query(void **state)
{
    (void) state;
    assert_null(url_find_problem("https://api.example/prefix/", URL_BASE));
    assert_non_null(strstr(url_find_problem("https://api.example/?x=1", URL_BASE), "query"));
    assert_non_null(strstr(url_find_problem("https://api.example?", URL_BASE), "query"));
}

static void test_a_url_ends_somewhere(void **state)
{
    (void) state;
    char url[URL_MAX + 2] = "https://issuer.example/";
    size_t start = strlen(url);

    memset(url + start, 'a', URL_MAX - start);
    url[URL_MAX] = '\0';
    assert_null(url_find_problem(url, URL_FULL));
    url[URL_MAX] = 'a';
    url[URL_MAX + 1] = '\0';
    assert_non_null(strstr(url_find_problem(url, URL_FULL), "longer"));
    memset(url + 8, 'a', 300);
    url[308] = '\0';
    assert_non_null(strstr(url_find_problem(url, URL_FULL), "too long"));
}

static void test_paths(void **state)
{
    (void) state;
    assert_null(url_find_path_problem("/authentication/v1/token"));
    assert_non_null(url_find_path_problem(""));
    assert_non_null(url_find_path_problem("token"));
    assert_non_null(url_find_path_problem("//evil.example/token"));
    assert_non_null(url_find_path_problem("/token?x"));
    assert_non_null(url_find_path_problem("/token#x"));
    assert_non_null(url_find_path_problem("/a b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_https_goes_anywhere),
        cmocka_unit_test(test_http_goes_to_this_machine_only),
        cmocka_unit_test(test_what_could_be_read_in_two_ways_is_refused),
        cmocka_unit_test(test_a_base_has_no_query),
        cmocka_unit_test(test_a_url_ends_somewhere),
        cmocka_unit_test(test_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
