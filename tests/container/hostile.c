/* A library that a pod's user might plant: whoever loads it adds a line "UID PROGRAM" to a file that a test made for it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

__attribute__((constructor)) static void loaded(void) {
    int fd = open("/tmp/hostile.log", O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd >= 0) {
        dprintf(fd, "%u %s\n", geteuid(), program_invocation_name);
        close(fd);
    }
}
