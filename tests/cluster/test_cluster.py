"""The test cluster itself."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.cluster import cluster
from tests.cluster.lab import Lab, until

MASTER = "import socket; socket.create_server(('', 29500)).accept()[0].sendall(b'rank 0')"
WORKER = """
import socket, time
while True:
    try:
        print(socket.create_connection(("master.ranks", 29500), 1).recv(100).decode())
        break
    except OSError:
        time.sleep(0.1)
"""


def processes(run: str) -> list[str]:
    """The command lines that name this cluster's directory."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(file.read_text())
        except OSError:
            continue  # it has just ended
    return [line for line in lines if run in line]


def test_killed_caller_leaves_nothing(tmp_path: Path) -> None:
    """No process, mount, cgroup or file is left, even by a caller that had no chance to clean up."""
    if os.environ.get("MLO_TEST_KUBECONFIG"):
        pytest.skip("there is no cluster of our own")
    command = ["sh", "-c", f"kubectl get pods && echo $KUBECONFIG && read forever < {tmp_path}/fifo"]
    os.mkfifo(tmp_path / "fifo")
    with subprocess.Popen(
        [sys.executable, cluster.__file__, os.environ["MLO_IMAGE"], *command], stdout=subprocess.PIPE, text=True
    ) as caller:
        assert caller.stdout
        kubeconfig = caller.stdout.readline().strip()
        assert kubeconfig, "no cluster came up, and nobody will read the fifo"
        run = Path(kubeconfig).parent
        assert processes(run.name)
        caller.kill()
        (tmp_path / "fifo").write_text("")  # ends the command, which is an orphan now
    until(lambda: not run.exists(), f"{run} is gone", 20)
    assert not processes(run.name)
    assert not [path for root in cluster.cgroup_hierarchies() for path in root.glob(run.name)]
    assert run.name not in Path("/proc/self/mountinfo").read_text()


def test_pods_meet_under_the_name_of_a_headless_service(lab: Lab) -> None:
    """What a job of several nodes needs of its cluster: names of pods that are not ready, and a way to them."""
    selector = {"app.kubernetes.io/instance": "ranks"}
    lab.create(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "ranks", "labels": selector},
            "spec": {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": selector},
        }
    )
    pods = [lab.create_pod("ranks", rank, hostname=rank, subdomain="ranks") for rank in ("master", "worker")]
    lab.wait("condition=Ready", *(f"pod/{pod}" for pod in pods))
    with ThreadPoolExecutor() as pool:
        pool.submit(lab.kubectl, "exec", pods[0], "--", "timeout", "30", "python3", "-c", MASTER)
        assert lab.kubectl("exec", pods[1], "--", "timeout", "30", "python3", "-c", WORKER) == "rank 0\n"
    lab.delete("ranks")
