"""Copies a tree to scratch, where each operation costs a round trip: side by side, and whole or not at all."""

from __future__ import annotations

import os
import time
from concurrent.futures import Future, ThreadPoolExecutor

THREADS = 16  # in flight at once; an NFS client has 64 slots or more
CHUNK = 8  # files of a directory that one thread copies
STALE_SECONDS = 3600.0  # a copy that grew this old belongs to a pod that was killed
_MARK = "~mlo-"


def copy(source: str, path: str) -> bool:
    """Copy the directory `source` to `path`, which does not exist. Modes follow the umask; links are copied as links.

    Returns False when somebody else put their copy there first.

    Raises:
        OSError: the copy failed; what it made is removed.
    """
    _sweep(path)
    beside = f"{path}{_MARK}{os.urandom(8).hex()}"
    try:
        os.mkdir(beside)
        with ThreadPoolExecutor(THREADS) as pool:  # its end waits for every thread, also after an error
            tasks: list[Future[None]] = []
            tasks.append(pool.submit(_copy_directory, source, beside, pool, tasks))
            for task in tasks:  # they grow meanwhile: a directory's task adds those below before it ends
                task.result()
        os.rename(beside, path)
    except OSError:
        _remove(beside)
        if os.path.isdir(path):
            return False
        raise
    return True


def _copy_directory(source: str, target: str, pool: ThreadPoolExecutor, tasks: list[Future[None]]) -> None:
    """Fill `target`. A directory takes one entry at a time: those below are made here, in a row, others fill them."""
    entries = list(os.scandir(source))
    files = [entry for entry in entries if not entry.is_dir(follow_symlinks=False)]
    for start in range(0, len(files), CHUNK):
        tasks.append(pool.submit(_copy_files, files[start : start + CHUNK], target))
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            os.mkdir(f"{target}/{entry.name}")
            tasks.append(pool.submit(_copy_directory, entry.path, f"{target}/{entry.name}", pool, tasks))


def _copy_files(entries: list[os.DirEntry[str]], target: str) -> None:
    for entry in entries:
        _copy_file(entry, f"{target}/{entry.name}")


def _copy_file(source: os.DirEntry[str], target: str) -> None:
    if source.is_symlink():
        os.symlink(os.readlink(source.path), target)
        return
    with open(source.path, "rb") as file:
        content, mode = file.read(), os.fstat(file.fileno()).st_mode
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o777 if mode & 0o100 else 0o666)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
    finally:
        os.close(fd)


def _sweep(path: str) -> None:
    """Remove the unfinished copies of pods that were killed."""
    parent, name = os.path.split(path)
    for other in os.listdir(parent):
        if other.startswith(name + _MARK) and time.time() - _modified(f"{parent}/{other}") > STALE_SECONDS:
            _remove(f"{parent}/{other}")


def _modified(path: str) -> float:
    try:
        return os.lstat(path).st_mtime
    except FileNotFoundError:
        return time.time()  # another pod has just finished it


def _remove(top: str) -> None:
    """Remove a tree as far as that is possible: the error that led here is the one to tell."""
    directories = []
    with ThreadPoolExecutor(THREADS) as pool:
        for directory, _, names in os.walk(top, topdown=False):
            list(pool.map(_unlink, [f"{directory}/{name}" for name in names]))
            directories.append(directory)
    for directory in directories:
        try:
            os.rmdir(directory)
        except OSError:
            pass


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
