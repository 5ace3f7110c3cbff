"""A snapshot of the machine: all that a plan may know of it."""

from __future__ import annotations

import os

from .record import Record

HOOKS = "/etc/mlo/boot.d"
HCAS = "/sys/class/infiniband"
VERBS = "/dev/infiniband"  # what a pod that was given RDMA has
IPV4 = "0000:0000:0000:0000:0000:ffff:"
MAX_SECRET = (128 << 10) - 512  # bytes: the kernel's bound on one variable is 128 KiB, with its name


class Identity(Record):
    """Who acts: a uid, the primary gid, and the supplementary gids."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


class RdmaPort(Record):
    """A port of an RDMA device (HCA): its link layer, and the index of its RoCE v2 address for IPv4, if it has one."""

    device: str
    number: int
    active: bool
    link: str
    gid_index: int | None


class Host(Record):
    """The container as it was at the start of the boot."""

    passwd: str
    group: str
    gitconfig: str  # /etc/gitconfig
    zshrc: bytes  # the image's, for a home that has none
    mounts: tuple[str, ...]  # mount points
    groups: tuple[int, ...]  # supplementary gids that the runtime gave
    hooks: tuple[str, ...]  # executables of a derived image, in order
    rdma: tuple[RdmaPort, ...] = ()  # of the devices that the pod was given

    def mount_of(self, path: str) -> str:
        """The mount point on which `path` lies."""
        return max((m for m in self.mounts if m == "/" or path == m or path.startswith(m + "/")), key=len, default="/")


def read(groups: tuple[int, ...]) -> Host:
    """Look at this machine. `groups` are the supplementary gids of the container."""
    mounts = (line.split(" ")[4] for line in _text("/proc/self/mountinfo").splitlines())
    return Host(
        passwd=_text("/etc/passwd"),
        group=_text("/etc/group"),
        gitconfig=_text("/etc/gitconfig"),
        zshrc=os.fsencode(_text("/docker/.zshrc")),
        mounts=tuple(mount.replace("\\040", " ") for mount in mounts),
        groups=groups,
        hooks=tuple(path for path in _listed(HOOKS) if os.path.isfile(path) and os.access(path, os.X_OK)),
        rdma=read_rdma(HCAS) if os.path.isdir(VERBS) else (),
    )


def read_rdma(directory: str) -> tuple[RdmaPort, ...]:
    """The ports under a directory such as /sys/class/infiniband, which shows all devices of the node."""
    found = []
    for device in _listed(directory):
        for port in _listed(f"{device}/ports"):
            if not (number := os.path.basename(port)).isdecimal():
                continue
            found.append(
                RdmaPort(
                    device=os.path.basename(device),
                    number=int(number),
                    active=_text(f"{port}/state").startswith("4:"),
                    link=_text(f"{port}/link_layer").strip(),
                    gid_index=_roce_v2(port),
                )
            )
    return tuple(found)


def _roce_v2(port: str) -> int | None:
    """The lowest index whose address is an IPv4 one (::ffff:a.b.c.d) of RoCE v2."""
    indices = sorted(int(name) for name in map(os.path.basename, _listed(f"{port}/gids")) if name.isdecimal())
    for index in indices:
        if not _text(f"{port}/gids/{index}").startswith(IPV4):
            continue
        if _text(f"{port}/gid_attrs/types/{index}").strip() == "RoCE v2":  # of an unused index this cannot be read
            return index
    return None


def read_secrets(directory: str) -> tuple[dict[str, str], list[str]]:
    """The secrets that came as files, one a key, and what was left out.

    A Secret volume also holds `..data` and directories of its own: what is no variable's name is no secret of ours.
    """
    secrets, problems = {}, []
    for path in _listed(directory):
        name = os.path.basename(path)
        if not is_variable(name) or not os.path.isfile(path):
            continue
        try:
            with open(path, "rb") as file:
                content = file.read(MAX_SECRET + 1)
        except OSError as error:
            problems.append(f"the secret {path} cannot be read: {error.strerror}")
            continue
        if b"\0" in content or len(content) > MAX_SECRET:
            problems.append(f"the secret {path} holds a NUL byte or over {MAX_SECRET} bytes: no variable can")
        else:
            secrets[name] = os.fsdecode(content)
    return secrets, problems


def is_variable(name: str) -> bool:
    """Whether a shell can hold a variable of that name."""
    return name.isascii() and name.isidentifier()


def _text(path: str) -> str:
    """A file's text; empty where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return os.fsdecode(file.read())
    except OSError:
        return ""


def _listed(directory: str) -> list[str]:
    try:
        return [os.path.join(directory, name) for name in sorted(os.listdir(directory))]
    except OSError:
        return []
