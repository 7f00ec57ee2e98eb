/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "config/values.h"
#include "core/unit.h"

/* user:, group:, unit:, any: the words of Allow= and Admin=, and how they become ids. */

/* (uid_t) -1 and (gid_t) -1 mean "none" to the kernel. */
#define ID_MAX      ((uint64_t) UINT32_MAX - 1)

#define UNIT_PREFIX "unit:"

struct rule_form {
    const char *prefix;
    enum access_rule_kind kind;
    const char *what;
};

static const struct rule_form forms[] = {
    {"user:",  ACCESS_USER,  "user" },
    {"group:", ACCESS_GROUP, "group"},
};

/* Records why one word of a list was refused. */
#define refuse(context, format, ...)                                                                         \
    (problem_error((context)->problems, (context)->file, (context)->line, "%s= " format, (context)->key,     \
                   ##__VA_ARGS__),                                                                           \
     -EBADMSG)

static int resolve(const struct setting_context *context, const struct rule_form *form, const char *name,
                   uint32_t *ret_id)
{
    const struct name_resolver *resolver = context->resolver;
    uint64_t id;

    if (*name == '\0')
        return refuse(context, "has a %s: without a name or number", form->what);
    if (strspn(name, "0123456789") == strlen(name)) {
        if (parse_u64_max(name, ID_MAX, &id) < 0)
            return refuse(context, "names a %s number that cannot be one", form->what);
        *ret_id = (uint32_t) id;
        return 0;
    }
    int r = form->kind == ACCESS_USER ? resolver->user(resolver->userdata, name, ret_id)
                                      : resolver->group(resolver->userdata, name, ret_id);
    if (r == -ENOENT)
        return refuse(context, "names the %s \"%s\", which does not exist on this system", form->what, name);
    if (r < 0 && r != -ENOMEM)
        return refuse(context, "names the %s \"%s\", which could not be looked up: %s", form->what, name,
                      strerror(-r));
    return r;
}

/* The pattern stays where it is: in the text of the rule. */
static int parse_unit(const struct setting_context *context, const char *pattern, struct access_rule *ret)
{
    const char *problem = unit_pattern_problem(pattern);

    if (problem)
        return refuse(context, "%s", problem);
    *ret = (struct access_rule){.kind = ACCESS_UNIT, .unit = pattern};
    return 0;
}

static int parse_word(const struct setting_context *context, const char *word, struct access_rule *ret)
{
    bool can_be_any = strcmp(context->key, "Admin") != 0;

    if (strcmp(word, "any") == 0) {
        if (!can_be_any)
            return refuse(context, "must not be any: name the users or groups that administer the daemon");
        *ret = (struct access_rule){.kind = ACCESS_ANY};
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        size_t size = strlen(forms[i].prefix);
        uint32_t id = 0;
        if (strncmp(word, forms[i].prefix, size) != 0)
            continue;
        int r = resolve(context, &forms[i], word + size, &id);
        if (r == 0)
            *ret = (struct access_rule){.kind = forms[i].kind, .id = id};
        return r;
    }
    if (strncmp(word, UNIT_PREFIX, strlen(UNIT_PREFIX)) == 0)
        return parse_unit(context, word + strlen(UNIT_PREFIX), ret);
    return refuse(context,
                  "must be user:NAME or user:UID, group:NAME or group:GID, unit:NAME.service%s; several with "
                  "spaces between",
                  can_be_any ? ", or any" : "");
}

static int append_word(const struct setting_context *context, const char *word, size_t size,
                       struct access_list *list)
{
    _cleanup_free_ char *text = strndup(word, size);
    struct access_rule rule;

    if (!text)
        return -ENOMEM;
    /* `text` goes into the rule as it is, so that rule.unit can point into it. */
    int r = parse_word(context, text, &rule);
    if (r < 0)
        return r;
    struct access_rule *rules = reallocarray(list->rules, list->n_rules + 1, sizeof(*rules));
    if (!rules)
        return -ENOMEM;
    rule.text = TAKE_PTR(text);
    list->rules = rules;
    list->rules[list->n_rules++] = rule;
    return 0;
}

int value_access(const struct setting_context *context, const char *value, void *target)
{
    int result = 0;

    if (!value) {
        access_list_done(target);
        return 0;
    }
    for (const char *word = value; *word; word += strspn(word, " \t")) {
        size_t size = strcspn(word, " \t");
        int r = append_word(context, word, size, target);
        if (r == -ENOMEM)
            return r;
        result = r < 0 ? r : result;
        word += size;
    }
    return result;
}
