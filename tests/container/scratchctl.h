/* What a test asks of scratchfs through its control socket; scratchfs.c tells of the commands. */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>

/* Every kind of operation, and whether it changes what is stored. flush is what a close costs. */
#define KINDS(X) \
    X(getattr, 0) X(readlink, 0) X(access, 0) X(statfs, 0) X(open, 0) X(read, 0) X(flush, 0) X(opendir, 0) X(readdir, 0) \
    X(flock, 0) X(create, 1) X(write, 1) X(truncate, 1) X(fsync, 1) X(mknod, 1) X(mkdir, 1) X(unlink, 1) X(rmdir, 1) \
    X(symlink, 1) X(rename, 1) X(link, 1) X(chmod, 1) X(chown, 1) X(utimens, 1)
#define NUMBER(name, changes) K_##name,
enum kind { KINDS(NUMBER) KIND_COUNT };
extern const struct kind_row { const char *name; bool changes; } kinds[];

extern atomic_long counts[KIND_COUNT];

/* Take the time of a round trip. */
void travel(enum kind kind);

/* Whether an operation that changes something may go on: not while they are held. */
bool may_pass(void);

/* The error with which an operation is to fail, negated; 0 for none. */
int injected(enum kind kind, const char *path);

/* Listen on the socket at a path, and say "ready"; a thread's start. */
void *control(void *path);
