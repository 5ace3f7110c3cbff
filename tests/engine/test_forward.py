"""Ports of a job on a real engine, through what breaks on the way."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.engine.laptop import Laptop


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 40
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def page(url: str) -> bool:
    """Whether the job's server answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # ours
            return bool(answer.status == 200)
    except OSError:
        return False


SERVE = "python3 -m http.server 8000 --bind 127.0.0.1"


def test_a_port_is_reached_when_the_server_answers_and_again_when_it_broke(laptop: Laptop, tmp_path: Path) -> None:
    """At the same address, until the job ends, which is no error."""
    line = f"until [[ -e go ]]; do sleep 0.1; done; {SERVE}; until [[ -e again ]]; do sleep 0.1; done; {SERVE}"
    assert laptop.submit("-c", line).returncode == 0
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    out, err = tmp_path / "out", tmp_path / "err"
    argv = laptop.command("port-forward", laptop.name, f"{port}:8000")
    with out.open("wb") as stdout, err.open("wb") as stderr:
        program = subprocess.Popen(argv, env=laptop.environ, cwd=laptop.home, stdout=stdout, stderr=stderr)
    try:
        nothing = f"Nothing answers at port 8000 of {laptop.name}: Connection refused"
        until(lambda: nothing in err.read_text(), "it says what it waits for")
        assert out.read_text() == ""
        assert laptop.mlo("exec", laptop.name, "--", "touch", "go").returncode == 0
        url = f"http://127.0.0.1:{port}"
        until(lambda: out.read_text() == f"{url}\n", "the address")
        assert page(url)
        (relay,) = psutil.Process(program.pid).children()
        relay.kill()
        until(lambda: "connecting again" in err.read_text(), "it says that the connection broke")
        until(lambda: page(url), "the page, through a new relay")
        laptop.docker("exec", laptop.name, "pkill", "-f", "^python3 -m http.server")
        assert not page(url)
        until(lambda: err.read_text().count(nothing) == 2, "it says that nothing answers any more")
        assert "broke (Connection refused): connecting again" in err.read_text()
        assert laptop.mlo("exec", laptop.name, "--", "touch", "again").returncode == 0
        until(lambda: page(url), "the page, from the server that is back")
        assert out.read_text() == f"{url}\n"
        laptop.docker("stop", "--time", "1", laptop.name)
        assert program.wait(30) == 0
        assert f"rerun {laptop.name}" in err.read_text()
    finally:
        if program.poll() is None:
            program.send_signal(signal.SIGTERM)
            program.wait(10)
