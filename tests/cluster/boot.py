"""The node of the test cluster: boot.py RUN PROGRAMS IMAGES LISTENER, as PID 1 of new namespaces.

Daemons keep their default paths and ports: there is nobody here to share them with, and what they write goes into
memory that the namespaces take along. RUN, a directory of the host, holds the credentials and the logs. Prints RUN when
pods can run.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

SECONDS = 90
NODE = "gpu-node-0"
NODE_IP = "10.123.0.1"  # the bridge's, where pods reach it, too; the kubelet refuses a loopback address
MLO = Path("/run/mlo")
SEED_UID, SEED_GID = 177449, 83070  # who may make homes on scratch, where root is nobody
PR_SET_PDEATHSIG = 1


def main(run: Path, programs: Path, images: Path, listener: socket.socket) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if child := os.fork():
        while True:  # reap orphans, until the child ends; everything ends with it
            pid, status = os.wait()
            if pid == child:
                sys.exit(os.waitstatus_to_exitcode(status))
    do("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    # Before /var/lib is covered, where a CI user's home and checkout may lie.
    bind(run, MLO / "run")
    bind(programs, MLO / "bin")
    bind(images, MLO / "images")
    bind(Path(__file__).parent / "node", MLO / "node")
    cover_the_host()
    connect_the_network()
    lay_out_images()
    make_scratch()
    daemons = boot(commands(listener.getsockname()[1], cgroup=f"/{run.name}"), listener)
    print(run, flush=True)
    pid, _ = os.wait()
    sys.exit(f"{daemons[pid]} has ended, and the test cluster with it.")


def do(*argv: str | Path) -> None:
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def succeeds(*argv: str) -> bool:
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0


def bind(source: Path, target: Path, options: str = "rw") -> None:
    target.mkdir(parents=True)
    do("mount", "--bind", "--options", options, source, target)


def cover_the_host() -> None:
    """Keep what the daemons write, and the kernel settings that the kubelet makes, to this mount namespace."""
    for directory in ("/var/lib", "/var/log"):
        do("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", directory)
    for name, wanted in {
        "vm/overcommit_memory": 1,
        "vm/panic_on_oom": 0,
        "kernel/panic": 10,
        "kernel/panic_on_oops": 1,
        "kernel/keys/root_maxkeys": 1000000,
        "kernel/keys/root_maxbytes": 25000000,
    }.items():  # the kubelet sets those that differ, for the whole machine: show it a file in which none does
        setting = MLO / name.replace("/", ".")
        setting.write_text(f"{wanted}\n")
        do("mount", "--bind", setting, f"/proc/sys/{name}")


def connect_the_network() -> None:
    do("ip", "link", "set", "lo", "up")
    do("ip", "link", "add", "pods", "type", "bridge")
    do("ip", "address", "add", f"{NODE_IP}/24", "dev", "pods")
    do("ip", "link", "set", "pods", "up")


def lay_out_images() -> None:
    """Make a containerd root: its databases are copies, the images' layers lie read-only in the cache.

    Each snapshot is mounted by itself: new ones are made beside them, and overlayfs takes no layer that is to be
    written on top of another overlay.
    """
    source, target = MLO / "images", Path("/var/lib/containerd")
    blobs, snapshots = "io.containerd.content.v1.content", "io.containerd.snapshotter.v1.overlayfs/snapshots"
    for database in source.glob("io.*/*.db"):
        copy = target / database.relative_to(source)
        copy.parent.mkdir(parents=True)
        shutil.copy(database, copy)
    for layers in (source / blobs, *(source / snapshots).iterdir()):
        bind(layers, target / layers.relative_to(source), "ro")


def make_scratch() -> None:
    for directory in ("/run/scratch", "/run/exported", "/run/exported/homes"):
        Path(directory).mkdir()
        os.chown(directory, SEED_UID, SEED_GID)


def commands(port: int, cgroup: str) -> dict[str, list[str]]:
    """Return each daemon's command. All of them act as admin: it is not they who are tested."""
    bin, run = MLO / "bin", MLO / "run"
    admin = f"--kubeconfig={run}/admin.kubeconfig"
    return {
        "scratchfs": [f"{bin}/scratchfs", "/run/exported", "/run/scratch", f"{run}/scratch.socket", "0"],
        "etcd": [f"{bin}/etcd", "--data-dir=/var/lib/etcd", "--unsafe-no-fsync", "--log-level=warn"],
        "containerd": ["containerd", f"--config={MLO}/node/containerd.toml"],
        "kube-apiserver": [
            f"{bin}/kube-apiserver",
            "--etcd-servers=http://127.0.0.1:2379",
            f"--secure-port={port}",
            f"--advertise-address={NODE_IP}",
            "--service-cluster-ip-range=10.96.0.0/24",
            "--kubelet-preferred-address-types=InternalIP",  # the node's name is in no DNS
            "--allow-privileged",
            "--authorization-mode=RBAC",
            f"--token-auth-file={run}/tokens.csv",
            f"--tls-cert-file={run}/tls.crt",
            f"--tls-private-key-file={run}/tls.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={run}/tls.crt",
            f"--service-account-signing-key-file={run}/tls.key",
            # How it shows an API server behind it who asks.
            f"--proxy-client-cert-file={run}/tls.crt",
            f"--proxy-client-key-file={run}/tls.key",
            f"--requestheader-client-ca-file={run}/tls.crt",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        ],
        "kube-controller-manager": [
            f"{bin}/kube-controller-manager",
            admin,
            "--leader-elect=false",
            "--secure-port=0",
            f"--root-ca-file={run}/tls.crt",
            f"--service-account-private-key-file={run}/tls.key",
            "--kube-api-qps=200",  # at the default of 20 its controllers start one by one, for 5 s
            "--kube-api-burst=400",
            "--flex-volume-plugin-dir=/var/lib/kubelet/plugins",  # it makes the default one, under /usr
            "--pvclaimbinder-sync-period=1s",  # it may meet the claim before the volume, and then looks again
        ],
        "kube-scheduler": [f"{bin}/kube-scheduler", admin, "--leader-elect=false", "--secure-port=0"],
        "kubelet": [
            f"{bin}/kubelet",
            admin,
            f"--config={MLO}/node/kubelet.yaml",
            f"--cgroup-root={cgroup}",
            f"--hostname-override={NODE}",
            f"--node-ip={NODE_IP}",
            "--node-labels=runai/node-pool=h100",
        ],
        "coredns": [f"{bin}/coredns", "-conf", f"{MLO}/node/Corefile"],
    }


def boot(command: dict[str, list[str]], listener: socket.socket) -> dict[int, str]:
    """Start the daemons, in an order in which none has to retry, and wait until pods can run.

    Returns their names by process id.
    """
    deadline = time.monotonic() + SECONDS
    logs = MLO / "run/logs"
    logs.mkdir()
    started: dict[str, subprocess.Popen[bytes]] = {}

    def start(*names: str) -> None:
        for name in names:
            with (logs / name).open("wb") as log:
                started[name] = subprocess.Popen(
                    command[name], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
                )

    def until(name: str, ready: Callable[[], bool]) -> None:
        while not ready():
            if started[name].poll() is not None or time.monotonic() > deadline:
                tail = (logs / name).read_text(errors="replace").splitlines()[-20:]
                sys.exit("\n".join([*tail, f"{name} has ended, or is not ready after {SECONDS} s."]))
            time.sleep(0.05)

    def kubectl(*argv: str) -> list[str]:
        return [f"{MLO}/bin/kubectl", f"--kubeconfig={MLO}/run/admin.kubeconfig", *argv]

    def wait_for(name: str, condition: str, *argv: str) -> None:
        until(name, lambda: succeeds(*kubectl("wait", f"--for={condition}", "--timeout=1s", *argv)))

    start("scratchfs", "etcd", "containerd", "kube-apiserver")
    until("scratchfs", lambda: os.path.ismount("/run/scratch"))
    port = listener.getsockname()[1]
    trust = ssl.create_default_context(cafile=MLO / "run/tls.crt")
    until("kube-apiserver", lambda: answers(f"https://127.0.0.1:{port}/readyz", trust))
    threading.Thread(target=forward, args=[listener, port], daemon=True).start()

    start("kube-controller-manager", "kube-scheduler", "kubelet", "coredns")
    do(*kubectl("apply", f"--filename={MLO}/node/objects.yaml"))
    wait_for("kubelet", "create", f"node/{NODE}")
    # The kubelet keeps a resource that it does not know, and would itself copy it to allocatable within 10 s.
    gpus = {"nvidia.com/gpu": "8"}
    status = json.dumps({"status": {"capacity": gpus, "allocatable": gpus}})
    do(*kubectl("patch", f"node/{NODE}", "--subresource=status", "--patch", status))
    wait_for("kubelet", "condition=Ready", f"node/{NODE}")
    wait_for("kube-controller-manager", "create", "--namespace=runai-lab", "serviceaccount/default")
    bound = "jsonpath={.status.phase}=Bound"
    wait_for("kube-controller-manager", bound, "--namespace=runai-lab", "persistentvolumeclaim/mlo-scratch")
    return {daemon.pid: name for name, daemon in started.items()}


def answers(url: str, trust: ssl.SSLContext) -> bool:
    try:
        with urllib.request.urlopen(url, context=trust, timeout=2):  # noqa: S310  # ours, and https
            return True
    except OSError:
        return False


def forward(listener: socket.socket, port: int) -> None:
    """Carry connections from the host's network to the API server, which has the same port in this one."""

    def carry(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):  # either side may go away at any time
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    while True:
        client, _ = listener.accept()
        server = socket.create_connection(("127.0.0.1", port))
        for ends in ((client, server), (server, client)):
            threading.Thread(target=carry, args=ends, daemon=True).start()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), socket.socket(fileno=int(sys.argv[4])))
