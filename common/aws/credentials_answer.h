/*
 * What providers answer with, read: JSON of containers, instances and processes, XML of STS. Problems
 * are part of a sentence ("says AccessDenied: …") and never show a key.
 */
#ifndef COMMON_AWS_CREDENTIALS_ANSWER_H
#define COMMON_AWS_CREDENTIALS_ANSWER_H

#include "common/aws/credentials.h"
#include "common/base/arena.h"

enum credentials_form {
    CREDENTIALS_CONTAINER, /* AccessKeyId, SecretAccessKey, Token, Expiration */
    CREDENTIALS_INSTANCE,  /* the same, and Code, which must be Success when it is there */
    CREDENTIALS_PROCESS,   /* Version 1, SessionToken, and Expiration that may be absent: never */
};

/* ERROR_INVALID: not of that form, or a part that no header can carry. */
enum error credentials_from_json(struct view text, enum credentials_form form,
                                 struct credentials **credentials,
                                 struct buffer *problem) MUST_CHECK;

/* The answer to AssumeRole and AssumeRoleWithWebIdentity. */
enum error credentials_from_sts(struct view text, struct credentials **credentials,
                                struct buffer *problem) MUST_CHECK;
/* AWS's error code and message in an XML answer; empty: there are none. Copied into the arena. */
struct aws_failure {
    struct view code, message;
};
void aws_failure_read(struct view text, struct arena *arena, struct aws_failure *failure);

#endif
