/* mlo-entry, the image's ENTRYPOINT: a static, setuid-root helper that starts the boot as PID 1.
 *
 * A pod may start as a bare UID that /etc/passwd lacks; sudo refuses such a caller, so only a setuid program can make the
 * account. This one acts as root for nobody but PID 1 of its PID namespace, which the runtime starts and which lives as
 * long as the pod; for everybody else it gives the privilege up before anything else.
 *
 * The environment of a pod is its user's and may be hostile (LD_PRELOAD, OPENSSL_CONF, PYTHONPATH ...): it is handed over
 * as a memfd, while python starts as root with an empty one. All three uids and gids are set: with ruid != euid the loader
 * is in secure mode, in which a python with an $ORIGIN rpath does not start.
 *
 * argv of the program that follows: START UID GID FD CMD... (the ids and the environment as the runtime gave them).
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

extern char **environ;

static const char START[] = "import sys; sys.path.append('/opt/mlo/lib'); from mlo_entry.__main__ import start; start()";

static int fail(const char *what) {
    dprintf(2, "[mlo] ERROR: mlo-entry cannot start the boot: %s: %m\n", what);
    return 71;
}

int main(int argc, char **argv) {
    uid_t uid = getuid();
    gid_t gid = getgid();
    int root = getpid() == 1 && geteuid() == 0;
    if (setresgid(root ? 0 : gid, root ? 0 : gid, root ? 0 : gid) || setresuid(root ? 0 : uid, root ? 0 : uid, root ? 0 : uid))
        return fail("setresuid");

    int fd = memfd_create("environ", 0);
    if (fd < 0)
        return fail("memfd_create");
    for (char **variable = environ; *variable; variable++)
        for (size_t left = strlen(*variable) + 1; left;) {
            ssize_t written = write(fd, *variable + strlen(*variable) + 1 - left, left);
            if (written <= 0)
                return fail("write");
            left -= (size_t)written;
        }

    char numbers[3][12];
    snprintf(numbers[0], sizeof *numbers, "%u", uid);
    snprintf(numbers[1], sizeof *numbers, "%u", gid);
    snprintf(numbers[2], sizeof *numbers, "%d", fd);
    char *boot[argc + 8];
    char *head[] = {"/opt/mlo/bin/python", "-I", "-S", "-c", (char *)START, numbers[0], numbers[1], numbers[2]};
    memcpy(boot, head, sizeof head);
    memcpy(boot + 8, argv + 1, (size_t)argc * sizeof *argv); /* CMD and the closing NULL; argc is never 0 on Linux >= 5.18 */
    char *empty[] = {NULL};
    execve(boot[0], boot, empty);
    return fail(boot[0]);
}
