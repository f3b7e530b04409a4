/*
 * Looks whether the file of an environment is whole, without LMDB, which trusts what it maps: page by
 * page, every bound checked, so that damage is a sentence and never a crash.
 *
 * The format is that of LMDB 0.9 on 64-bit machines: two heads (pages 0 and 1), written in turns; the later
 * one names the roots of two trees, of free pages and of databases. What is checked: both heads, and that
 * none of them is a transaction behind; that each page is what its place in the tree says, belongs to one
 * place only and is not free; that keys are in order, and as many as were counted. What a value holds is for
 * the visitor to judge.
 *
 * Nobody may write to the environment meanwhile.
 */
#ifndef COMMON_STORE_STORE_CHECK_H
#define COMMON_STORE_STORE_CHECK_H

#include "common/base/bytes.h"

#define STORE_MAX_VALUE (64u << 20) /* of one that is shown to a visitor */

struct store_checked {
    uint64_t entries, pages, free_pages, last_transaction;
    uint64_t lost; /* places behind which entries were lost; how many is not known */
};

/* Shown each entry; the views die with the visit. False: it is damaged. */
typedef bool (*store_check_visit)(const char *database, struct view key, struct view value,
                                  void *context);

/* ERROR_NOT_FOUND: there is no environment yet, or a first start was cut short before there was one
 * (store_check_clear), and no sentence. Else on failure one sentence about the file
 * goes to `problem`: what is wrong, not what to do. ERROR_DAMAGED; ERROR_DENIED and others: it cannot be
 * read. `visit` and `checked` may be NULL. */
enum error store_check(const char *folder, store_check_visit visit, void *context,
                       struct store_checked *checked, struct buffer *problem) MUST_CHECK;

/* After ERROR_NOT_FOUND, before a writer opens it: nothing is left of a first start that was cut short. */
enum error store_check_clear(const char *folder, struct buffer *problem) MUST_CHECK;

/* Shows what is whole, and passes over what is damaged: of the heads, too, the one that is good. What was
 * removed is not shown again. Only when nothing can be walked through it fails. */
enum error store_check_rest(const char *folder, store_check_visit visit, void *context,
                            struct store_checked *checked, struct buffer *problem) MUST_CHECK;

#endif
