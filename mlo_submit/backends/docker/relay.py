"""Passes a port of this machine on to a port of a container: `python relay.py NAME LOCAL REMOTE`.

    client ─ 127.0.0.1:LOCAL ─ Listener ─ docker exec, one for each connection ─ inside.py ─ 127.0.0.1:REMOTE

A program of its own, of the standard library alone. It prints a line once it listens, and ends when the container does.
"""

from __future__ import annotations

import signal
import socket
import socketserver
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

INSIDE = Path(__file__).with_name("inside.py")
# Any python will do, without what the user set up for theirs.
PYTHON = 'for p in /opt/mlo/bin/python python3; do command -v "$p" >/dev/null && exec "$p" -IS -c "$@"; done; exit 127'


def inside(name: str, *argv: str) -> list[str]:
    """The program that runs a script of Python in a container; `argv` is the script and its arguments."""
    return ["docker", "exec", "--interactive", name, "sh", "-c", PYTHON, "mlo-relay", *argv]


class Listener(socketserver.ThreadingTCPServer):
    """Gives each connection to a program of its own."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, family: socket.AddressFamily, address: tuple[str, int], argv: list[str]) -> None:
        self.address_family = family
        self.argv = argv
        self.programs: set[subprocess.Popen[bytes]] = set()
        super().__init__(address, socketserver.BaseRequestHandler)

    def finish_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        """Serve a connection until its program has ended, which writes to the client by itself."""
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pipe = subprocess.PIPE
        program = subprocess.Popen(self.argv, stdin=pipe, stdout=request.fileno(), stderr=pipe)
        assert program.stderr  # noqa: S101  # for the type checker
        self.programs.add(program)
        threading.Thread(target=send, args=(request, program), daemon=True).start()
        told = program.stderr.read()
        program.wait()
        self.programs.discard(program)
        if b"/dev/stdout" not in told:  # a client that goes before it has everything is no error
            sys.stderr.write(told.decode(errors="replace"))
        with suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)


def send(request: socket.socket, program: subprocess.Popen[bytes]) -> None:
    """Pass on what the client sends, as frames. Without more of them, the program knows that the client is gone."""
    assert program.stdin  # noqa: S101  # for the type checker
    with suppress(OSError), program.stdin as frames:
        for data in iter(lambda: request.recv(65536), b""):
            frames.write(len(data).to_bytes(4, "big") + data)
            frames.flush()
        frames.write(bytes(4))
        frames.flush()
        program.wait()


def main(name: str, local: int, remote: int) -> str:
    """Pass connections on until the container ends. Returns why it is over."""
    tried = subprocess.run(inside(name, ""), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if tried.returncode in (126, 127):
        return f"The image of {name} has no python3, which passes ports on: launch it anew with --port {remote}."
    if tried.returncode:
        return tried.stderr.strip()
    argv, listeners = inside(name, INSIDE.read_text(), str(remote)), []
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            listeners.append(Listener(family, (host, local), argv))
        except OSError as error:
            if not listeners:
                return f"Port {local} of this machine cannot be had ({error.strerror}): choose another one."
    for listener in listeners:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
    print(f"127.0.0.1:{local} is port {remote} of {name}.", flush=True)
    try:
        subprocess.run(["docker", "wait", name], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)  # noqa: S607
    finally:
        for program in [program for listener in listeners for program in [*listener.programs]]:
            program.kill()
    return f"{name} has ended."


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
