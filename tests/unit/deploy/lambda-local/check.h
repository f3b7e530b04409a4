/* What the tests of lambda-local share: cmocka, and functions made by hand. */
#ifndef TESTS_UNIT_DEPLOY_LAMBDA_LOCAL_CHECK_H
#define TESTS_UNIT_DEPLOY_LAMBDA_LOCAL_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "deploy/lambda-local/function.h"

#define HASH_A "x7mtjLiBg7bGl+yOGF9Mx4+hvOxo2J+mMUONA2ZZ8Io="

/* A tree from text that must be JSON. */
static inline struct json *tree(const char *text)
{
    struct json *value = NULL;

    assert_int_equal(json_parse(view_of(text), 32, &value, NULL), ERROR_NONE);
    return value;
}

#endif
