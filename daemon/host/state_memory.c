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

int state_memory_new(size_t size)
{
    if (size > STATE_MEMORY_MAX)
        return -EFBIG;
    int secret = new_secret(size);
    if (secret >= 0)
        return secret;
    _cleanup_fd_ int fd = memfd_create("bearerd-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, (off_t) size) < 0)
        return -errno;
    (void) fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    return TAKE_FD(fd);
}

/* Memory of memfd_secret(2) is always locked; the kernel refuses to do it again (ENOMEM). */
static bool is_secret_memory(int fd)
{
    struct statfs st;

    return fstatfs(fd, &st) == 0 && st.f_type == SECRETMEM_MAGIC;
}

int state_memory_map(int fd, struct log *log, char **ret, size_t *ret_size)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (st.st_size <= 0 || (uintmax_t) st.st_size > STATE_MEMORY_MAX)
        return -EBADMSG;
    size_t size = (size_t) st.st_size;
    void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED)
        return -errno;
    /* Page by page, as they come into use: most of a large region is free. */
    if (!is_secret_memory(fd) && mlock2(bytes, size, MLOCK_ONFAULT) < 0)
        log_warning(log,
                    "%zu bytes that hold the state for a restart could not be locked and might be swapped "
                    "out: raise LimitMEMLOCK= of the unit, or set MemorySwapMax=0",
                    size);
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
