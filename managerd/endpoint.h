/*
 * The endpoint table: every call of the API in one place.
 *
 * A row names method, path pattern, who may call, what it takes and gives, and the function that
 * acts. The OpenAPI document is generated from the same rows.
 */
#ifndef MANAGERD_ENDPOINT_H
#define MANAGERD_ENDPOINT_H

#include "managerd/authenticate.h"
#include "managerd/shape.h"

struct call;

/* What an engine is told by a step: go on, wait to be resumed, or answer with the problem. */
enum progress { PROGRESS_NEXT, PROGRESS_WAIT, PROGRESS_FAIL };

enum endpoint_flag {
    ENDPOINT_BODY = 1,          /* a JSON body is required */
    ENDPOINT_OPTIONAL_BODY = 2, /* a JSON body may be there */
    ENDPOINT_PACKAGE = 4,       /* the body may be large, or an application/zip */
    ENDPOINT_MERGE_PATCH = 8,   /* application/merge-patch+json too; checked after the merge */
    ENDPOINT_ACCEPTS = 16,      /* starts an operation: 202, or 200 with Prefer: wait */
    ENDPOINT_LIST = 32,         /* gives a page of what it gives */
    ENDPOINT_TEXT = 64,         /* gives something that is no JSON resource */
    ENDPOINT_HIDDEN = 128,      /* not in the OpenAPI document */
    ENDPOINT_FIRST_API = 256,   /* the first service's: what is wrong with a body is a 400 */
    ENDPOINT_URGENT = 512,      /* may use the store's reserve, as removals may */
    ENDPOINT_DOCUMENT = 1024,   /* the JSON body may be large, with and without packages in it */
    ENDPOINT_EVENT = 2048,      /* the body's member `event` stays as it is written (call->event) */
    ENDPOINT_PACKED = 4096,     /* the answer is no single resource, and is compressed when asked */
};

/* What a call is about, which must be among the apps of the caller's token (authorize.h). */
enum endpoint_scope {
    ENDPOINT_OF_NO_APP,    /* nothing of any app */
    ENDPOINT_OF_ALL,       /* all of them: a limited token will not do */
    ENDPOINT_OF_APP,       /* {name} in the path */
    ENDPOINT_OF_BODY,      /* name in the body */
    ENDPOINT_OF_LIST,      /* gives only what is among them */
    ENDPOINT_OF_OPERATION, /* {id}'s app */
    ENDPOINT_OF_DOMAIN,    /* the apps that {host} leads to, and shall lead to */
    ENDPOINT_OF_TOKEN,     /* the apps of {id} */
};
const char *endpoint_scope_name(enum endpoint_scope scope);

#define ENDPOINT_PARAMETERS 2

struct endpoint {
    const char *method;
    const char *pattern; /* "/v1/apps/{name}/versions/{version}" */
    enum role role;      /* ROLE_NONE: open without a token */
    enum endpoint_scope scope;
    unsigned flags;
    const struct shape *takes, *gives;
    int status;        /* of success */
    const char *query; /* lawful query parameters, separated by spaces; NULL: none. "*": the handler
                          checks them */
    const char *id;    /* "listApps" */
    const char *summary;
    enum progress (*act)(struct call *call);
};

extern const struct endpoint endpoints[];
extern const size_t endpoint_count;

struct endpoint_parameters {
    struct view values[ENDPOINT_PARAMETERS]; /* as on the wire */
    size_t count;
};

/* The row for method and path. NULL: none; then `allow` holds the methods that the path does have
 * ("GET, HEAD, OPTIONS, PUT"), or is empty when nothing is there. */
const struct endpoint *endpoint_find(struct view method, struct view path,
                                     struct endpoint_parameters *parameters, struct buffer *allow);
/* Whether the pattern covers the path. */
bool endpoint_matches(const char *pattern, struct view path,
                      struct endpoint_parameters *parameters);

#endif
