/* The control socket of scratchfs: counters, delays, failures, and holding on to callers. */
#define _GNU_SOURCE
#include "scratchctl.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { FAULTS = 16 };

#define ROW(name, changes) {#name, changes},
const struct kind_row kinds[] = {KINDS(ROW)};

static struct fault { int kind, error; long left; char prefix[256]; } faults[FAULTS]; /* error 0: a free place */
static pthread_mutex_t faults_lock = PTHREAD_MUTEX_INITIALIZER;
atomic_long counts[KIND_COUNT];
static atomic_long delays[KIND_COUNT], held = -1; /* microseconds; -1: nothing is held */

int injected(enum kind kind, const char *path) {
    int error = 0;
    pthread_mutex_lock(&faults_lock);
    for (struct fault *f = faults; f < faults + FAULTS && !error; f++)
        if (f->error && (f->kind == KIND_COUNT || f->kind == (int)kind) && path && !strncmp(path, f->prefix, strlen(f->prefix))) {
            error = f->error;
            if (f->left && !--f->left)
                f->error = 0;
        }
    pthread_mutex_unlock(&faults_lock);
    return -error;
}

void travel(enum kind kind) {
    if (delays[kind])
        usleep((useconds_t)delays[kind]);
}

bool may_pass(void) {
    long left = held;
    while (left > 0 && !atomic_compare_exchange_weak(&held, &left, left - 1))
        ;
    return left != 0;
}

static int kind_of(const char *name) {
    int kind = 0;
    while (kind < KIND_COUNT && strcmp(kinds[kind].name, name))
        kind++;
    return kind; /* KIND_COUNT: any */
}

static void obey(const char *command, FILE *answer) {
    char name[32] = "any", prefix[256] = "/";
    double milliseconds;
    long number;
    int error;
    if (!strcmp(command, "counts")) {
        for (int kind = 0; kind < KIND_COUNT; kind++)
            fprintf(answer, "%s %ld %d\n", kinds[kind].name, counts[kind], kinds[kind].changes);
    } else if (!strcmp(command, "reset")) {
        for (int kind = 0; kind < KIND_COUNT; kind++)
            counts[kind] = 0;
    } else if (sscanf(command, "delay %lf %31s", &milliseconds, name) >= 1) {
        for (int kind = 0; kind < KIND_COUNT; kind++)
            if (kind_of(name) == KIND_COUNT || kind_of(name) == kind)
                delays[kind] = (long)(milliseconds * 1000);
    } else if (sscanf(command, "fail %31s %d %ld %255s", name, &error, &number, prefix) >= 3) {
        pthread_mutex_lock(&faults_lock);
        for (struct fault *f = faults; f < faults + FAULTS; f++)
            if (!f->error) {
                *f = (struct fault){kind_of(name), error, number, ""};
                strcpy(f->prefix, prefix);
                break;
            }
        pthread_mutex_unlock(&faults_lock);
    } else if (sscanf(command, "hold %ld", &number) == 1) {
        held = number;
    } else if (!strcmp(command, "clear")) {
        pthread_mutex_lock(&faults_lock);
        memset(faults, 0, sizeof faults);
        pthread_mutex_unlock(&faults_lock);
        for (int kind = 0; kind < KIND_COUNT; kind++)
            delays[kind] = 0;
        held = -1;
    } else
        fprintf(answer, "unknown command: %s\n", command);
}

void *control(void *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strncpy(address.sun_path, (const char *)path, sizeof address.sun_path - 1);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 64))
        perror(path), exit(1);
    puts("ready");
    fflush(stdout);
    for (int peer; (peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0;) {
        char command[512] = "";
        ssize_t length = recv(peer, command, sizeof command - 1, 0); /* one command is one packet on a local socket */
        FILE *answer = fdopen(peer, "w");
        command[length > 0 ? strcspn(command, "\n") : 0] = 0;
        obey(command, answer);
        fclose(answer);
    }
    return NULL;
}
