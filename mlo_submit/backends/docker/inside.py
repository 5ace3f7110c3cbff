"""The end of a relay that is in the container: text for `python -c` there, with the port as its argument.

In come frames: a size in 4 bytes, and as much data. A frame of nothing is the end of the client's stream, which the
server may answer still. Out goes what the server sends. This ends when the server's stream does, or the client is gone.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from contextlib import suppress


def connect(port: int) -> socket.socket:
    """Reach the server, on either localhost."""
    reason = ""
    for host in ("::1", "127.0.0.1"):
        try:
            return socket.create_connection((host, port))
        except OSError as error:
            reason = str(error.strerror)
    sys.exit(reason)


def send(server: socket.socket) -> None:
    """Pass on what the client sends."""
    frames = sys.stdin.buffer
    with suppress(OSError):  # the server reads no more, but may have answered
        for size in iter(lambda: frames.read(4), b""):
            data = frames.read(int.from_bytes(size, "big"))
            if data:
                server.sendall(data)
            else:
                server.shutdown(socket.SHUT_WR)
        os._exit(0)


def receive(server: socket.socket) -> None:
    """Pass on what the server sends."""
    with suppress(OSError):
        for data in iter(lambda: server.recv(65536), b""):
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
    os._exit(0)


if __name__ == "__main__":
    far = connect(int(sys.argv[1]))
    far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    threading.Thread(target=send, args=(far,), daemon=True).start()
    receive(far)
