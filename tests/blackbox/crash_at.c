/* Counts what a process writes, and kills the process at a chosen one, as a crash would: a test's LD_PRELOAD, nothing of the daemons.
 *
 * The file that CRASH_AT names is shared memory (struct plan): the test says there which event is the last, and whether the process
 * dies before it, in the middle of it (half of its sectors are written, each whole, as disks do) or right after it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define SECTOR_BYTES 512

enum kind { FILES = 1, SOCKETS = 2 };
enum manner { BEFORE, TORN, AFTER };

/* As crash_point.py packs it. */
struct plan {
    _Atomic uint64_t count; /* events since the test set it to 0 */
    uint64_t last;          /* the event to die at; 0: none */
    uint32_t manner;
    uint32_t kinds; /* that count */
    char what[240]; /* the event, once it has come to that */
};

static struct plan *plan;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("CRASH_AT");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *shared = file < 0 ? MAP_FAILED
                            : mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (shared != MAP_FAILED)
        plan = shared;
    if (file >= 0)
        close(file);
}

/* What is less than a sector is written whole or not at all: so it is with LMDB's head. */
static size_t half_of(size_t length)
{
    return length / 2 / SECTOR_BYTES * SECTOR_BYTES;
}

static _Noreturn void die(void)
{
    for (;;)
        kill(getpid(), SIGKILL);
}

/* Whether this event is the last, and how; AFTER + 1: it is not. The caller dies after its part. */
static enum manner counted(const char *name, const char *path, int file)
{
    static const enum manner not_the_last = AFTER + 1;
    char target[200] = "", link[64];
    if (!plan || atomic_fetch_add(&plan->count, 1) + 1 != plan->last || !plan->last)
        return not_the_last;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    if (!path && readlink(link, target, sizeof target - 1) > 0)
        path = target;
    snprintf(plan->what, sizeof plan->what, "%s %s", name, path ? path : "");
    if (plan->manner == BEFORE)
        die();
    return (enum manner)plan->manner;
}

/* Standard output and error are logs: what they hold is of no account. */
static int counts(int file)
{
    struct stat status;
    if (!plan || file <= 2 || fstat(file, &status) != 0)
        return 0;
    return (S_ISREG(status.st_mode) && plan->kinds & FILES) ||
           (S_ISSOCK(status.st_mode) && plan->kinds & SOCKETS);
}

#define AT(name, file, whole, half)                                                                \
    do {                                                                                           \
        if (counts(file)) {                                                                        \
            enum manner manner = counted(name, NULL, file);                                        \
            if (manner == TORN) {                                                                  \
                (void)(half);                                                                      \
                die();                                                                             \
            }                                                                                      \
            if (manner == AFTER) {                                                                 \
                (void)(whole);                                                                     \
                die();                                                                             \
            }                                                                                      \
        }                                                                                          \
        return whole;                                                                              \
    } while (0)

ssize_t write(int file, const void *data, size_t length)
{
    AT("write", file, syscall(SYS_write, file, data, length),
       syscall(SYS_write, file, data, half_of(length)));
}

ssize_t pwrite(int file, const void *data, size_t length, off_t offset)
{
    AT("pwrite", file, syscall(SYS_pwrite64, file, data, length, offset),
       syscall(SYS_pwrite64, file, data, half_of(length), offset));
}

ssize_t pwrite64(int file, const void *data, size_t length, off_t offset)
{
    return pwrite(file, data, length, offset);
}

/* Torn: half of the pieces, and half of the one that follows. */
static int write_half(int file, const struct iovec *pieces, int count)
{
    if (count > 1)
        syscall(SYS_writev, file, pieces, count / 2);
    return (int)syscall(SYS_write, file, pieces[count / 2].iov_base,
                        half_of(pieces[count / 2].iov_len));
}

ssize_t writev(int file, const struct iovec *pieces, int count)
{
    AT("writev", file, syscall(SYS_writev, file, pieces, count), write_half(file, pieces, count));
}

ssize_t sendto(int file, const void *data, size_t length, int flags, const struct sockaddr *to,
               socklen_t to_length)
{
    AT("send", file, syscall(SYS_sendto, file, data, length, flags, to, to_length),
       syscall(SYS_sendto, file, data, length / 2, flags, to, to_length));
}

ssize_t send(int file, const void *data, size_t length, int flags)
{
    return sendto(file, data, length, flags, NULL, 0);
}

ssize_t sendmsg(int file, const struct msghdr *message, int flags)
{
    AT("sendmsg", file, syscall(SYS_sendmsg, file, message, flags), 0);
}

int fsync(int file)
{
    AT("fsync", file, (int)syscall(SYS_fsync, file), 0);
}

int fdatasync(int file)
{
    AT("fdatasync", file, (int)syscall(SYS_fdatasync, file), 0);
}

int ftruncate(int file, off_t length)
{
    AT("ftruncate", file, (int)syscall(SYS_ftruncate, file, length), 0);
}

int ftruncate64(int file, off_t length)
{
    return ftruncate(file, length);
}

int rename(const char *from, const char *to)
{
    enum manner manner = plan && plan->kinds & FILES ? counted("rename to", to, -1) : AFTER + 1;
    int result = manner == TORN ? 0 : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    if (manner <= AFTER)
        die();
    return result;
}

int unlink(const char *path)
{
    enum manner manner = plan && plan->kinds & FILES ? counted("unlink", path, -1) : AFTER + 1;
    int result = manner == TORN ? 0 : (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (manner <= AFTER)
        die();
    return result;
}
