/* bootns OPTIONS -- PROGRAM ARGUMENT...: what a container engine does, and no more, for one boot (--root) or one exec (--join).
 *
 * --root starts PROGRAM as PID 1 of new PID, mount, UTS and IPC namespaces, on the given root directory, with a /proc,
 * /dev, /sys of its own. --join runs it in the namespaces of a process, as `docker exec` does. The program gets the
 * capabilities that Docker gives by default: all of them as root, only the bounding set as another user.
 *
 * Statically linked, since the environment is the test's and may be hostile; its bytes come from --env-fd, NUL after each
 * variable. --socket gets a packet "PID" and, with --tty, a packet "t" with the terminal's master. The exit code is the
 * program's, and 128+n when signal n ended it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define MUST(call) \
    do { if ((call) < 0) { dprintf(2, "bootns: line %d: %s: %m\n", __LINE__, #call); _exit(125); } } while (0)

static const int CAPABILITIES[] = {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FSETID, CAP_FOWNER, CAP_MKNOD, CAP_NET_RAW, CAP_SETGID,
                                   CAP_SETUID, CAP_SETFCAP, CAP_SETPCAP, CAP_NET_BIND_SERVICE, CAP_SYS_CHROOT, CAP_KILL,
                                   CAP_AUDIT_WRITE};

enum { ROOT, JOIN, BIND, RO_BIND, TMPFS, READ_ONLY, ENV_FD, SOCKET, TTY, UID, GID, GROUP, LIMIT, CGROUP, NO_NEW_PRIVS, CWD };
static const struct option options[] = {
    {"root", 1, 0, ROOT}, {"join", 1, 0, JOIN}, {"bind", 1, 0, BIND}, {"ro-bind", 1, 0, RO_BIND}, {"tmpfs", 1, 0, TMPFS},
    {"read-only", 0, 0, READ_ONLY}, {"env-fd", 1, 0, ENV_FD}, {"socket", 1, 0, SOCKET}, {"tty", 0, 0, TTY},
    {"uid", 1, 0, UID}, {"gid", 1, 0, GID}, {"group", 1, 0, GROUP}, {"limit", 1, 0, LIMIT}, {"cgroup", 1, 0, CGROUP},
    {"no-new-privs", 0, 0, NO_NEW_PRIVS}, {"cwd", 1, 0, CWD}, {0}};

static struct { int kind; char *from, *to; } mounts[32];
static struct { int resource; struct rlimit limit; } limits[8];
static gid_t groups[64];
static size_t mount_count, limit_count, group_count;
static const char *root, *cgroup, *cwd = "/";
static char *environment[20000];
static int join, environment_fd = -1, report = -1;
static bool read_only, tty, no_new_privs;
static uid_t uid;
static gid_t gid;

static void parse(int argc, char **argv) {
    unsigned long soft, hard;
    for (int kind; (kind = getopt_long(argc, argv, "+", options, NULL)) >= 0;)
        switch (kind) {
        case ROOT: root = optarg; break;
        case JOIN: join = atoi(optarg); break;
        case TMPFS: case BIND: case RO_BIND:
            mounts[mount_count].kind = kind;
            mounts[mount_count].from = strsep(&optarg, "=");
            mounts[mount_count++].to = optarg;
            break;
        case READ_ONLY: read_only = true; break;
        case ENV_FD: environment_fd = atoi(optarg); break;
        case SOCKET: report = atoi(optarg); break;
        case TTY: tty = true; break;
        case UID: uid = (uid_t)strtoul(optarg, NULL, 10); break;
        case GID: gid = (gid_t)strtoul(optarg, NULL, 10); break;
        case GROUP: groups[group_count++] = (gid_t)strtoul(optarg, NULL, 10); break;
        case LIMIT:
            if (sscanf(optarg, "%d=%lu:%lu", &limits[limit_count].resource, &soft, &hard) != 3)
                exit(125);
            limits[limit_count++].limit = (struct rlimit){soft, hard};
            break;
        case CGROUP: cgroup = optarg; break;
        case NO_NEW_PRIVS: no_new_privs = true; break;
        case CWD: cwd = optarg; break;
        default: exit(125);
        }
}

static void read_environment(void) {
    struct stat st;
    MUST(fstat(environment_fd, &st));
    char *bytes = calloc(1, (size_t)st.st_size + 1), *end = bytes + st.st_size;
    MUST(pread(environment_fd, bytes, (size_t)st.st_size, 0));
    for (size_t i = 0; bytes < end && i < sizeof environment / sizeof *environment - 1; bytes += strlen(bytes) + 1)
        environment[i++] = bytes;
}

static void make_dev(void) {
    static const struct { const char *name; unsigned major, minor; } nodes[] = {
        {"dev/null", 1, 3}, {"dev/zero", 1, 5}, {"dev/full", 1, 7}, {"dev/random", 1, 8}, {"dev/urandom", 1, 9}, {"dev/tty", 5, 0}};
    MUST(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=64m"));
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
        MUST(mknod(nodes[i].name, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)));
    MUST(mkdir("dev/pts", 0755));
    MUST(mkdir("dev/shm", 01777));
    MUST(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"));
    MUST(mount("shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=64m"));
    MUST(symlink("pts/ptmx", "dev/ptmx"));
    MUST(symlink("/proc/self/fd", "dev/fd"));
    MUST(symlink("/proc/self/fd/0", "dev/stdin"));
    MUST(symlink("/proc/self/fd/1", "dev/stdout"));
    MUST(symlink("/proc/self/fd/2", "dev/stderr"));
}

/* The mount point is made where it is missing, on the root's upper layer, as an engine does. */
static void mount_extra(int kind, const char *from, const char *to) {
    struct stat st;
    if (kind == TMPFS) {
        mkdir(from + 1, 0755);
        MUST(mount("tmpfs", from + 1, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755"));
        return;
    }
    if (to == NULL)
        to = from;
    MUST(stat(from, &st));
    if (S_ISDIR(st.st_mode))
        mkdir(to + 1, 0755);
    else
        close(open(to + 1, O_CREAT | O_CLOEXEC | O_WRONLY, 0644));
    MUST(mount(from, to + 1, NULL, MS_BIND | MS_REC, NULL));
    if (kind == RO_BIND)
        MUST(mount(NULL, to + 1, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL));
}

static void enter_root(void) {
    umask(0);
    MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
    MUST(mount(root, root, NULL, MS_BIND, NULL)); /* not recursive: a boot sees no other's mounts */
    MUST(chdir(root));
    MUST(mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
    make_dev();
    MUST(mount("/sys", "sys", NULL, MS_BIND | MS_REC, NULL));
    for (size_t i = 0; i < mount_count; i++)
        mount_extra(mounts[i].kind, mounts[i].from, mounts[i].to);
    if (read_only)
        MUST(mount(NULL, ".", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL));
    MUST(syscall(SYS_pivot_root, ".", "."));
    MUST(umount2(".", MNT_DETACH));
    MUST(sethostname("pod", 3));
}

/* A terminal of the pod's own devpts, so that ttyname works there; the master goes out to the test. */
static void open_terminal(void) {
    char name[32];
    int number, unlocked = 0, master = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    MUST(master);
    MUST(ioctl(master, TIOCSPTLCK, &unlocked));
    MUST(ioctl(master, TIOCGPTN, &number));
    snprintf(name, sizeof name, "/dev/pts/%d", number);
    int slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    MUST(slave);
    MUST(fchown(slave, uid, (gid_t)-1));
    MUST(ioctl(slave, TIOCSCTTY, 0));
    for (int fd = 0; fd < 3; fd++)
        MUST(dup2(slave, fd));
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec data = {"t", 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET, header->cmsg_type = SCM_RIGHTS, header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &master, sizeof master);
    MUST(sendmsg(report, &message, 0));
}

static void drop_privileges(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {0};
    for (size_t i = 0; i < sizeof CAPABILITIES / sizeof *CAPABILITIES; i++)
        data[CAPABILITIES[i] / 32].permitted |= 1U << CAPABILITIES[i] % 32;
    data[0].effective = data[0].permitted, data[1].effective = data[1].permitted;
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
        if (!(data[capability / 32].permitted & 1U << capability % 32))
            MUST(prctl(PR_CAPBSET_DROP, capability, 0, 0, 0));
    MUST(setgroups(group_count, groups));
    MUST(setresgid(gid, gid, gid));
    MUST(setresuid(uid, uid, uid));
    if (uid == 0)
        MUST(syscall(SYS_capset, &header, data));
    if (no_new_privs)
        MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

static void run(char **program) {
    sigset_t none;
    if (root)
        enter_root();
    MUST(setsid());
    if (tty)
        open_terminal();
    for (size_t i = 0; i < limit_count; i++)
        MUST(setrlimit((__rlimit_resource_t)limits[i].resource, &limits[i].limit));
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL); /* Python ignores it, and so would its children */
    umask(0022);
    MUST(chdir(cwd));
    drop_privileges();
    close(report);
    close(environment_fd);
    execve(program[0], program, environment);
    dprintf(2, "bootns: %s: %m\n", program[0]);
    _exit(errno == ENOENT ? 127 : 126);
}

int main(int argc, char **argv) {
    char text[4096];
    int status;
    parse(argc, argv);
    read_environment();
    if (cgroup) {
        snprintf(text, sizeof text, "%s/cgroup.procs", cgroup);
        int fd = open(text, O_WRONLY | O_CLOEXEC);
        MUST(write(fd, "0", 1));
        close(fd);
    }
    if (join) {
        int fd = (int)syscall(SYS_pidfd_open, join, 0);
        MUST(setns(fd, CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC));
        close(fd);
    } else
        MUST(unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC));
    pid_t child = fork();
    MUST(child);
    if (child == 0)
        run(argv + optind);
    snprintf(text, sizeof text, "%d", child);
    MUST(send(report, text, strlen(text), 0));
    close(report);
    for (int fd = 0; fd < 3; fd++)
        close(fd); /* the pipes of the pod end with the pod */
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
