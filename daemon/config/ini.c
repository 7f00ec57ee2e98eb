/* SPDX-License-Identifier: MIT */
#include "config/ini.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A file with more broken lines than this is not a settings file; the rest of it is not read, and the log
 * says so. */
#define INI_ERRORS_MAX 100

struct reader {
    const char *file;
    struct problems *problems;
    struct ini *ini;
    size_t capacity;      /* of ini->items */
    size_t used;          /* of ini->text */
    const char *section;  /* NULL before the first */
    bool is_section_lost; /* the last header was broken: where the lines below it belong nobody knows */
    size_t n_errors;

    /* The line being put together, from ini->text + start to ini->text + used. */
    size_t start;
    unsigned line;
    bool is_continued;
    bool is_broken;
};

static void report(struct reader *r, unsigned line, const char *what)
{
    problem_error(r->problems, r->file, line, "%s", what);
    r->n_errors++;
}

/* The size of the valid UTF-8 sequence at `p` (RFC 3629: none overlong, no surrogates), or 0. */
static size_t utf8_sequence_size(const unsigned char *p, size_t size)
{
    if (p[0] < 0x80)
        return 1;
    size_t n = p[0] >= 0xc2 && p[0] <= 0xdf   ? 2
               : (p[0] & 0xf0) == 0xe0        ? 3
               : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
                                              : 0;
    if (n == 0 || n > size)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

/* What is wrong with the bytes of a line, or NULL. Comments may be in any 8-bit encoding. */
static const char *find_bad_byte(const char *line, size_t size, bool is_comment)
{
    const unsigned char *p = (const unsigned char *) line;

    for (size_t i = 0; i < size;) {
        if (p[i] == '\0')
            return "a NUL byte: this is not a text file";
        if ((p[i] < 0x20 && p[i] != '\t') || p[i] == 0x7f)
            return "a control character in the line (lines end in LF or CRLF)";
        size_t n = is_comment ? 1 : utf8_sequence_size(p + i, size - i);
        if (n == 0)
            return "the line is not valid UTF-8";
        if (n == 2 && p[i] == 0xc2 && p[i + 1] < 0xa0)
            return "a control character in the line";
        i += n;
    }
    return NULL;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

/* Cuts white space off both ends, in place. */
static char *trim(char *text)
{
    while (is_space(*text))
        text++;
    size_t size = strlen(text);
    while (size > 0 && is_space(text[size - 1]))
        size--;
    text[size] = '\0';
    return text;
}

static int add_item(struct reader *r, const char *key, const char *value)
{
    struct ini *ini = r->ini;

    if (ini->n_items == r->capacity) {
        size_t capacity = r->capacity ? r->capacity * 2 : 32;
        struct ini_item *items = reallocarray(ini->items, capacity, sizeof(*items));
        if (!items)
            return -ENOMEM;
        ini->items = items;
        r->capacity = capacity;
    }
    ini->items[ini->n_items++] =
        (struct ini_item){.section = r->section, .key = key, .value = value, .line = r->line};
    return 0;
}

static int finish_section(struct reader *r, char *line)
{
    size_t size = strlen(line);

    r->is_section_lost = size < 3 || line[size - 1] != ']' || strcspn(line + 1, "[]\t") != size - 2;
    if (r->is_section_lost) {
        report(r, r->line, "a section header is [Name] and nothing else on its line");
        return 0;
    }
    line[size - 1] = '\0';
    r->section = line + 1;
    return add_item(r, NULL, NULL);
}

static int finish_assignment(struct reader *r, char *line)
{
    char *equals = strchr(line, '=');

    if (!equals)
        report(r, r->line, "neither [Section], nor Key=value, nor a comment line");
    else if (equals == line)
        report(r, r->line, "there is no key in front of the =");
    else if (r->is_section_lost)
        return 0; /* reported with its header */
    else if (!r->section)
        report(r, r->line, "a key before the first [Section]");
    else {
        *equals = '\0';
        const char *key = trim(line);
        if (!strchr(key, '\t'))
            return add_item(r, key, trim(equals + 1));
        report(r, r->line, "a tab inside the key");
    }
    return 0;
}

/* The line with all its continuations is together. */
static int finish_line(struct reader *r)
{
    r->is_continued = false;
    r->ini->text[r->used++] = '\0';
    if (r->is_broken)
        return 0;

    char *line = trim(r->ini->text + r->start);
    if (*line == '\0')
        return 0;
    return *line == '[' ? finish_section(r, line) : finish_assignment(r, line);
}

/* An odd number of backslashes at the end. */
static bool is_to_be_continued(const char *line, size_t size)
{
    size_t n = 0;

    while (n < size && line[size - 1 - n] == '\\')
        n++;
    return n % 2 == 1;
}

/* Takes one line of the file, without its LF. */
static int read_line(struct reader *r, const char *line, size_t size, unsigned number)
{
    if (size > 0 && line[size - 1] == '\r')
        size--;
    for (; size > 0 && is_space(*line); size--)
        line++;

    bool is_comment = size > 0 && (*line == '#' || *line == ';');
    const char *bad = find_bad_byte(line, size, is_comment);
    if (bad)
        report(r, number, bad);
    if (is_comment)
        return 0;

    if (!r->is_continued) {
        r->start = r->used;
        r->line = number;
        r->is_broken = false;
    }
    if (bad)
        r->is_broken = true;
    else if (!r->is_broken && r->used - r->start + size > INI_LINE_MAX) {
        report(r, r->line, "the line is longer than 16384 bytes");
        r->is_broken = true;
    }
    r->is_continued = is_to_be_continued(line, size);
    if (!r->is_broken && size > 0) {
        memcpy(r->ini->text + r->used, line, size);
        r->used += size;
        if (r->is_continued)
            r->ini->text[r->used - 1] = ' ';
    }
    return r->is_continued ? 0 : finish_line(r);
}

static int read_lines(struct reader *r, const char *text, size_t size)
{
    for (unsigned number = 1; size > 0; number++) {
        const char *end = memchr(text, '\n', size);
        size_t length = end ? (size_t) (end - text) : size;
        int error = read_line(r, text, length, number);
        if (error < 0)
            return error;
        if (r->n_errors >= INI_ERRORS_MAX) {
            report(r, number, "too many broken lines: the rest of this file was not read");
            return 0;
        }
        length += end ? 1 : 0;
        text += length;
        size -= length;
    }
    /* As systemd: a file that ends in a continued line ends that line. */
    return r->is_continued ? finish_line(r) : 0;
}

int ini_parse(const char *text, size_t size, const char *file, struct problems *problems, struct ini *ret)
{
    static const char byte_order_mark[] = "\xef\xbb\xbf";
    _cleanup_(ini_done) struct ini ini = {0};

    if (size >= 3 && memcmp(text, byte_order_mark, 3) == 0) {
        text += 3;
        size -= 3;
    }
    /* A line and its LF become, at most, as many bytes and a NUL, and `=` becomes the NUL between key and
     * value. Only the last line may come without an LF. */
    ini.text_size = size + 2;
    ini.text = calloc(1, ini.text_size);
    if (!ini.text)
        return -ENOMEM;
    struct reader reader = {.file = file, .problems = problems, .ini = &ini};
    int r = read_lines(&reader, text, size);
    if (r < 0)
        return r;
    *ret = ini;
    ini = (struct ini){0};
    return 0;
}

void ini_done(struct ini *ini)
{
    if (!ini)
        return;
    if (ini->text)
        explicit_bzero(ini->text, ini->text_size);
    free(ini->text);
    free(ini->items);
    *ini = (struct ini){0};
}
