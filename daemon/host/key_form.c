/* SPDX-License-Identifier: MIT */
#include "host/key_form.h"

#include <string.h>

/* Client secrets and subscription keys go into a header or a form: one line of printable ASCII. */
static struct key_form check_text(const struct secret *key)
{
    const char *text = secret_peek(key);
    const char first = text[0], last = text[key->size - 1];
    struct key_form form = {0};

    for (size_t i = 0; i < key->size; i++) {
        if (text[i] >= 0x20 && text[i] <= 0x7e)
            continue;
        form.error = text[i] == '\n' || text[i] == '\r'
                         ? "must hold one line of printable ASCII (it holds several lines)"
                         : "must hold one line of printable ASCII (it holds a byte that is not)";
        return form;
    }
    if (first == ' ' || last == ' ')
        form.warnings[form.n_warnings++] = "begins or ends with a space, which is taken as part of the key";
    if (key->size >= 2 && (first == '"' || first == '\'') && first == last)
        form.warnings[form.n_warnings++] = "is in quotes, which are taken as part of the key";
    return form;
}

static struct key_form check_pem(const struct secret *key)
{
    const char *text = secret_peek(key);

    if (memchr(text, '\0', key->size))
        return (struct key_form){.error = "holds a NUL byte: it is not a text file (UTF-16, perhaps)"};
    if (strstr(text, "-----BEGIN ENCRYPTED PRIVATE KEY-----") || strstr(text, "Proc-Type: 4,ENCRYPTED"))
        return (struct key_form){
            .error = "is encrypted with a passphrase, which nobody could type at start; store it without "
                     "one (openssl pkey -in ... -out ...)"};
    if (!strstr(text, "-----BEGIN ") || !strstr(text, "PRIVATE KEY-----"))
        return (struct key_form){.error = "holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)"};
    return (struct key_form){0};
}

bool key_form_is_pem(enum key_kind kind)
{
    switch (kind) {
    case KEY_TLS:
    case KEY_SIGNING:
        return true;
    case KEY_CLIENT_SECRET:
    case KEY_NEXT_CLIENT_SECRET:
    case KEY_SUBSCRIPTION:
    case KEY_SECONDARY_SUBSCRIPTION:
    case KEY_API_SUBSCRIPTION:
    case N_KEY_KINDS:
        break;
    }
    return false;
}

struct key_form key_form_check(enum key_kind kind, const struct secret *key)
{
    return key_form_is_pem(kind) ? check_pem(key) : check_text(key);
}

bool key_form_is_guid(const struct secret *key)
{
    const char *text = secret_peek(key);

    if (key->size != 36)
        return false;
    for (size_t i = 0; i < 36; i++) {
        bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (is_dash ? text[i] != '-' : !strchr("0123456789abcdefABCDEF", text[i]))
            return false;
    }
    return true;
}
