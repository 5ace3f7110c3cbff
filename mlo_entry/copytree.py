"""Copies a tree to scratch, where each operation costs a round trip: side by side, and whole or not at all."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

THREADS = 32  # in flight at once; an NFS client has 64 slots or more
STALE_SECONDS = 3600.0  # a copy that grew this old belongs to a pod that was killed
_MARK = "~mlo-"


def copy(source: str, path: str) -> bool:
    """Copy the directory `source` to `path`, which does not exist. Modes follow the umask; links are copied as links.

    Returns False when somebody else put their copy there first.

    Raises:
        OSError: the copy failed; what it made is removed.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        _sweep(path, pool)
        beside = f"{path}{_MARK}{os.urandom(8).hex()}"
        try:
            _copy_into(source, beside, pool)
            os.rename(beside, path)
        except OSError:
            _remove(beside, pool)
            if os.path.isdir(path):
                return False
            raise
    return True


def _copy_into(source: str, beside: str, pool: ThreadPoolExecutor) -> None:
    level = [(source, beside)]
    while level:
        _all(pool, os.mkdir, [target for _, target in level])
        below: list[tuple[str, str]] = []
        files: list[tuple[str, str]] = []
        for directory, target in level:
            for entry in os.scandir(directory):
                is_directory = entry.is_dir(follow_symlinks=False)
                (below if is_directory else files).append((entry.path, f"{target}/{entry.name}"))
        _all(pool, _copy_file, files)
        level = below


def _copy_file(pair: tuple[str, str]) -> None:
    source, target = pair
    if os.path.islink(source):
        os.symlink(os.readlink(source), target)
        return
    with open(source, "rb") as file:
        content, mode = file.read(), os.fstat(file.fileno()).st_mode
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o777 if mode & 0o100 else 0o666)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
    finally:
        os.close(fd)


def _remove(top: str, pool: ThreadPoolExecutor) -> None:
    directories = []
    for directory, _, names in os.walk(top, topdown=False):
        _all(pool, os.unlink, [f"{directory}/{name}" for name in names])
        directories.append(directory)
    for directory in directories:
        os.rmdir(directory)


def _sweep(path: str, pool: ThreadPoolExecutor) -> None:
    """Remove the unfinished copies of pods that were killed."""
    parent, name = os.path.split(path)
    for other in os.listdir(parent):
        if other.startswith(name + _MARK) and time.time() - os.lstat(f"{parent}/{other}").st_mtime > STALE_SECONDS:
            _remove(f"{parent}/{other}", pool)


def _all(pool: ThreadPoolExecutor, work: Callable[[T], None], arguments: list[T]) -> None:
    for _ in pool.map(work, arguments):
        pass
