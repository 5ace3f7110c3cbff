"""Scratch as NFS shows it: a mounted export with its control socket."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.container.machine import BIN, GID, SEED_UID, TIMEOUT, UID, USER

ERRORS = {name: getattr(errno, name) for name in ("EDQUOT", "ENOSPC", "ESTALE", "EIO", "EROFS")}


@dataclass(frozen=True)
class Calls:
    """What was asked of scratch since the last reset, by kind."""

    by_kind: Mapping[str, int]
    changing: int

    @property
    def total(self) -> int:
        return sum(self.by_kind.values())


class Scratch:
    """A root-squashed export, mounted at `path`; `backing` is what the server stores, for root to change."""

    def __init__(self, directory: Path, timeout: float = 0) -> None:
        self.path, self.backing = directory / "mnt", directory / "backing"
        self._control = directory / "control"
        self.path.mkdir(parents=True)
        self.make("", SEED_UID, GID, 0o755)
        self.make("homes", SEED_UID, GID, 0o755)
        self._server = subprocess.Popen(
            [BIN / "scratchfs", self.backing, self.path, self._control, str(timeout)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        assert self._server.stdout
        assert self._server.stdout.readline() == b"ready\n"

    def close(self) -> None:
        self.command("clear")
        self._server.terminate()  # it unmounts itself
        self._server.wait()
        if self._server.stdout:
            self._server.stdout.close()

    def command(self, text: str) -> str:
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(TIMEOUT)
            control.connect(str(self._control))
            control.send(text.encode())
            answer = b"".join(iter(lambda: control.recv(4096), b"")).decode()
        assert not answer.startswith("unknown"), answer
        return answer

    def calls(self) -> Calls:
        rows = [line.split() for line in self.command("counts").splitlines()]
        return Calls(
            {kind: int(count) for kind, count, _ in rows if count != "0"},
            sum(int(count) for _, count, changes in rows if changes == "1"),
        )

    def kinds(self) -> list[str]:
        """Every kind of operation that can fail or be slow."""
        return [line.split()[0] for line in self.command("counts").splitlines()]

    def fail(self, kind: str, error: int, times: int = 0, under: str = "/") -> None:
        self.command(f"fail {kind} {error} {times} {under}")

    def make(self, path: str, uid: int, gid: int, mode: int) -> Path:
        """Make a directory on the server, whoever may do so there."""
        directory = self.backing / path
        directory.mkdir(exist_ok=True)
        os.chown(directory, uid, gid)
        directory.chmod(mode)
        return directory

    def home(self, uid: int = SEED_UID, gid: int = GID, mode: int = 0o2770) -> Path:
        """The user's scratch home, as an earlier boot left it."""
        return self.make(f"homes/{USER}", uid, gid, mode)

    def put(self, path: str, text: str, uid: int = UID, gid: int = GID, mode: int = 0o660) -> Path:
        """Write a file on the server."""
        file = self.backing / path
        file.write_text(text)
        os.chown(file, uid, gid)
        file.chmod(mode)
        return file
