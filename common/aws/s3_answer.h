/* What an answer of S3 means to who made the call: for s3_call.c alone. */
#ifndef COMMON_AWS_S3_ANSWER_H
#define COMMON_AWS_S3_ANSWER_H

#include "common/aws/s3_parts.h"

/* OK, with empty texts. */
void s3_answer_empty(struct s3_answer *answer);

/* All of it; what is not the result's own is in `arena`. `region`: where S3 says that the bucket is. */
void s3_answer_read(const struct s3_call *call, const struct outgoing_result *result,
                    struct arena *arena, struct s3_answer *answer, struct view *region);

/* What the headers say of an object, and of which of its bytes the body begins with; borrowed. */
void s3_object_read(const struct outgoing_result *result, struct s3_object *object,
                    uint64_t *start);

#endif
