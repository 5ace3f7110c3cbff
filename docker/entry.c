/* mlo-entry, the image's ENTRYPOINT: a static, setuid-root helper that starts the boot as PID 1.
 *
 * A pod may start as a bare UID that /etc/passwd lacks; sudo refuses such a caller, so only a setuid program can make the
 * account. This one acts as root for nobody but PID 1 of its PID namespace, which the runtime starts and which lives as
 * long as the pod; for everybody else it gives the privilege up before anything else.
 *
 * The environment of a pod is its user's and may be hostile (LD_PRELOAD, OPENSSL_CONF, PYTHONPATH ...): it is handed over
 * in a memfd, while python starts as root with an empty one. It comes from /proc, since the C library of a setuid program
 * has removed LD_PRELOAD and its like from environ. All three uids and gids are set: with ruid != euid the loader is in
 * secure mode, in which a python with an $ORIGIN rpath does not start.
 *
 * argv of what follows: UID GID FD CMD... (the ids as the runtime gave them, the descriptor of the environment).
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char START[] = "import sys; sys.path.append('/opt/mlo/lib'); from mlo_entry.__main__ import start; start()";

static int fail(const char *what) {
    dprintf(2, "[mlo] ERROR: mlo-entry cannot start the boot: %s: %m\n", what);
    return 71;
}

int main(int argc, char **argv) {
    uid_t uid = getuid();
    gid_t gid = getgid();
    int root = getpid() == 1 && geteuid() == 0;
    int given = open("/proc/self/environ", O_RDONLY | O_CLOEXEC); /* of a setuid program it is root's to open */
    if (setresgid(root ? 0 : gid, root ? 0 : gid, root ? 0 : gid) || setresuid(root ? 0 : uid, root ? 0 : uid, root ? 0 : uid))
        return fail("setresuid");

    int kept = memfd_create("environ", 0);
    char buffer[65536];
    ssize_t got;
    while ((got = read(given, buffer, sizeof buffer)) > 0)
        if (write(kept, buffer, (size_t)got) != got)
            return fail("memfd");
    if (got)
        return fail("/proc/self/environ");

    char numbers[3][12];
    snprintf(numbers[0], sizeof *numbers, "%u", uid);
    snprintf(numbers[1], sizeof *numbers, "%u", gid);
    snprintf(numbers[2], sizeof *numbers, "%d", kept);
    char *boot[argc + 8];
    char *head[] = {"/opt/mlo/bin/python", "-IS", "-OO", "-c", (char *)START, numbers[0], numbers[1], numbers[2]};
    memcpy(boot, head, sizeof head);
    memcpy(boot + 8, argv + 1, (size_t)argc * sizeof *argv); /* CMD and the closing NULL: Linux starts nothing without argv[0] */
    char *empty[] = {NULL};
    execve(boot[0], boot, empty);
    return fail(boot[0]);
}
