/* scratchfs BACKING MOUNTPOINT CONTROL TIMEOUT: a directory as a root-squashed NFS export would show it.
 *
 * Every operation runs under the fsuid, fsgid and supplementary groups (the first 16, as AUTH_SYS has them) of its caller,
 * with 0 mapped to 65534, so the kernel itself decides as an NFS server's does: root is nobody here, an owner gives no
 * file away, chmod clears setgid. There is no rename without replacement, flock for writing wants a writable descriptor,
 * an open file that is removed stays as a hidden one (libfuse's own doing), extended attributes are not supported.
 *
 * CONTROL is a Unix socket; each connection sends one command and reads the answer up to its end:
 *   counts                            "NAME COUNT CHANGES" a line, for every kind of operation
 *   reset                             counters to 0
 *   delay MS [KIND]                   every operation (of a kind) takes that much longer: a round trip. To find that a name is
 *                                     not there takes none
 *   fail KIND|any ERRNO N [PREFIX]    the next N operations of the kind (0: all) under PREFIX fail; ERRNO is a number
 *   hold N                            N more operations that change something, then every one waits, for a test to kill its caller
 *   clear                             no delays, no failures, nothing held
 *
 * TIMEOUT is how long the kernel may answer from its cache, in seconds. With more than 0 it shows cached attributes to
 * callers who may not look there: tests of permissions use 0.
 */
#define _GNU_SOURCE
#define FUSE_USE_VERSION 31
#include "scratchctl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NOBODY = 65534, GROUPS = 16 };

static const char *backing, *control_path;
static double timeout;

/* libfuse asks for the attributes of what it has just made or changed, within one request of the kernel: no round trip. */
static _Thread_local bool answered;

static int relative_errno(int result) { return result < 0 ? -errno : result; }
static int changed(int result) { return (answered = result >= 0) ? 0 : -errno; }
static const char *in(const char *path) { return path[1] ? path + 1 : "."; }
static unsigned squash(unsigned id) { return id ? id : NOBODY; }

static void become(unsigned uid, unsigned gid, size_t count, const gid_t *groups) {
    /* Raw calls, for one thread. Leaving fsuid 0 takes the file-system capabilities away, CAP_CHOWN and CAP_FOWNER too. */
    if (syscall(SYS_setgroups, count, groups))
        abort();
    setfsgid(gid);
    setfsuid(uid);
    if ((uid_t)setfsuid((uid_t)-1) != uid || (gid_t)setfsgid((gid_t)-1) != gid)
        abort();
}

/* What every operation begins with: it is counted, takes its time, may be held or fail, and goes on as its caller. */
static int enter(enum kind kind, const char *path) {
    struct fuse_context *caller = fuse_get_context();
    gid_t groups[GROUPS];
    counts[kind]++;
    if (kind != K_getattr)
        travel(kind);
    while (kinds[kind].changes && !may_pass()) {
        if (fuse_interrupted())
            return -EINTR;
        usleep(500);
    }
    int count = caller->pid ? fuse_getgroups(GROUPS, groups) : 0;
    count = count < 0 ? 0 : count > GROUPS ? GROUPS : count;
    for (int i = 0; i < count; i++)
        groups[i] = squash(groups[i]);
    become(squash(caller->uid), squash(caller->gid), (size_t)count, groups);
    return injected(kind, path);
}
#define ENTER(kind, path) \
    do { int error = enter(K_##kind, path); if (error) return error; } while (0)

static int fs_getattr(const char *path, struct stat *st, struct fuse_file_info *fi) {
    bool asked = !answered;
    answered = false;
    if (asked)
        ENTER(getattr, path);
    int result = relative_errno(fi ? fstat((int)fi->fh, st) : lstat(in(path), st));
    if (asked && result != -ENOENT) /* before it creates a name, FUSE looks for it, and an NFS client does not */
        travel(K_getattr);
    return result;
}

static int fs_readlink(const char *path, char *target, size_t size) {
    ENTER(readlink, path);
    ssize_t length = readlink(in(path), target, size - 1);
    if (length < 0)
        return -errno;
    target[length] = 0;
    return 0;
}

static int fs_access(const char *path, int mask) {
    ENTER(access, path);
    return relative_errno((int)syscall(SYS_faccessat2, AT_FDCWD, in(path), mask, AT_EACCESS)); /* by the fsuid */
}

static int fs_statfs(const char *path, struct statvfs *st) {
    ENTER(statfs, path);
    return relative_errno(statvfs(in(path), st));
}

static int fs_open(const char *path, struct fuse_file_info *fi) {
    ENTER(open, path);
    int fd = open(in(path), fi->flags | O_NOFOLLOW | O_CLOEXEC);
    fi->fh = (uint64_t)fd;
    return fd < 0 ? -errno : 0;
}

static int fs_create(const char *path, mode_t mode, struct fuse_file_info *fi) {
    ENTER(create, path);
    int fd = open(in(path), fi->flags | O_CREAT | O_NOFOLLOW | O_CLOEXEC, mode);
    fi->fh = (uint64_t)fd;
    return changed(fd);
}

static int fs_read(const char *path, char *data, size_t size, off_t offset, struct fuse_file_info *fi) {
    ENTER(read, path);
    return relative_errno((int)pread((int)fi->fh, data, size, offset));
}

static int fs_write(const char *path, const char *data, size_t size, off_t offset, struct fuse_file_info *fi) {
    ENTER(write, path);
    return relative_errno((int)pwrite((int)fi->fh, data, size, offset));
}

static int fs_flush(const char *path, struct fuse_file_info *fi) {
    (void)fi;
    ENTER(flush, path); /* no close of a duplicate here: it would drop POSIX locks of the backing file, which nobody takes */
    return 0;
}

static int fs_fsync(const char *path, int datasync, struct fuse_file_info *fi) {
    (void)datasync;
    ENTER(fsync, path);
    return relative_errno(fsync((int)fi->fh));
}

static int fs_release(const char *path, struct fuse_file_info *fi) {
    (void)path;
    return close((int)fi->fh); /* the kernel waits for no answer */
}

static int fs_flock(const char *path, struct fuse_file_info *fi, int operation) {
    ENTER(flock, path);
    if (operation & LOCK_EX && (fcntl((int)fi->fh, F_GETFL) & O_ACCMODE) == O_RDONLY)
        return -EBADF; /* NFS does it with a POSIX write lock */
    while (flock((int)fi->fh, operation | LOCK_NB)) {
        if (errno != EWOULDBLOCK || operation & LOCK_NB)
            return -errno;
        if (fuse_interrupted())
            return -EINTR;
        usleep(1000);
    }
    return 0;
}

static int fs_opendir(const char *path, struct fuse_file_info *fi) {
    ENTER(opendir, path);
    DIR *directory = opendir(in(path));
    fi->fh = (uint64_t)(uintptr_t)directory;
    return directory ? 0 : -errno;
}

static int fs_readdir(const char *path, void *data, fuse_fill_dir_t fill, off_t offset, struct fuse_file_info *fi,
                      enum fuse_readdir_flags flags) {
    DIR *directory = (DIR *)(uintptr_t)fi->fh;
    (void)offset, (void)flags;
    ENTER(readdir, path);
    rewinddir(directory);
    for (struct dirent *entry; (entry = readdir(directory));) {
        struct stat st = {.st_ino = entry->d_ino, .st_mode = (mode_t)DTTOIF(entry->d_type)};
        if (fill(data, entry->d_name, &st, 0, 0))
            return -ENOMEM;
    }
    return 0;
}

static int fs_releasedir(const char *path, struct fuse_file_info *fi) {
    (void)path;
    return closedir((DIR *)(uintptr_t)fi->fh);
}

static int fs_mknod(const char *path, mode_t mode, dev_t device) {
    ENTER(mknod, path);
    return changed(mknod(in(path), mode, device));
}

static int fs_mkdir(const char *path, mode_t mode) {
    ENTER(mkdir, path);
    return changed(mkdir(in(path), mode));
}

static int fs_unlink(const char *path) {
    ENTER(unlink, path);
    if (!strncmp(strrchr(path, '/'), "/.fuse_hidden", 13))
        become(0, 0, 0, NULL); /* libfuse removes what it hid, for the last close, which names no caller */
    return relative_errno(unlink(in(path)));
}

static int fs_rmdir(const char *path) {
    ENTER(rmdir, path);
    return relative_errno(rmdir(in(path)));
}

static int fs_symlink(const char *target, const char *path) {
    ENTER(symlink, path);
    return changed(symlink(target, in(path)));
}

static int fs_rename(const char *from, const char *to, unsigned flags) {
    ENTER(rename, from);
    return flags ? -EINVAL : relative_errno(rename(in(from), in(to)));
}

static int fs_link(const char *from, const char *to) {
    ENTER(link, to);
    return changed(link(in(from), in(to)));
}

static int fs_chmod(const char *path, mode_t mode, struct fuse_file_info *fi) {
    ENTER(chmod, path);
    return changed(fi ? fchmod((int)fi->fh, mode) : chmod(in(path), mode));
}

static int fs_chown(const char *path, uid_t uid, gid_t gid, struct fuse_file_info *fi) {
    ENTER(chown, path);
    return changed(fi ? fchown((int)fi->fh, uid, gid) : lchown(in(path), uid, gid));
}

static int fs_truncate(const char *path, off_t size, struct fuse_file_info *fi) {
    ENTER(truncate, path);
    return changed(fi ? ftruncate((int)fi->fh, size) : truncate(in(path), size));
}

static int fs_utimens(const char *path, const struct timespec times[2], struct fuse_file_info *fi) {
    ENTER(utimens, path);
    return changed(fi ? futimens((int)fi->fh, times) : utimensat(AT_FDCWD, in(path), times, AT_SYMLINK_NOFOLLOW));
}

static void *fs_init(struct fuse_conn_info *connection, struct fuse_config *config) {
    pthread_t thread;
    (void)connection;
    config->use_ino = 1;
    config->entry_timeout = config->attr_timeout = timeout;
    if (chdir(backing)) /* here: libfuse has gone to / */
        perror(backing), exit(1);
    if (pthread_create(&thread, NULL, control, (void *)control_path)) /* here: the mount is done, and so "ready" says the truth */
        abort();
    return NULL;
}

#define OPERATION(name, changes) .name = fs_##name,
static const struct fuse_operations operations = {
    KINDS(OPERATION) .init = fs_init, .release = fs_release, .releasedir = fs_releasedir};

int main(int argc, char **argv) {
    if (argc != 5)
        return fputs("usage: scratchfs BACKING MOUNTPOINT CONTROL TIMEOUT\n", stderr), 64;
    backing = argv[1];
    control_path = argv[3];
    timeout = atof(argv[4]);
    umask(0); /* the kernel has applied the caller's */
    char *arguments[] = {argv[0], argv[2], "-f", "-o", "allow_other,fsname=scratch,max_idle_threads=64"
#if FUSE_VERSION >= 312
                         ",max_threads=256"
#endif
    };
    return fuse_main((int)(sizeof arguments / sizeof *arguments), arguments, &operations, NULL);
}
