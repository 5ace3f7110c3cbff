"""Claims on the indices of an array, in a directory on scratch: for tasks that nobody tells which they are.

An index is a file, and who holds its lock has the index. The command inherits the open file, so the kernel gives the
claim back when the last process that has it ends, however: by a failure, a signal, KILL. If its node dies, the file
server does, after its lease (NFS v4: 90 s, unless it is set otherwise). A task that succeeds writes `done`, for good.

The first to come make the files (O_EXCL), each another one: they get along without locks, too.
"""

from __future__ import annotations

import fcntl
import os
import time
from typing import TYPE_CHECKING

from . import report
from .record import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

DONE = b"done\n"
PERIOD = 2.0  # seconds between two looks for a claim that was given back


class Claim(Record):
    """An index, and the open file whose lock keeps it."""

    index: int
    fd: int

    def done(self) -> None:
        """Nobody shall take it again."""
        try:
            os.write(self.fd, DONE)
            os.fsync(self.fd)  # a full scratch is told by NFS here at the latest
        except OSError as error:
            report.warning(f"task {self.index} is done, but that cannot be kept: {error.strerror}; it may run again")


def claim(directory: str, indices: Sequence[int], holder: str) -> Claim | None:
    """Claim an index: one that nobody began, else one that was given back, and wait for that. None if all are done.

    Raises:
        OSError: the directory cannot be used, or knows no locks.
    """
    os.makedirs(directory, exist_ok=True)
    begun = set(os.listdir(directory))
    for index in indices:
        if str(index) not in begun and (fd := _make(f"{directory}/{index}")) is not None:
            return _keep(index, fd, holder)
    waiting = 0
    left = list(indices)
    while left:
        for index in tuple(left):
            fd = _lock(os.open(f"{directory}/{index}", os.O_RDWR | os.O_CREAT, 0o666))
            if fd is None:
                continue
            if not os.pread(fd, 4096, 0).endswith(DONE):
                return _keep(index, fd, holder)
            os.close(fd)
            left.remove(index)
        if left and len(left) != waiting:
            waiting = len(left)
            report.log(f"no task is free: {waiting} of {len(indices)} run elsewhere; waiting, should one of them fail")
        if left:
            time.sleep(PERIOD)
    return None


def _make(path: str) -> int | None:
    try:
        return _lock(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666))
    except FileExistsError:
        return None


def _lock(fd: int) -> int | None:
    """The open file, if its lock is free; else it is closed."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def _keep(index: int, fd: int, holder: str) -> Claim:
    """Take an index: its file tells people by whom, and stays open in the command."""
    os.ftruncate(fd, 0)
    os.write(fd, f"{holder}\n".encode())
    os.set_inheritable(fd, True)
    return Claim(index, fd)
