/*
 * Names of functions, as clients write them: a name, `name:qualifier`, a partial or a full ARN.
 * Pure. Source: the Lambda API reference (FunctionName), aws-contract.md 3.1 and 4.1.
 */
#ifndef LAMBDA_LOCAL_FUNCTION_NAME_H
#define LAMBDA_LOCAL_FUNCTION_NAME_H

#include "common/base/bytes.h"

#define FUNCTION_NAME_SIZE 65  /* 64 characters and NUL */
#define QUALIFIER_SIZE     129 /* 128 characters and NUL */
#define FUNCTION_ARN_SIZE  256

struct function_name {
    char name[FUNCTION_NAME_SIZE];
    char qualifier[QUALIFIER_SIZE]; /* "" when none was given */
};

enum name_verdict {
    NAME_FINE,
    NAME_MALFORMED,
    NAME_OTHER_REGION,
    NAME_OTHER_ACCOUNT,
};

/* `text` is decoded already. On NAME_OTHER_… name and qualifier are filled in as well. */
enum name_verdict function_name_parse(struct view text, struct function_name *out);
/* "$LATEST", a version number or an alias name. */
bool qualifier_valid(struct view text);
/* [a-zA-Z0-9-_]+ of at most 128, not digits alone. */
bool alias_name_valid(struct view text);
/* A version number: digits, not 0, at most 18 of them. */
bool version_number_parse(struct view text, int64_t *number);
/* The function's ARN; an empty or NULL qualifier gives the unqualified one. */
void function_arn(char out[FUNCTION_ARN_SIZE], const char *name, const char *qualifier);

#endif
