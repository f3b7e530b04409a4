/* The head of an HTTP answer, gathered line by line as a client library hands it over. */
#ifndef COMMON_NET_ANSWER_H
#define COMMON_NET_ANSWER_H

#include "common/base/bytes.h"

#define ANSWER_MAX_HEAD_BYTES 65536

struct answer_head {
    bool seen;     /* a status line came */
    bool complete; /* and the empty line that ends the head */
    int status;    /* of the final answer; 0 before it, also after a 1xx */
    struct buffer lines;
};

void answer_head_init(struct answer_head *head);
void answer_head_release(struct answer_head *head);
/* One line with its end: a status line starts anew, others are kept. False beyond the ceiling. */
bool answer_head_line(struct answer_head *head, struct view line);
/* The last header of that name (any case). */
bool answer_head_find(const struct answer_head *head, const char *name, struct view *value);

#endif
