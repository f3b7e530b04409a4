/* Walks through the file of an environment page by page, and says what of it is damaged. */
#include "common/store/store_check.h"

#include "common/store/store_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC          UINT32_C(0xBEEFC0DE)
#define FORMAT         1
#define HEADS          2
#define NO_PAGE        UINT64_MAX
#define PAGE_HEADER    16
#define NODE_HEADER    8
#define MIN_PAGE_BYTES 512
#define MAX_PAGE_BYTES 32768
#define MAX_DEPTH      32
#define MAX_KEY_BYTES  511
#define NAME_BYTES     64
#define BITS           8
#define LARGEST_FILE   (UINT64_C(1) << 46)

enum page_flags { PAGE_BRANCH = 1, PAGE_LEAF = 2, PAGE_OVERFLOW = 4, PAGE_HEAD = 8 };
enum node_flags { NODE_OVERFLOW = 1, NODE_TREE = 2 };
#define FREE_LIST_FLAGS 8 /* its keys are numbers */

/* As they lie in the file, in this machine's byte order. */
struct tree {
    uint32_t pad;
    uint16_t flags, depth;
    uint64_t branches, leaves, overflows, entries, root;
};
struct head {
    uint32_t magic, version;
    uint64_t address, map_bytes;
    struct tree free_list, databases;
    uint64_t last_page, transaction;
};
struct page {
    uint64_t number;
    uint16_t pad, flags;
    uint16_t lower, upper; /* of an overflow page together: how many pages */
};
_Static_assert(sizeof(struct tree) == 48 && sizeof(struct head) == 136 &&
                   sizeof(struct page) == PAGE_HEADER && sizeof(size_t) == 8,
               "the file's own form");

enum tree_kind { TREE_FREE_LIST, TREE_DATABASES, TREE_RECORDS };

struct walk {
    const char *path;
    int file;
    uint64_t file_bytes;
    uint32_t page_bytes;
    struct head head, other; /* the later one, and the one before it */
    uint8_t *seen;           /* a bit a page */
    store_check_visit visit;
    void *context;
    struct store_checked checked;
    struct buffer *problem;
    bool lenient;
};

/* One tree's walk. */
struct climb {
    struct walk *walk;
    enum tree_kind kind;
    const struct tree *tree;
    const char *database;
    struct tree found;
};

/* What the keys of a page must lie between; data NULL: no bound. */
struct bounds {
    struct view least, beyond;
};

struct node {
    struct view key;
    uint32_t size;
    uint16_t flags;
    const uint8_t *data;
    uint64_t child; /* of a branch */
};

static bool damaged(struct walk *walk, const char *format, ...) PRINTF_LIKE(2, 3);
static bool walk_page(struct climb *climb, uint64_t number, unsigned depth, struct bounds bounds);
static bool walk_tree(struct walk *walk, enum tree_kind kind, const struct tree *tree,
                      const char *database);

/* False, always; the first sentence counts. */
static bool damaged(struct walk *walk, const char *format, ...)
{
    char what[256];
    va_list arguments;

    if (walk->problem->length > 0)
        return false;
    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    buffer_append_format(walk->problem, "%s is damaged (%s)", walk->path, what);
    return false;
}

/* Whether to go on behind a damage. */
static bool passes_over(struct walk *walk)
{
    if (!walk->lenient)
        return false;
    walk->checked.lost++;
    buffer_clear(walk->problem);
    return true;
}

/* ---- pages ---- */

static bool read_bytes(struct walk *walk, uint64_t page, void *out, size_t length)
{
    uint64_t offset = page * walk->page_bytes;
    size_t done = 0;

    if (offset > walk->file_bytes || length > walk->file_bytes - offset)
        return damaged(walk, "page %llu lies beyond its end", (unsigned long long)page);
    while (done < length) {
        ssize_t got = pread(walk->file, (char *)out + done, length - done, (off_t)(offset + done));

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return damaged(walk, "page %llu cannot be read: %s", (unsigned long long)page,
                           got ? strerror(errno) : "the file has shrunk");
        done += (size_t)got;
    }
    return true;
}

/* Each page has one place. */
static bool claim(struct walk *walk, uint64_t first, uint64_t count)
{
    uint64_t last = walk->head.last_page;

    if (first < HEADS || first > last || count > last - first + 1)
        return damaged(walk, "something refers to page %llu, which is not in use",
                       (unsigned long long)first);
    for (uint64_t page = first; page < first + count; page++) {
        uint8_t bit = (uint8_t)(1u << page % BITS);

        if (walk->seen[page / BITS] & bit)
            return damaged(walk, "page %llu is used twice", (unsigned long long)page);
        walk->seen[page / BITS] |= bit;
    }
    return true;
}

/* ---- nodes ---- */

static int compare_keys(const struct climb *climb, struct view a, struct view b)
{
    uint64_t left, right;

    if (climb->kind != TREE_FREE_LIST)
        return view_compare(a, b);
    memcpy(&left, a.data, sizeof(left));
    memcpy(&right, b.data, sizeof(right));
    return left < right ? -1 : left > right;
}

static bool read_node(const struct climb *climb, const uint8_t *bytes, unsigned index, bool branch,
                      struct node *node)
{
    uint32_t size = climb->walk->page_bytes;
    struct page page;
    uint16_t at,
        parts[4]; /* size or child in three, of which the last are flags; the key's length */

    memcpy(&page, bytes, sizeof(page));
    memcpy(&at, bytes + PAGE_HEADER + (size_t)index * sizeof(at), sizeof(at));
    if (at < page.upper || at % 2 != 0 || (uint32_t)at + NODE_HEADER > size)
        return false;
    memcpy(parts, bytes + at, sizeof(parts));
    if (parts[3] > MAX_KEY_BYTES || (uint32_t)at + NODE_HEADER + parts[3] > size)
        return false;
    node->key = view_from(bytes + at + NODE_HEADER, parts[3]);
    node->size = parts[0] | (uint32_t)parts[1] << 16;
    node->flags = parts[2];
    node->child = node->size | (uint64_t)parts[2] << 32;
    node->data = bytes + at + NODE_HEADER + parts[3];
    if (branch)
        return true;
    uint64_t here = node->flags & NODE_OVERFLOW ? sizeof(uint64_t) : node->size;
    return (node->flags & ~(NODE_OVERFLOW | NODE_TREE)) == 0 &&
           here <= size - at - NODE_HEADER - parts[3];
}

static bool key_fits(const struct climb *climb, struct view key, struct bounds bounds)
{
    if (climb->kind == TREE_FREE_LIST ? key.length != sizeof(uint64_t) : key.length == 0)
        return false;
    return (!bounds.least.data || compare_keys(climb, key, bounds.least) >= 0) &&
           (!bounds.beyond.data || compare_keys(climb, key, bounds.beyond) < 0);
}

/* ---- what entries hold ---- */

/* A transaction's number, and the pages that it gave back: their count, then they, falling. */
static bool look_at_free_pages(struct climb *climb, struct view key, struct view value)
{
    struct walk *walk = climb->walk;
    uint64_t transaction, count, page, before = NO_PAGE;

    memcpy(&transaction, key.data, sizeof(transaction));
    if (value.length < sizeof(count))
        return damaged(walk, "the list of free pages is cut");
    memcpy(&count, value.data, sizeof(count));
    if (transaction > walk->head.transaction || count > value.length / sizeof(page) - 1)
        return damaged(walk, "the list of free pages is not what it can be");
    for (uint64_t i = 0; i < count; i++, before = page) {
        memcpy(&page, value.data + (i + 1) * sizeof(page), sizeof(page));
        if (page >= before)
            return damaged(walk, "the list of free pages is in disorder");
        if (!claim(walk, page, 1))
            return false;
    }
    walk->checked.free_pages += count;
    return true;
}

static bool look_at_database(struct climb *climb, struct view key, struct view value)
{
    char name[NAME_BYTES];
    struct tree tree;

    if (value.length != sizeof(tree) || key.length >= sizeof(name))
        return damaged(climb->walk, "the list of databases holds something else");
    memcpy(&tree, value.data, sizeof(tree));
    memcpy(name, key.data, key.length);
    name[key.length] = '\0';
    return walk_tree(climb->walk, TREE_RECORDS, &tree, name);
}

static bool look_at_value(struct climb *climb, const struct node *node, struct view value)
{
    struct walk *walk = climb->walk;
    bool is_tree = node->flags & NODE_TREE;

    if (is_tree != (climb->kind == TREE_DATABASES))
        return damaged(walk, "an entry of %s is of another kind", climb->database);
    if (climb->kind == TREE_FREE_LIST)
        return look_at_free_pages(climb, node->key, value);
    if (climb->kind == TREE_DATABASES)
        return look_at_database(climb, node->key, value);
    walk->checked.entries++;
    if (walk->visit && !walk->visit(climb->database, node->key, value, walk->context))
        return damaged(walk, "what \"%.*s\" holds is not what was written",
                       VIEW_FORMAT(view_slice(node->key, 0, 100)));
    return true;
}

/* A value that has pages of its own. */
static bool look_at_overflow(struct climb *climb, const struct node *node)
{
    struct walk *walk = climb->walk;
    uint64_t first, pages = (PAGE_HEADER - 1 + (uint64_t)node->size) / walk->page_bytes + 1;
    struct page page;
    uint32_t counted;
    char *bytes;
    bool good;

    memcpy(&first, node->data, sizeof(first));
    if (node->size > STORE_MAX_VALUE)
        return damaged(walk, "an entry of %s is too large", climb->database);
    if (!claim(walk, first, pages) || !read_bytes(walk, first, &page, sizeof(page)))
        return false;
    memcpy(&counted, &page.lower, sizeof(counted));
    if (page.number != first || page.flags != PAGE_OVERFLOW || counted != pages)
        return damaged(walk, "page %llu is not what it should be", (unsigned long long)first);
    climb->found.overflows += pages;
    bytes = malloc(PAGE_HEADER + (size_t)node->size);
    if (!bytes)
        return damaged(walk, "memory ran out over an entry of %u bytes", node->size);
    good = read_bytes(walk, first, bytes, PAGE_HEADER + (size_t)node->size) &&
           look_at_value(climb, node, view_from(bytes + PAGE_HEADER, node->size));
    free(bytes);
    return good;
}

/* ---- trees ---- */

static bool look_at_entry(struct climb *climb, const struct node *node)
{
    return node->flags & NODE_OVERFLOW
               ? look_at_overflow(climb, node)
               : look_at_value(climb, node, view_from(node->data, node->size));
}

static bool walk_leaf(struct climb *climb, const uint8_t *bytes, unsigned count,
                      struct bounds bounds)
{
    struct view before = {0};

    climb->found.leaves++;
    for (unsigned i = 0; i < count; i++) {
        struct node node;

        if (!read_node(climb, bytes, i, false, &node) || !key_fits(climb, node.key, bounds) ||
            (before.data && compare_keys(climb, before, node.key) >= 0)) {
            damaged(climb->walk, "an entry of %s is not where it should be", climb->database);
            if (!passes_over(climb->walk))
                return false;
            continue;
        }
        before = node.key;
        climb->found.entries++;
        if (!look_at_entry(climb, &node) && !passes_over(climb->walk))
            return false;
    }
    return true;
}

static bool walk_branch(struct climb *climb, const uint8_t *bytes, unsigned count, unsigned depth,
                        struct bounds bounds)
{
    struct node node = {0}, next = {0};

    climb->found.branches++;
    if (!read_node(climb, bytes, 0, true, &next))
        return damaged(climb->walk, "a branch of %s is cut", climb->database);
    for (unsigned i = 0; i < count; i++) {
        struct bounds below = bounds;

        node = next;
        if (i + 1 < count &&
            (!read_node(climb, bytes, i + 1, true, &next) || !key_fits(climb, next.key, bounds) ||
             (i > 0 && compare_keys(climb, node.key, next.key) >= 0))) {
            damaged(climb->walk, "a branch of %s is in disorder", climb->database);
            return passes_over(climb->walk);
        }
        if (i > 0)
            below.least = node.key;
        if (i + 1 < count)
            below.beyond = next.key;
        if (!walk_page(climb, node.child, depth + 1, below) && !passes_over(climb->walk))
            return false;
    }
    return true;
}

/* The depth is that of a balanced tree: branches all the way, then leaves. */
static bool walk_page(struct climb *climb, uint64_t number, unsigned depth, struct bounds bounds)
{
    struct walk *walk = climb->walk;
    bool leaf = depth == climb->tree->depth;
    struct page page;
    unsigned count;
    uint8_t *bytes;
    bool good;

    if (!claim(walk, number, 1))
        return false;
    bytes = malloc(walk->page_bytes);
    if (!bytes)
        return damaged(walk, "memory ran out");
    good = read_bytes(walk, number, bytes, walk->page_bytes);
    if (good) {
        memcpy(&page, bytes, sizeof(page));
        count = page.lower < PAGE_HEADER ? 0 : (page.lower - PAGE_HEADER) / 2u;
        if (page.number != number || page.flags != (leaf ? PAGE_LEAF : PAGE_BRANCH) ||
            page.lower % 2 != 0 || page.lower > page.upper || page.upper > walk->page_bytes ||
            count == 0)
            good = damaged(walk, "page %llu is not what it should be", (unsigned long long)number);
        else
            good = leaf ? walk_leaf(climb, bytes, count, bounds)
                        : walk_branch(climb, bytes, count, depth, bounds);
    }
    free(bytes);
    return good;
}

static bool walk_tree(struct walk *walk, enum tree_kind kind, const struct tree *tree,
                      const char *database)
{
    struct climb climb = {.walk = walk, .kind = kind, .tree = tree, .database = database};
    const struct tree *found = &climb.found;

    if (tree->flags != (kind == TREE_FREE_LIST ? FREE_LIST_FLAGS : 0) || tree->depth > MAX_DEPTH ||
        (tree->root == NO_PAGE) != (tree->depth == 0))
        return damaged(walk, "the root of %s is not what it can be", database);
    if (tree->root != NO_PAGE && !walk_page(&climb, tree->root, 1, (struct bounds){0}))
        return false;
    if (walk->lenient)
        return true;
    if (found->entries != tree->entries || found->branches != tree->branches ||
        found->leaves != tree->leaves || found->overflows != tree->overflows)
        return damaged(walk, "%s has %llu entries, and %llu were written", database,
                       (unsigned long long)found->entries, (unsigned long long)tree->entries);
    return true;
}

/* ---- heads ---- */

static bool read_head(struct walk *walk, unsigned which, uint32_t page_bytes, struct head *head)
{
    struct page page;
    char bytes[sizeof(page) + sizeof(*head)];

    walk->page_bytes = page_bytes;
    if (!read_bytes(walk, which, bytes, sizeof(bytes)))
        return false;
    memcpy(&page, bytes, sizeof(page));
    memcpy(head, bytes + sizeof(page), sizeof(*head));
    if (page.number != which || page.flags != PAGE_HEAD || head->magic != MAGIC)
        return damaged(walk, "its head %u is not what it should be", which);
    if (head->version != FORMAT)
        return damaged(walk, "its format is %u, and this release knows %d", head->version, FORMAT);
    return true;
}

/* Of two heads the later one, of one that is damaged the other. */
static bool read_rest_of_heads(struct walk *walk)
{
    static const uint32_t sizes[] = {4096, 16384, 8192, 32768, 2048, 1024, 512};
    struct head head;
    bool found = false;

    for (unsigned which = 0; which < HEADS; which++)
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            bool good = read_head(walk, which, sizes[i], &head) && head.free_list.pad == sizes[i] &&
                        head.last_page <= LARGEST_FILE / sizes[i] &&
                        (!found || head.transaction > walk->head.transaction);

            buffer_clear(walk->problem);
            if (!good)
                continue;
            walk->head = head;
            found = true;
        }
    if (!found)
        return damaged(walk, "neither of its heads is what it should be");
    walk->page_bytes = walk->head.free_list.pad;
    return true;
}

/* They are written in turns, so one is a transaction behind the other: a head that is older than that
 * would bring back what was there before. */
static bool read_heads(struct walk *walk)
{
    struct head heads[HEADS];
    uint32_t size;

    if (!read_head(walk, 0, MIN_PAGE_BYTES, &heads[0]))
        return false;
    size = heads[0].free_list.pad; /* the file's page size is kept there */
    if (size < MIN_PAGE_BYTES || size > MAX_PAGE_BYTES || (size & (size - 1)) != 0)
        return damaged(walk, "its head 0 is not what it should be");
    if (!read_head(walk, 1, size, &heads[1]))
        return false;
    unsigned later = heads[1].transaction > heads[0].transaction;
    walk->head = heads[later];
    walk->other = heads[!later];
    uint64_t newest = heads[later].transaction, other = heads[!later].transaction;
    bool fresh = newest == 0 && other == 0;
    if (heads[1].free_list.pad != size || (!fresh && (newest - other != 1 || newest % 2 != later)))
        return damaged(walk, "its heads do not fit each other");
    if (walk->head.last_page < HEADS - 1 || walk->head.last_page > LARGEST_FILE / size ||
        walk->other.last_page > LARGEST_FILE / size)
        return damaged(walk, "its length is not what it can be");
    walk->checked.last_transaction = newest;
    walk->checked.pages = walk->head.last_page + 1;
    return true;
}

/* ---- the whole ---- */

static bool make_seen(struct walk *walk)
{
    free(walk->seen);
    walk->seen = calloc(walk->head.last_page / BITS + 1, 1);
    return walk->seen || damaged(walk, "memory ran out over %llu pages",
                                 (unsigned long long)walk->head.last_page);
}

/* A later head whose number has changed looks like one of earlier, but for what is in its list of free
 * pages: no transaction gives back pages after its own. */
static bool walk_other(struct walk *walk)
{
    struct walk before = *walk;
    bool good;

    before.head = walk->other;
    before.seen = NULL;
    good = make_seen(&before) && walk_tree(&before, TREE_FREE_LIST, &before.head.free_list,
                                           "the list of free pages of before");
    free(before.seen);
    return good;
}

static bool walk_all(struct walk *walk)
{
    bool good;

    if (walk->lenient ? !read_rest_of_heads(walk) : !read_heads(walk))
        return false;
    good = make_seen(walk) &&
           walk_tree(walk, TREE_DATABASES, &walk->head.databases, "the list of databases");
    if (!walk->lenient)
        good = good &&
               walk_tree(walk, TREE_FREE_LIST, &walk->head.free_list, "the list of free pages") &&
               walk_other(walk);
    free(walk->seen);
    return good;
}

/* A first start that was cut short while it wrote the heads: there never was a transaction. */
static bool is_unborn(struct walk *walk)
{
    struct head head = {0};
    bool good = read_head(walk, 0, MIN_PAGE_BYTES, &head) && head.transaction == 0 &&
                walk->file_bytes < (uint64_t)HEADS * head.free_list.pad;

    buffer_clear(walk->problem);
    return good;
}

static enum error look_at_file(const char *folder, bool lenient, store_check_visit visit,
                               void *context, struct store_checked *checked, struct buffer *problem)
{
    char path[STORE_PATH_BYTES];
    struct walk walk = {
        .path = path, .visit = visit, .context = context, .problem = problem, .lenient = lenient};
    enum error error = ERROR_NONE;
    struct stat status;

    REQUIRE(strlen(folder) < STORE_PATH_BYTES - 16 && problem->length == 0);
    store_path(path, folder, "data.mdb");
    walk.file = open(path, O_RDONLY | O_CLOEXEC);
    if (walk.file < 0 || fstat(walk.file, &status) != 0) {
        error = error_from_errno(errno);
        if (error != ERROR_NOT_FOUND)
            buffer_append_format(problem, "%s cannot be read (%s)", path, strerror(errno));
    } else if (!S_ISREG(status.st_mode)) {
        buffer_append_format(problem, "%s is no file", path);
        error = ERROR_DAMAGED;
    } else if (status.st_size == 0) {
        error = ERROR_NOT_FOUND; /* a first start that was cut short */
    } else if (walk.file_bytes = (uint64_t)status.st_size, is_unborn(&walk)) {
        error = ERROR_NOT_FOUND;
    } else {
        error = walk_all(&walk) ? ERROR_NONE : ERROR_DAMAGED;
    }
    if (walk.file >= 0)
        close(walk.file);
    if (checked)
        *checked = walk.checked;
    return error;
}

enum error store_check(const char *folder, store_check_visit visit, void *context,
                       struct store_checked *checked, struct buffer *problem)
{
    return look_at_file(folder, false, visit, context, checked, problem);
}

enum error store_check_rest(const char *folder, store_check_visit visit, void *context,
                            struct store_checked *checked, struct buffer *problem)
{
    return look_at_file(folder, true, visit, context, checked, problem);
}

enum error store_check_clear(const char *folder, struct buffer *problem)
{
    char path[STORE_PATH_BYTES];

    store_path(path, folder, "data.mdb");
    if (unlink(path) == 0 || errno == ENOENT)
        return ERROR_NONE;
    buffer_append_format(problem, "%s cannot be removed (%s)", path, strerror(errno));
    return error_from_errno(errno);
}
