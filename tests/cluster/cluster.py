#!/usr/bin/env python3
"""A single-node Kubernetes that ends with whoever asked for it.

    cluster.py IMAGE [COMMAND…]     runs COMMAND (default: a shell) with KUBECONFIG set and kubectl on PATH

Its daemons, kubelet and containerd among them, live in namespaces of their own (mounts, network, processes).

    caller       holds one end of a pipe: a test session, or the command above
      keeper     waits until the pipe closes, however the caller ended; then kills the node and cleans up
        node     boot.py, PID 1 of the namespaces: the kernel ends with it whatever runs inside
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
CLONE_NEWPID = 0x20000000


@contextmanager
def cluster(image: str) -> Iterator[Path]:
    """Yield a directory with member.kubeconfig, guest.kubeconfig and admin.kubeconfig."""
    programs = output(HERE / "build.sh")
    images = output(HERE / "unpack.sh", programs, image)
    keeper = subprocess.Popen(
        [sys.executable, "-I", __file__, "--keep", programs, images],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a Ctrl-C is for the caller, which still ends in order
    )
    with keeper:  # which at its end closes the pipe, and waits
        assert keeper.stdout
        if not (run := keeper.stdout.readline().strip()):
            raise RuntimeError("The test cluster did not start; the reason is above.")
        os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"
        yield Path(run)


def output(*argv: str | Path) -> str:
    return subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True).stdout.strip()


def keep(programs: str, images: str) -> None:
    """Start the node and wait until standard input closes, or the node ends; leave nothing behind."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    run = Path(tempfile.mkdtemp(prefix="mlo-cluster-"))
    cgroups = [hierarchy / run.name for hierarchy in cgroup_hierarchies()]
    node = None
    try:
        # The only way in: a socket of the host's network, at a port that is free, which the node will serve.
        with socket.create_server(("127.0.0.1", 0)) as listener:
            write_credentials(run, listener.getsockname()[1])
            for cgroup in cgroups:
                make_cgroup(cgroup)
            # Not unshare's own --pid --fork: the node is to be our child, whose wait() returns after the
            # last process inside has gone.
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.unshare(CLONE_NEWPID):
                raise OSError(ctypes.get_errno(), "The test cluster needs root, and namespaces")
            node = subprocess.Popen(
                ["/usr/bin/unshare", "--mount", "--net", "--mount-proc", sys.executable, "-I"]
                + [str(argument) for argument in (HERE / "boot.py", run, programs, images, listener.fileno())],
                pass_fds=[listener.fileno()],
                stdin=subprocess.DEVNULL,
                # No proxy settings, and no ETCD_*, which etcd takes for its own.
                env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/run"},
            )
        select.select([sys.stdin, os.pidfd_open(node.pid)], [], [])
    finally:
        if node:
            node.kill()
            node.wait()
        for cgroup in cgroups:
            for directory, _, _ in os.walk(cgroup, topdown=False):
                Path(directory).rmdir()
        shutil.rmtree(run)


def cgroup_hierarchies() -> list[Path]:
    """Return the root of the one hierarchy of version 2, or those of all of version 1."""
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        return [root]
    return [entry for entry in root.iterdir() if (entry / "cgroup.procs").exists() and not entry.is_symlink()]


def make_cgroup(cgroup: Path) -> None:
    cgroup.mkdir()
    if cgroup.parent.name == "cpuset":  # version 1 starts a group with none, and no process may join it
        for name in ("cpuset.cpus", "cpuset.mems"):
            (cgroup / name).write_text((cgroup.parent / name).read_text())


def write_credentials(run: Path, port: int) -> None:
    """Write one certificate, which signs itself, and a kubeconfig with a token for each user."""
    output("openssl", "ecparam", "-genkey", "-noout", "-name", "prime256v1", "-out", run / "tls.key")
    output(
        *("openssl", "req", "-x509", "-new", "-key", run / "tls.key", "-out", run / "tls.crt"),
        *("-days", "2", "-subj", "/CN=mlo-test", "-addext", "subjectAltName=IP:127.0.0.1"),
        *("-addext", "keyUsage=critical,digitalSignature,keyCertSign"),
    )
    authority = base64.b64encode((run / "tls.crt").read_bytes()).decode()
    server = {"server": f"https://127.0.0.1:{port}", "certificate-authority-data": authority}
    with (run / "tokens.csv").open("w") as tokens:
        for user, group in (("admin", "system:masters"), ("member", ""), ("guest", "")):
            token = secrets.token_hex()
            tokens.write(f'{token},{user},{user},"{group}"\n')
            context = {"cluster": "mlo-test", "user": user, "namespace": "runai-lab"}
            config = {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "mlo-test", "cluster": server}],
                "users": [{"name": user, "user": {"token": token}}],
                "contexts": [{"name": user, "context": context}],
                "current-context": user,
            }
            (run / f"{user}.kubeconfig").write_text(json.dumps(config, indent=1))  # YAML holds JSON


def main(argv: list[str]) -> int:
    match argv:
        case ["--keep", programs, images]:
            keep(programs, images)
            return 0
        case [image, *command]:
            with cluster(image) as run:
                os.environ["KUBECONFIG"] = f"{run}/member.kubeconfig"
                os.environ["KUBECACHEDIR"] = f"{run}/kubectl"  # the next cluster has another port, and so another cache
                return subprocess.run(command or [os.environ.get("SHELL", "/bin/sh")]).returncode
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
