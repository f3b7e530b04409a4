/* The tables of what a declaration, and a plan to make it true, hold. */
#include "managerd/apply.h"

#include "managerd/domains.h"
#include "managerd/history.h"
#include "managerd/resources.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

const char *apply_check_environment(const struct json *value)
{
    static const char *const wants =
        "must be a list of names, or an object of names and values (null: keep what is there)";
    bool list = json_type_of(value) == JSON_ARRAY;
    size_t bytes = 0;
    if ((!list && json_type_of(value) != JSON_OBJECT) || json_count(value) > 500)
        return wants;
    for (const struct json *one = json_first(value); one; one = json_next(one)) {
        struct view name = list ? json_string(one) : json_name(one);
        bool good = list ? json_type_of(one) == JSON_STRING
                         : json_type_of(one) == JSON_STRING || json_type_of(one) == JSON_NULL;
        bytes += name.length + (list ? 0 : json_string(one).length);
        if (!good)
            return wants;
        if (!environment_name_valid(name))
            return "names must be a letter and then letters, digits and _, and none that Lambda "
                   "reserves";
        for (const struct json *other = json_next(one); list && other; other = json_next(other))
            if (view_equal(json_string(other), name))
                return "names a variable twice";
    }
    return bytes > MAX_ENVIRONMENT_BYTES ? "has more than 4096 bytes of names and values" : NULL;
}

static const struct shape_field path_fields[] = {
    {.name = "prefix",
     .kind = SHAPE_STRING,
     .min = 1,
     .max = DOMAIN_PREFIX_BYTES,
     .default_json = "\"/\"",
     .description = "Paths at and below it; the longest prefix wins."},
    {.name = "app",
     .kind = SHAPE_STRING,
     .flags = SHAPE_REQUIRED,
     .description = "Which app serves them: one of the document, or one that is there."},
    {.name = "stripPrefix",
     .kind = SHAPE_BOOL,
     .default_json = "false",
     .description = "Whether the app sees the path without the prefix."},
    {.name = "url",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY | SHAPE_NULLABLE | SHAPE_SOMETIMES,
     .description = "As it was read; means nothing here."},
};
static const struct shape path_shape = {
    .name = "AppliedPath", .fields = path_fields, .count = COUNT(path_fields)};
static const struct shape_field domain_fields[] = {
    {.name = "host",
     .kind = SHAPE_STRING,
     .flags = SHAPE_REQUIRED,
     .min = 1,
     .max = DOMAIN_HOST_MAX_BYTES + 1,
     .description = "A host name, or *. and one."},
    {.name = "paths",
     .kind = SHAPE_LIST,
     .flags = SHAPE_REQUIRED,
     .min = 1,
     .max = DOMAIN_PATHS_LIMIT,
     .of = &path_shape,
     .description = "Which app serves which paths."},
};
static const struct shape applied_domain_shape = {
    .name = "AppliedDomain", .fields = domain_fields, .count = COUNT(domain_fields)};

static const struct shape_field declaration_fields[] = {
    {.name = "apps",
     .kind = SHAPE_LIST,
     .max = APPLY_MAX_APPS,
     .of = &applied_app_shape,
     .description = "Apps as they shall be."},
    {.name = "domains",
     .kind = SHAPE_LIST,
     .max = APPLY_MAX_DOMAINS,
     .of = &applied_domain_shape,
     .description = "Domains as they shall be. Their certificates stay as they are."},
};
const struct shape declaration_shape = {
    .name = "Declaration",
    .description = "Apps and domains in one document.",
    .fields = declaration_fields,
    .count = COUNT(declaration_fields),
    .example = "{\"apps\":[{\"name\":\"shop\",\"memoryMb\":256,\"environment\":{\"GREETING\":"
               "\"hello\"}}],\"domains\":[{\"host\":\"shop.example.org\",\"paths\":[{\"prefix\":"
               "\"/\",\"app\":\"shop\"}]}]}"};

static const struct shape_field change_fields[] = {
    {.name = "action",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY,
     .choices = "create|change|deploy|delete",
     .description = "What is done."},
    {.name = "kind",
     .kind = SHAPE_STRING,
     .flags = SHAPE_READ_ONLY,
     .choices = "app|domain",
     .description = "To what."},
    {.name = "name", .kind = SHAPE_STRING, .flags = SHAPE_READ_ONLY, .description = "To which."},
    {.name = "differences",
     .kind = SHAPE_LIST,
     .flags = SHAPE_READ_ONLY,
     .of = &difference_shape,
     .description = "Member by member."},
};
static const struct shape change_shape = {
    .name = "PlannedChange", .fields = change_fields, .count = COUNT(change_fields)};
static const struct shape_field plan_fields[] = {
    {.name = "changes",
     .kind = SHAPE_LIST,
     .flags = SHAPE_READ_ONLY,
     .of = &change_shape,
     .description = "In the order in which they are made; none: all is as it shall be."},
};
const struct shape apply_plan_shape = {.name = "ApplyPlan",
                                       .description = "What applying a document would change.",
                                       .fields = plan_fields,
                                       .count = COUNT(plan_fields)};
