/* The parts that openapi.c makes the document of. Each writes into an open object of the writer. */
#ifndef MANAGERD_OPENAPI_PARTS_H
#define MANAGERD_OPENAPI_PARTS_H

#include "managerd/endpoint.h"

/* "#/components/FOLDER/SHAPE" and a suffix, as {"$ref"}. */
void openapi_reference(struct json_writer *w, const char *name, const char *folder,
                       const char *shape, const char *suffix);
/* What the name of a shape's schema ends with for a side: it depends on whether the shape goes
 * both ways. */
const char *openapi_suffix(const struct shape *shape, enum shape_side side);

/* Whether it gives a resource that carries its revision, as ETag. */
bool openapi_gives_tagged(const struct endpoint *endpoint);
/* Whether it may make what its path names. */
bool openapi_creates(const struct endpoint *endpoint);
bool openapi_writes(const struct endpoint *endpoint);

/* "parameters": [path, query, headers] */
void openapi_write_parameters(struct json_writer *w, const struct endpoint *endpoint);
/* "responses": {status: …} */
void openapi_write_answers(struct json_writer *w, const struct json *examples,
                           const struct endpoint *endpoint);
/* components.responses and components.headers */
void openapi_write_refusals(struct json_writer *w);

/*
 * Examples (managerd/examples.json): of requests by the call's id, of answers by the call's id or
 * else by the shape's name. The tests send each request and hold each answer against its schema.
 * False: there is none.
 */
struct json *openapi_examples_read(void);
bool openapi_write_request_example(struct json_writer *w, const struct json *examples,
                                   const struct endpoint *endpoint);
bool openapi_write_answer_example(struct json_writer *w, const struct json *examples,
                                  const struct endpoint *endpoint);

#endif
