"""What a job prints, as `mlo-submit logs` and `run --follow` show it on a real cluster."""

from __future__ import annotations

import json
import re
import shlex
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.cluster.jobs import TRAINING
from tests.cluster.lab import SECONDS, Lab, Laptop, until
from tests.cluster.test_workers import go

# Prints numbered lines, and among them one that makes the log so large that the node begins another file. Waits until
# nobody has yet to read the old one, and then until there is a new one.
NUMBERS = """
import os, time
def lines(first, last):
    for number in range(first, last):
        print(number, "x" * 200, flush=True)
        time.sleep(0.001)
def wait(name):
    while not os.path.exists(name):
        time.sleep(0.05)
lines(0, 3000)
wait("read")
print("long", "y" * 500_000, flush=True)
wait("rotated")
lines(3000, 5000)
os.write(1, b"\\xff\\r50%\\r100%\\n\\nend")
"""


def python(script: str) -> tuple[str, ...]:
    return ("--train", "--command", shlex.join(["python3", "-c", script]))


@contextmanager
def following(laptop: Laptop, *argv: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """`mlo-submit logs -f`, and the file into which it prints; what it tells beside goes into `told`."""
    shown = laptop.project / "shown"
    with (
        shown.open("wb") as out,
        shown.with_name("told").open("wb") as told,
        laptop.start("logs", "-f", laptop.name, *argv, stdout=out, stderr=told) as process,
    ):
        try:
            yield process, shown
        finally:
            process.kill()


def wait_for(text: bytes, shown: Path) -> None:
    until(lambda: text in shown.read_bytes(), f"{text!r} is shown")


def kill_kubectl(process: subprocess.Popen[bytes]) -> None:
    """End the connection that is open, once one is."""
    parent = psutil.Process(process.pid)
    (child,) = until(lambda: [each for each in parent.children() if each.name() == "kubectl"], "kubectl runs")
    child.kill()
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, "it has ended")


def rotated(lab: Lab, pod: str) -> bool:
    """Whether the node has begun another file of the pod's log."""
    uid = lab.get("pod", pod)["metadata"]["uid"]
    node = lab.get("pod", pod)["spec"]["nodeName"]
    path = f"/api/v1/nodes/{node}/proxy/logs/pods/{lab.namespace}_{pod}_{uid}/job/"
    argv = ["kubectl", f"--kubeconfig={lab.as_user('admin')}", "get", "--raw", path]
    return "0.log.2" in subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def test_every_line_comes_once(laptop: Laptop, lab: Lab) -> None:
    """5,000 lines, through five ends of kubectl and a rotation of the log file; byte for byte."""
    if not lab.own:
        pytest.skip("needs a node that rotates at 1 MiB, and its files")
    laptop.launch(*python(NUMBERS))
    with following(laptop, "--exit-code") as (process, shown):
        for number in (100, 1000, 2500):
            wait_for(b"\n%d " % number, shown)
            kill_kubectl(process)
        wait_for(b"\n2999 ", shown)
        go(laptop, "read")
        wait_for(b"\nlong y", shown)
        (pod,) = (found["metadata"]["name"] for found in lab.pods(laptop.name))
        until(lambda: rotated(lab, pod), "a rotation")
        kill_kubectl(process)
        go(laptop, "rotated")
        wait_for(b"\n4000 ", shown)
        kill_kubectl(process)
        assert process.wait(SECONDS) == 0
    boot, *lines = shown.read_bytes().split(b"\n")
    assert boot.startswith(b"[mlo] ")
    numbers = [b"%d " % number + b"x" * 200 for number in range(5000)]
    expected = [*numbers[:3000], b"long " + b"y" * 500_000, *numbers[3000:], b"\xff\r50%\r100%", b""]
    # The runtime holds what has no newline until the pod has ended.
    assert lines == [*expected, b"[mlo] the job ended with exit code 0", b"end"]


class Wire:
    """A way to the API server that can be cut, and mended."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ends: list[socket.socket] = []
        self._whole = True
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._whole = False
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._whole = True

    def _accept(self) -> None:
        while True:
            near, _ = self._listener.accept()
            if not self._whole:
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self._port))
            self._ends += (near, far)
            for ends in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def test_a_cluster_that_goes_away_is_waited_for(laptop: Laptop, lab: Lab, tmp_path: Path) -> None:
    """What the job prints meanwhile is shown when the cluster is back; also when it has ended by then."""
    if not lab.own:
        pytest.skip("needs an API server whose certificate is for 127.0.0.1")
    config = json.loads(lab.kubectl("config", "view", "--minify", "--raw", "--flatten", "--output=json"))
    cluster = config["clusters"][0]["cluster"]
    wire = Wire(int(cluster["server"].rpartition(":")[2]))
    cluster["server"] = f"https://127.0.0.1:{wire.port}"
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    remote = replace(laptop, environ={"KUBECONFIG": str(tmp_path / "kubeconfig")})
    laptop.launch(*python("import time\nfor number in range(20):\n    print(number, flush=True)\n    time.sleep(0.1)"))
    with following(remote) as (process, shown):
        wait_for(b"\n5\n", shown)
        wire.cut()
        lab.wait("condition=Complete", f"job/{laptop.name}")
        assert process.poll() is None
        wire.mend()
        assert process.wait(SECONDS) == 0
    numbers = [line for line in shown.read_text().splitlines() if line.isdigit()]
    assert numbers == [str(number) for number in range(20)]
    assert "Trying again." in shown.with_name("told").read_text()


def test_the_pod_that_takes_over_is_followed(laptop: Laptop, lab: Lab) -> None:
    job = laptop.launch(*TRAINING)
    with following(laptop) as (process, shown):
        wait_for(b"\nstarted\n", shown)
        (pod,) = (found["metadata"]["name"] for found in lab.pods(job))
        lab.evict(pod)
        assert process.wait(SECONDS) == 0
    (last,) = (found["metadata"]["name"] for found in lab.pods(job))
    lines = shown.read_text().splitlines()
    assert [line for line in lines if not line.startswith("[mlo]")] == ["started", "resumed"]
    assert [line for line in lines if "the job was told to stop" in line or "ended" in line], (
        "the first pod's last words"
    )
    assert f"{job} was preempted; its next pod is {last}.\n" in shown.with_name("told").read_text()


def test_retries_follow_each_other_and_the_exit_code_is_the_jobs(laptop: Laptop, lab: Lab) -> None:
    """Which is ours only if it is asked for."""
    script = "echo try; [ ! -e tried ] || echo again; touch tried; exit 7"
    laptop.launch("--train", "--retries", "1", "--", "sh", "-c", script)
    followed = laptop.submit("logs", "-f", "--exit-code", laptop.name)
    assert followed.returncode == 7
    assert followed.stdout.splitlines().count("try") == 2
    assert re.search(f"^{laptop.name} failed \\(exit code 7\\); its next pod is {laptop.name}-", followed.stderr, re.M)
    assert re.search(f"^{laptop.name} failed after .*: exit code 7", followed.stderr, re.M)
    assert laptop.submit("logs", "-f", laptop.name).returncode == 0
    part = laptop.submit("logs", "--tail", "1", "--timestamps", "--since", "10m", laptop.name)
    (line,) = part.stdout.splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}\S+ \[mlo\] the job ended with exit code 7", line)
    assert "again" in laptop.submit("logs", laptop.name).stdout
    first = laptop.submit("logs", "--previous", laptop.name)
    assert (first.returncode, "try" in first.stdout, "again" in first.stdout) == (0, True, False)
    lab.kubectl("delete", "pod", lab.pods(laptop.name)[0]["metadata"]["name"])
    gone = laptop.submit("logs", "--previous", laptop.name)
    assert (gone.returncode, "its pod is gone, and its log with it" in gone.stderr) == (73, True)


def test_a_terminal_shows_what_is_waited_for_and_a_ctrl_c_leaves_the_job(laptop: Laptop, lab: Lab) -> None:
    laptop.launch("--gpus", "64", "--", "true")
    with laptop.terminal("logs", "-f", laptop.name) as terminal:
        terminal.expect(f"{laptop.name} is Pending: ")
        terminal.type("\x03")
        terminal.expect(f"{laptop.name} goes on.")
        assert terminal.wait() == 130
        assert terminal.restored()
    assert not lab.get("job", laptop.name)["metadata"].get("deletionTimestamp")


def test_a_deletion_is_told(laptop: Laptop, lab: Lab) -> None:
    job = laptop.launch(*TRAINING)
    with following(laptop) as (process, shown):
        wait_for(b"\nstarted\n", shown)
        lab.kubectl("delete", "job", job, "--wait=false")
        assert process.wait(SECONDS) == 73
    assert f"{job} was deleted while it was followed." in shown.with_name("told").read_text()
