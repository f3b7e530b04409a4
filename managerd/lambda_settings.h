/*
 * The settings of an app that are AWS Lambda's alone: layers, network, storage, traces, logs, snapshots,
 * keys and dead letters. Their shapes, what they want of one another, and the way into AWS's words and
 * back. Pure. Sources: aws-contract 4.1, 4.2, 4.6; the constraints of Lambda's service model.
 *
 * All are frozen into versions, and have AWS's own defaults. AWS is always told all of them, the defaults
 * too: what was set once really goes back.
 */
#ifndef MANAGERD_LAMBDA_SETTINGS_H
#define MANAGERD_LAMBDA_SETTINGS_H

#include "managerd/shape.h"

extern const struct shape vpc_shape, logging_shape, concurrency_shape;
bool tag_name_valid(struct view name);
bool layer_arn_valid(struct view arn);
bool arn_valid(struct view arn);

/* Faults of an app's settings (complete), or of a version's, in which one member forbids another. */
void lambda_settings_agree(const struct json *settings, struct faults *faults);

/* Their members of a CreateFunction or UpdateFunctionConfiguration: of a version's record (what is absent
 * has its default). `function`: its name. */
void lambda_settings_write(struct json_writer *w, const struct json *version, struct view function);
/* Adds them to a picture (drift.h), in one form: of a record those that it has, of a FunctionConfiguration of
 * AWS's those that it tells of. */
void lambda_settings_of_version(struct json *picture, const struct json *version);
void lambda_settings_of_configuration(struct json *picture, const struct json *configuration);
/* Whether `field` of a picture is one of them. */
bool lambda_settings_have(struct view field);

/* How long AWS may take until a function, or a version that it published, is ready. */
int64_t lambda_settings_patience_ms(const struct json *version);

#define LAYER_ARN_PATTERN                                                                          \
    "^arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:[0-9]{12}:layer:[a-zA-Z0-9_-]+:[0-9]+$"
#define ARN_PATTERN "^arn:[^\\u0000-\\u0020\\u007f]+$"

/* For the tables of apps, deployments and versions. DEFAULTS(text): the text, or NULL. */
#define LAMBDA_SETTINGS(DEFAULTS)                                                                  \
    {.name = "layers",                                                                             \
     .kind = SHAPE_LIST,                                                                           \
     .max = 5,                                                                                     \
     .check = layer_arn_valid,                                                                     \
     .wants = "must be the ARN of a layer's version",                                              \
     .pattern = LAYER_ARN_PATTERN,                                                                 \
     .default_json = DEFAULTS("[]"),                                                               \
     .description = "ARNs of layers' versions, at most 5; later ones lie over earlier ones."},     \
        {.name = "vpc",                                                                            \
         .kind = SHAPE_OBJECT,                                                                     \
         .flags = SHAPE_NULLABLE,                                                                  \
         .of = &vpc_shape,                                                                         \
         .default_json = DEFAULTS("null"),                                                         \
         .description = "The network that the function is attached to; null: none of yours."},     \
        {.name = "ephemeralStorageMb",                                                             \
         .kind = SHAPE_INTEGER,                                                                    \
         .min = 512,                                                                               \
         .max = 10240,                                                                             \
         .default_json = DEFAULTS("512"),                                                          \
         .description = "Size of /tmp in MiB."},                                                   \
        {.name = "tracing",                                                                        \
         .kind = SHAPE_STRING,                                                                     \
         .choices = "pass-through|active",                                                         \
         .default_json = DEFAULTS("\"pass-through\""),                                             \
         .description = "Whether X-Ray samples by itself, or as the caller says."},                \
        {.name = "logging",                                                                        \
         .kind = SHAPE_OBJECT,                                                                     \
         .of = &logging_shape,                                                                     \
         .default_json = DEFAULTS("{}"),                                                           \
         .description = "How the function logs."},                                                 \
        {.name = "snapStart",                                                                      \
         .kind = SHAPE_BOOL,                                                                       \
         .default_json = DEFAULTS("false"),                                                        \
         .description = "Whether versions start from a snapshot; publishing one takes minutes."},  \
        {.name = "kmsKeyArn",                                                                      \
         .kind = SHAPE_STRING,                                                                     \
         .flags = SHAPE_NULLABLE,                                                                  \
         .min = 1,                                                                                 \
         .max = 2048,                                                                              \
         .check = arn_valid,                                                                       \
         .wants = "must be an ARN",                                                                \
         .pattern = ARN_PATTERN,                                                                   \
         .default_json = DEFAULTS("null"),                                                         \
         .description = "Key that AWS encrypts environment and snapshots by; null: its own."},     \
    {                                                                                              \
        .name = "deadLetterArn", .kind = SHAPE_STRING, .flags = SHAPE_NULLABLE, .min = 1,          \
        .max = 2048, .check = arn_valid, .wants = "must be an ARN", .pattern = ARN_PATTERN,        \
        .default_json = DEFAULTS("null"),                                                          \
        .description = "Queue or topic that gets asynchronous events which failed; null: none."    \
    }

/* Those of an app that act at once, whichever version serves (configure.h). */
#define LAMBDA_SETTINGS_AT_ONCE                                                                    \
    {.name = "concurrency",                                                                        \
     .kind = SHAPE_OBJECT,                                                                         \
     .of = &concurrency_shape,                                                                     \
     .default_json = "{}",                                                                         \
     .description = "How many run at once. Acts at once."},                                        \
    {                                                                                              \
        .name = "tags", .kind = SHAPE_MAP, .max = 48, .max_bytes = 16384, .max_each = 256,         \
        .check = tag_name_valid, .wants = TAG_NAME_WANTS, .pattern = TAG_NAME_PATTERN,             \
        .default_json = "{}", .description = "Tags of the Lambda function. Acts at once."          \
    }
#define TAG_NAME_WANTS                                                                             \
    "must have 1 to 128 letters, digits, blanks and _ . : / = + - @, and begin with neither aws: " \
    "nor app-orchestrator:"
#define TAG_NAME_PATTERN "^(?!aws:|app-orchestrator:)[A-Za-z0-9 _.:/=+@-]{1,128}$"

#define LAMBDA_SETTING_NAMES                                                                       \
    "layers", "vpc", "ephemeralStorageMb", "tracing", "logging", "snapStart", "kmsKeyArn",         \
        "deadLetterArn"

#endif
