"""Ports of a job on this machine: the relay, between real clients and real servers in a real container."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.engine.laptop import Laptop
from tests.engine.test_life import is_in, jobs_of, wait, wait_until

SIZE = 1_000_000  # bytes of a file
FILES = 20
HTTP, DIGEST, STREAM, NOBODY = 8000, 8001, 8002, 8003  # ports of the job, on its localhost alone

SERVERS = f"""
import hashlib, http.server, os, socketserver, threading
files = [os.urandom({SIZE}) for _ in range({FILES})]
class Files(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = files[int(self.path[1:])]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Digest", hashlib.sha256(body).hexdigest())
        self.end_headers()
        self.wfile.write(body)
class Digest(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(hashlib.sha256(self.rfile.read()).hexdigest().encode())
class Stream(socketserver.StreamRequestHandler):
    def handle(self):
        sent = 0
        try:
            while True:
                sent += self.connection.send(bytes(65536))
                open("/tmp/sent", "w").write(str(sent))
        finally:
            open("/tmp/over", "w").close()
for port, handler in (({HTTP}, Files), ({DIGEST}, Digest), ({STREAM}, Stream)):
    server = socketserver.ThreadingTCPServer(("127.0.0.1", port), handler)
    threading.Thread(target=server.serve_forever).start()
os.write(1, b"listening\\n")
"""


@pytest.fixture
def served(laptop: Laptop) -> Laptop:
    """A job that serves these ports."""
    assert laptop.submit("--", "python3", "-c", SERVERS).returncode == 0
    laptop.wait_for_log("listening")
    return laptop


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def relay(laptop: Laptop, remote: int, local: int | None = None) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """The program of `forward` as it listens: its port, and itself."""
    jobs = jobs_of(laptop)
    job = jobs.find(laptop.name)
    local = local or free_port()
    argv = jobs.forward(job, job.pods[0], local, remote)
    pipe = subprocess.PIPE
    # A cwd full of a user's modules is not where the program finds the standard library.
    (laptop.home / "socket.py").write_text("raise SystemExit('the wrong module')")
    with subprocess.Popen(argv, env=laptop.environ, cwd=laptop.home, stdout=pipe, stderr=pipe, text=True) as program:
        assert program.stdout
        assert program.stdout.readline() == f"127.0.0.1:{local} is port {remote} of {laptop.name}.\n"
        try:
            yield local, program
        finally:
            program.terminate()


def connect(port: int, host: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection((host, port), timeout=30)


def processes(laptop: Laptop) -> list[str]:
    """What runs in the container."""
    return laptop.docker("exec", laptop.name, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").split()


def test_transfers_side_by_side_are_whole(served: Laptop) -> None:
    def fetch(number: int) -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{number}", timeout=30) as answer:
            body = answer.read()
            return len(body) == SIZE and hashlib.sha256(body).hexdigest() == answer.headers["Digest"]

    with relay(served, HTTP) as (port, _), ThreadPoolExecutor(FILES) as pool:
        assert all(pool.map(fetch, range(FILES)))
        if socket.has_ipv6:
            with connect(port, "::1") as client:
                client.sendall(b"GET /0 HTTP/1.0\r\n\r\n")
                assert client.recv(15) == b"HTTP/1.0 200 OK"


def test_a_server_answers_after_the_client_has_said_all(served: Laptop) -> None:
    noise = os.urandom(10 * SIZE)
    with relay(served, DIGEST) as (port, _), connect(port) as client:
        client.sendall(noise)
        client.shutdown(socket.SHUT_WR)
        with client.makefile("rb") as answer:
            assert answer.read().decode() == hashlib.sha256(noise).hexdigest()


def test_a_client_that_reads_slowly_slows_the_server_and_one_that_goes_ends_it(served: Laptop) -> None:
    def sent() -> int:
        return int(served.docker("exec", served.name, "cat", "/tmp/sent") or 0)  # in the container

    with relay(served, STREAM) as (port, program):
        with connect(port) as client:
            assert client.recv(1)
            before = -1
            while before != (before := sent()):  # it stands still, though nobody told it to
                assert before < 100 * SIZE
        wait_until(
            lambda: served.docker("exec", served.name, "sh", "-c", "ls /tmp/over || true") != ""
        )  # in the container
        program.terminate()
        assert program.stderr
        assert program.stderr.read() == ""


def test_a_port_with_nothing_behind(served: Laptop) -> None:
    with relay(served, NOBODY) as (port, program):
        with connect(port) as client:
            assert client.recv(1) == b""
        program.terminate()
        assert program.stderr
        assert program.stderr.read() == "Connection refused\n"


def test_it_ends_with_the_container_or_when_it_is_told_to_and_leaves_nothing(served: Laptop) -> None:
    with relay(served, DIGEST) as (port, program), connect(port) as client:
        client.sendall(b"x")
        wait_until(lambda: str(DIGEST) in processes(served))
        program.send_signal(signal.SIGTERM)
        assert program.wait(10) == 130
        assert client.recv(1) == b""
        wait_until(lambda: str(DIGEST) not in processes(served))
    with relay(served, DIGEST) as (port, program), connect(port) as client:
        wait_until(lambda: str(DIGEST) in processes(served))
        served.docker("kill", served.name)
        assert program.wait(10) == 1
        assert program.stderr
        assert program.stderr.read().splitlines()[-1] == f"{served.name} has ended."
        assert client.recv(1) == b""


@pytest.mark.parametrize("case", ["taken", "no python", "ended"])
def test_why_it_does_not_listen(laptop: Laptop, case: str) -> None:
    laptop.submit()
    wait(laptop, is_in("Running"))
    jobs = jobs_of(laptop)
    job = jobs.find(laptop.name)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        local = taken.getsockname()[1]
        says = f"Port {local} of this machine cannot be had (Address already in use): choose another one."
        if case == "ended":
            laptop.docker("kill", laptop.name)
            says = "is not running"
        if case == "no python":
            hide = "mv /opt/mlo/bin/python /opt/mlo/bin/hidden; mv /usr/bin/python3 /usr/bin/hidden"
            laptop.docker("exec", "--user", "root", laptop.name, "sh", "-c", hide)
            says = f"The image of {laptop.name} has no python3, which passes ports on: launch it anew with --port 80."
        argv = jobs.forward(job, job.pods[0], local, 80)
        done = subprocess.run(argv, env=laptop.environ, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
