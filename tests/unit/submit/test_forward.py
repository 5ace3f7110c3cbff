from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import pytest

from mlo_submit.job import Flags
from mlo_submit.machine import Machine
from mlo_submit.tunnel import Tunnel, answers, free
from mlo_submit.workload import Pod, Workload
from tests.unit.submit.conftest import Fake, Invoke
from tests.unit.submit.containers import container

JOB = Workload(
    name="x", backend="docker", user="jdoe", kind="training", state="Running", created=datetime.now(timezone.utc)
)

# Listens as kubectl does, and takes a connection on only when the file exists; the second one ends it when it does not.
PASSES = """
import os, socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
kept = []
while True:
    connection, _ = listener.accept()
    if not os.path.exists(sys.argv[2]):
        connection.close()
        sys.exit("error: nothing listens in the pod")
    kept.append(connection)
    connection.send(b"hello")
"""


@dataclass
class Passing:
    """The part of `Jobs` that a tunnel needs; `server` is there when the pod's server is."""

    server: Path
    starts: list[str] = field(default_factory=list)

    def forward(self, job: Workload, pod: Pod, local: int, remote: int) -> list[str]:
        self.starts.append(pod.name)
        return [sys.executable, "-ISc", PASSES, str(local), str(self.server)]


@pytest.fixture
def jobs(tmp_path: Path) -> Passing:
    return Passing(tmp_path / "server")


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def tunnel(laptop: Machine, jobs: Passing, said: list[str]) -> Iterator[Tunnel]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    made = Tunnel(laptop, jobs, port, 80, said.append)  # type: ignore[arg-type]
    yield made
    made.close()


def tend(tunnel: Tunnel, done: Callable[[], bool], pod: str = "a") -> None:
    deadline = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline
        tunnel.tend(JOB, Pod(name=pod, state="Running"))
        time.sleep(0.02)


def test_it_is_open_when_the_pod_answers(tunnel: Tunnel, jobs: Passing, said: list[str]) -> None:
    """Not as soon as something listens here: a program that ends for it is started again, without a word."""
    tend(tunnel, lambda: len(jobs.starts) > 2)
    assert not tunnel.open
    assert tunnel.reason == "nothing listens in the pod"
    jobs.server.touch()
    tend(tunnel, lambda: tunnel.open)
    assert answers(tunnel.local)
    assert said == []


def test_what_breaks_is_started_again_at_the_same_port(tunnel: Tunnel, jobs: Passing, said: list[str]) -> None:
    jobs.server.touch()
    tend(tunnel, lambda: tunnel.open)
    local, url = tunnel.local, tunnel.url
    jobs.server.unlink()
    assert not answers(local)  # which ends the program
    tend(tunnel, lambda: not tunnel.open)
    jobs.server.touch()
    tend(tunnel, lambda: tunnel.open)
    assert (tunnel.local, tunnel.url) == (local, url)
    assert said == ["The connection to port 80 broke (nothing listens in the pod): connecting again."]


def test_another_pod_is_another_program(tunnel: Tunnel, jobs: Passing, said: list[str]) -> None:
    jobs.server.touch()
    tend(tunnel, lambda: tunnel.open)
    tend(tunnel, lambda: jobs.starts[-1] == "b" and tunnel.open, pod="b")
    assert jobs.starts == ["a", "b"]
    assert said == ["The pod a was replaced: connecting port 80 to b."]
    tunnel.close()
    assert not answers(tunnel.local)


def test_a_port_that_is_taken_gives_way_to_the_next(tunnel: Tunnel, jobs: Passing, said: list[str]) -> None:
    jobs.server.touch()
    wanted = tunnel.local
    with socket.create_server(("127.0.0.1", wanted)):
        tend(tunnel, lambda: tunnel.open)
        assert tunnel.local == free(wanted + 1) - 1 > wanted
    assert said == [f"Port {wanted} of this machine is taken: using {tunnel.local}."]


@pytest.mark.parametrize("ports", ["x", "0", "70000", "80:", ":80", "80:x", "80:90:100", "-1", "²"])
def test_bad_ports_are_usage_errors(invoke: Invoke, env_file: Path, ports: str) -> None:
    result = invoke("port-forward", "--backend", "docker", "x", "--", ports)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "LOCAL:REMOTE" in result.stderr


def test_without_a_port_it_is_the_jobs_or_an_error(
    invoke: Invoke, env_file: Path, fake: Callable[[str], Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []

    class Recorded(Tunnel):
        def tend(self, job: Workload, pod: Pod) -> None:
            asked.append((self.local, self.remote))
            raise KeyboardInterrupt

    monkeypatch.setattr("mlo_submit.commands.forward.Tunnel", Recorded)
    engine = fake("docker")
    engine.reply("container", "inspect", out=json.dumps([container("x", flags=Flags(name="x", port=8888))]))
    for ports in ((), ("8889:80", "9000")):
        result = invoke("port-forward", "--backend", "docker", "x", *ports)
        assert (result.exit_code, result.stdout) == (0, ""), "a Ctrl-C is the normal end"
    assert asked == [(8888, 8888), (8889, 80)]
    engine.reply("container", "inspect", out=json.dumps([container("x")]))
    result = invoke("port-forward", "--backend", "docker", "x")
    assert (result.exit_code, "without --port" in result.stderr) == (2, True)


def test_it_ends_with_the_job(
    invoke: Invoke, env_file: Path, fake: Callable[[str], Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is looked at as soon as the connection breaks; that is no error."""
    engine = fake("docker")
    engine.reply("container", "inspect", out=json.dumps([container("x")]))

    class Broken(Tunnel):
        broken = True

        def tend(self, job: Workload, pod: Pod) -> None:
            engine.reply("container", "inspect", out=json.dumps([container("x", "exited", code=3)]))

    monkeypatch.setattr("mlo_submit.commands.forward.Tunnel", Broken)
    result = invoke("port-forward", "--backend", "docker", "x", "80")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "x has ended (exit code 3)" in result.stderr
    assert "rerun x" in result.stderr
