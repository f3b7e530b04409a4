/* The example request that is signed, and whose keys sign it. */
#ifndef TESTS_UNIT_COMMON_AWS_SIGV4_SCENE_H
#define TESTS_UNIT_COMMON_AWS_SIGV4_SCENE_H

#include "common/aws/sigv4.h"
#include "common/base/clock.h"
#include "common/base/crypto.h"
#include "common/base/escape.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NOW_MS INT64_C(1440938160000) /* 2015-08-30T12:36:00Z */
#define TOKEN  VIEW("TOKEN/with+chars==")
#define ARN_URL                                                                                    \
    "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Amy-fn/"      \
    "invocations"

static inline struct credentials *example_credentials(struct view token)
{
    return credentials_new(VIEW("AKIDEXAMPLE"), VIEW("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
                           token, INT64_MAX);
}

static const struct sigv4_header invoke_headers[] = {
    {VIEW("Content-Type"), VIEW("application/json")},
    {VIEW("X-Amz-Invocation-Type"), VIEW("RequestResponse")},
};

static inline struct sigv4_request invoke_request(void)
{
    return (struct sigv4_request){
        .method = VIEW("POST"),
        .path = VIEW(ARN_URL),
        .query = VIEW("Qualifier=live"),
        .host = VIEW("lambda.us-east-1.amazonaws.com"),
        .headers = invoke_headers,
        .header_count = 2,
        .body = VIEW("{\"a\":1}"),
        .region = VIEW("us-east-1"),
        .service = VIEW("lambda"),
    };
}

#endif
