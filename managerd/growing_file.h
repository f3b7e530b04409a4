/*
 * A file that grows from front to back under a name of its own, is hashed on the way, then mapped for
 * reading, and at last kept under another name, or removed. One thread at a time; it blocks.
 */
#ifndef MANAGERD_GROWING_FILE_H
#define MANAGERD_GROWING_FILE_H

#include "common/base/bytes.h"

#define GROWING_FILE_START ".upload." /* of their names */
#define GROWING_FILE_PATH  4096

struct growing_file {
    char folder[GROWING_FILE_PATH - 32];
    char path[GROWING_FILE_PATH]; /* empty: not there, or kept */
    int descriptor;               /* -1: none */
    struct sha256_stream *hash;   /* until the end */
    uint64_t length;
    char sha256[65];  /* hex; from the end on */
    char *map;        /* from the end on; NULL when it is empty */
    enum error error; /* the first; sticks */
};

/* Nothing is on the disk before the first byte. */
void growing_file_init(struct growing_file *file, const char *folder);
void growing_file_add(struct growing_file *file, struct view bytes);
/* Nothing more comes: makes hash and map. */
enum error growing_file_end(struct growing_file *file) MUST_CHECK;
/* Its pages are the disk's, not memory of ours. */
struct view growing_file_bytes(const struct growing_file *file);
/* Durable under this name of the same folder, when it returns ERROR_NONE; the bytes stay good. */
enum error growing_file_keep(struct growing_file *file, const char *path) MUST_CHECK;
/* Removes it, unless it is kept. */
void growing_file_release(struct growing_file *file);

#endif
