"""Ports of a job on Kubernetes, through all that breaks on the way."""

from __future__ import annotations

import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from tests.cluster.lab import Lab, Laptop, until

SERVE = "python3 -m http.server {port} --bind 127.0.0.1"


@dataclass(frozen=True)
class Forward:
    """A `port-forward` that runs."""

    program: subprocess.Popen[bytes]
    out: Path
    err: Path

    def url(self) -> str:
        """Wait for what it prints once the job answers."""
        return str(until(lambda: self.out.read_text().partition("\n")[0], "a URL"))

    def says(self, text: str) -> None:
        until(lambda: text in self.err.read_text(), text)

    def kubectl(self) -> psutil.Process:
        """What it has started."""
        return until(psutil.Process(self.program.pid).children, "a kubectl")[0]  # type: ignore[no-any-return]


@contextmanager
def forward(laptop: Laptop, tmp_path: Path, *argv: str) -> Iterator[Forward]:
    out, err = tmp_path / "out", tmp_path / "err"
    with (
        out.open("wb") as stdout,
        err.open("wb") as stderr,
        laptop.start("port-forward", *argv, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr) as program,
    ):
        try:
            yield Forward(program, out, err)
        finally:
            program.terminate()


def page(url: str) -> bool:
    """Whether the job's server answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # ours
            return bool(answer.status == 200)
    except OSError:
        return False


def a_port() -> int:
    """A port that is free, and the next one as well."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first:
            port = int(first.getsockname()[1])
            try:
                socket.create_server(("127.0.0.1", port + 1)).close()
            except OSError:
                continue
            return port


def test_a_port_outlives_what_breaks(laptop: Laptop, lab: Lab, tmp_path: Path) -> None:
    """A taken port here, a kubectl that ends, a pod that is replaced: the same address goes on until the job ends."""
    port = a_port()
    laptop.launch("--port", str(port), "-c", SERVE.format(port=port))
    with socket.create_server(("127.0.0.1", port)), forward(laptop, tmp_path, laptop.name) as running:
        url = running.url()
        assert url == f"http://127.0.0.1:{port + 1}"
        running.says(f"Port {port} of this machine is taken: using {port + 1}.")
        assert page(url)
        broken = running.kubectl()
        broken.kill()
        running.says(f"The connection to port {port} broke")
        until(lambda: page(url), "the page, through a new kubectl")
        (pod,) = lab.pods(laptop.name)
        name = pod["metadata"]["name"]
        lab.evict(name)
        lab.wait("delete", f"pod/{name}")
        until(lambda: page(url), "the page, from a new pod")
        assert running.out.read_text() == f"{url}\n"
        lab.kubectl("delete", "job", laptop.name, "--wait=false", "--grace-period=1")
        assert running.program.wait(60) == 0
        running.says("there is no job")


def test_a_server_that_starts_late(laptop: Laptop, tmp_path: Path) -> None:
    """The address is printed, and the browser opened, when the server answers; a Ctrl-C is the normal end."""
    port = a_port()
    laptop.launch("-c", f"until [[ -e go ]]; do sleep 0.1; done; {SERVE.format(port=8000)}")
    (tmp_path / "browser").write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/opened\n')
    (tmp_path / "browser").chmod(0o755)
    with_browser = replace(laptop, environ={**laptop.environ, "BROWSER": str(tmp_path / "browser")})
    with forward(with_browser, tmp_path, "--open", laptop.name, f"{port}:8000") as running:
        running.says("Nothing answers at port 8000")
        assert running.out.read_text() == ""
        assert laptop.submit("exec", laptop.name, "--", "touch", "go").returncode == 0
        assert running.url() == f"http://127.0.0.1:{port}"
        assert page(running.url())
        opened = tmp_path / "opened"
        assert until(lambda: opened.exists() and opened.read_text(), "a browser").strip() == running.url()
        kubectl = running.kubectl()
        running.program.send_signal(signal.SIGINT)
        assert running.program.wait(10) == 0
        assert not kubectl.is_running()
        assert "Traceback" not in running.err.read_text()
