/*
 * What store.c (environments) and store_transaction.c share. This is the one place where lmdb.h comes
 * in; nothing outside of this folder includes it.
 */
#ifndef COMMON_STORE_STORE_LMDB_H
#define COMMON_STORE_STORE_LMDB_H

#include "common/store/store.h"

#include <lmdb.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#define STORE_MAX_DATABASES 16
#define STORE_NO_SUCH_HANDLE                                                                       \
    EINVAL /* LMDB's word for a handle that the transaction does not know */

struct database {
    char *name;
    atomic_uint
        handle; /* MDB_dbi; 0 until the database is there: handles of named ones begin at 2 */
};

struct store {
    struct store *next; /* in `registry` */
    pid_t pid;
    MDB_env *environment;
    char *folder;
    dev_t device, lock_device; /* of data.mdb and lock.mdb */
    ino_t inode, lock_inode;
    bool read_only;
    uint64_t reserve_pages; /* that ordinary puts leave free */
    struct database databases[STORE_MAX_DATABASES];
    size_t database_count;
    atomic_bool all_known;     /* every database has its handle */
    pthread_mutex_t discovery; /* mdb_dbi_open: one transaction of the process at a time */
    atomic_uint readers;
    atomic_bool writing;
    _Atomic pthread_t writer; /* good while `writing` */
};

/* The error for what an mdb_ function returned; REQUIREs that it is not our misuse. */
enum error store_error(int rc);
/* mdb_txn_begin for reading; frees the slots of dead processes when all are taken. */
int store_begin_reading(struct store *store, MDB_txn **transaction) MUST_CHECK;
/* Opens the handles of databases that have appeared. `snapshot` gets the id of what it saw. */
int store_discover(struct store *store, size_t *snapshot) MUST_CHECK;

#endif
