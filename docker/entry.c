/* mlo-entry, the image's ENTRYPOINT: a static, setuid-root helper that starts the boot as PID 1.
 *
 * A pod may start as a bare UID that /etc/passwd lacks; sudo refuses such a caller, so only a setuid program can make the
 * account. This one acts as root for nobody but PID 1 of its PID namespace, which the runtime starts and which lives as
 * long as the pod; for everybody else it gives the privilege up before anything else.
 *
 * The environment of a pod is its user's and may be hostile (LD_PRELOAD, OPENSSL_CONF, PYTHONPATH ...): it is handed over
 * in a memfd, while python starts as root with an empty one. It comes from /proc, since the C library of a setuid program
 * has removed LD_PRELOAD and its like from environ. All three uids and gids are set: with ruid != euid the loader is in
 * secure mode, in which a python with an $ORIGIN rpath does not start. The soft limit on the size of files is the command's.
 *
 * argv of what follows: UID GID LIMIT FD CMD... (as the runtime gave them; LIMIT is -1 for none; FD has the environment).
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define BOOT "/opt/mlo/lib/boot.pyc" /* mlo_entry, by docker/bundle.py; it calls mlo_entry.__main__.start */

static int fail(const char *what) {
    dprintf(2, "[mlo] ERROR: mlo-entry cannot start the boot: %s: %m\n", what);
    return 71;
}

int main(int argc, char **argv) {
    uid_t uid = getuid(), new_uid = getpid() == 1 && geteuid() == 0 ? 0 : uid;
    gid_t gid = getgid(), new_gid = new_uid == uid ? gid : 0;
    int given = open("/proc/self/environ", O_RDONLY | O_CLOEXEC), kept; /* of a setuid program it is root's to open */
    if (setresgid(new_gid, new_gid, new_gid) || setresuid(new_uid, new_uid, new_uid))
        return fail("setresuid");

    sigset_t every; /* held until python handles them: PID 1 would ignore a stop */
    struct rlimit size;
    sigprocmask(SIG_BLOCK, (sigfillset(&every), &every), NULL);
    getrlimit(RLIMIT_FSIZE, &size);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){size.rlim_max, size.rlim_max});

    char buffer[65536], numbers[4][24], *boot[argc + 8];
    ssize_t got = (kept = memfd_create("environ", 0));
    while (got >= 0 && (got = read(given, buffer, sizeof buffer)) > 0)
        got = write(kept, buffer, (size_t)got) == got ? got : -1;
    if (got < 0)
        return fail("environment");
    snprintf(numbers[0], sizeof *numbers, "%u", uid);
    snprintf(numbers[1], sizeof *numbers, "%u", gid);
    snprintf(numbers[2], sizeof *numbers, "%lld", size.rlim_cur == size.rlim_max ? -1 : (long long)size.rlim_cur);
    snprintf(numbers[3], sizeof *numbers, "%d", kept);
    char *head[] = {"/opt/mlo/bin/python", "-ISB", BOOT, numbers[0], numbers[1], numbers[2], numbers[3]};
    memcpy(boot, head, sizeof head);
    memcpy(boot + 7, argv + 1, (size_t)argc * sizeof *argv); /* CMD, and NULL: Linux starts nothing without an argv[0] */
    execve(boot[0], boot, (char *[]){NULL});
    return fail(boot[0]);
}
