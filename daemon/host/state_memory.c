/* SPDX-License-Identifier: MIT */
#include "host/state_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

/* -errno where this kernel has none, or the limit of locked memory is in the way. */
static int new_secret(size_t size)
{
#ifdef SYS_memfd_secret
    _cleanup_fd_ int fd = (int) syscall(SYS_memfd_secret, O_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t) size) < 0)
        return -errno;
    /* Locked by its nature: the limit for that shows with the first mapping. */
    void *probe = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (probe == MAP_FAILED)
        return -errno;
    (void) munmap(probe, size);
    return TAKE_FD(fd);
#else
    (void) size;
    return -ENOSYS;
#endif
}

/* Since Linux 6.3 the kernel wants to be told, and may insist (vm.memfd_noexec); before it knows no such
 * flag.
 */
static int new_memfd(void)
{
    int fd = memfd_create("bearerd-state", MFD_CLOEXEC | MFD_NOEXEC_SEAL);

    if (fd < 0 && errno == EINVAL)
        fd = memfd_create("bearerd-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fd < 0 ? -errno : fd;
}

/* All of it now: what could not be had later would be a SIGBUS then. */
static int new_shared(size_t size)
{
    _cleanup_fd_ int fd = new_memfd();
    if (fd < 0)
        return fd;
    if (fallocate(fd, 0, 0, (off_t) size) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return -errno;
    return TAKE_FD(fd);
}

int state_memory_new(size_t size)
{
    if (size > STATE_MEMORY_MAX)
        return -EFBIG;
    int secret = new_secret(size);
    return secret >= 0 ? secret : new_shared(size);
}

/* Memory of memfd_secret(2) is always locked; the kernel refuses to do it again (ENOMEM). */
static bool is_secret_memory(int fd)
{
    struct statfs st;

    return fstatfs(fd, &st) == 0 && st.f_type == SECRETMEM_MAGIC;
}

/* Nobody can take away of it what is mapped. No file on a disk is like that. */
static bool has_its_size_for_good(int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);

    return seals >= 0 && (seals & F_SEAL_SHRINK);
}

int state_memory_map(int fd, char **ret, size_t *ret_size, bool *ret_is_locked)
{
    bool is_secret = is_secret_memory(fd);
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (st.st_size <= 0 || (uintmax_t) st.st_size > STATE_MEMORY_MAX ||
        (!is_secret && !has_its_size_for_good(fd)))
        return -EBADMSG;
    size_t size = (size_t) st.st_size;
    void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED)
        return -errno;
    *ret_is_locked = is_secret || mlock(bytes, size) == 0;
    (void) madvise(bytes, size, MADV_DONTDUMP);
    /* A child would share it, and not get a copy that could be wiped. */
    (void) madvise(bytes, size, MADV_DONTFORK);
    *ret = bytes;
    *ret_size = size;
    return 0;
}

void state_memory_unmap(char *bytes, size_t size)
{
    if (bytes)
        (void) munmap(bytes, size);
}
