"""Files and directories made whole or not at all, and taken away again."""

from __future__ import annotations

import errno
import os
import stat


def make_directory(path: str, mode: int) -> bool:
    """A directory, with those above it; False when it is there."""
    try:
        if stat.S_ISDIR(os.stat(path).st_mode):
            return False
    except FileNotFoundError:
        pass
    try:
        os.makedirs(os.path.dirname(path), 0o770, exist_ok=True)
        os.mkdir(path, mode)
    except FileExistsError:
        if not os.path.isdir(path):  # else another pod of the user was faster
            raise
        return False
    return True


def create(path: str, content: bytes, mode: int) -> bool:
    """A new file, whole at once; False when somebody else was faster. NFS has link, and no RENAME_NOREPLACE."""
    temporary = _write_beside(path, content, mode)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        os.unlink(temporary)
    return True


def replace(path: str, content: bytes, mode: int, uid: int = -1, gid: int = -1) -> None:
    """A file, whole at once, in place of what is there."""
    temporary = _write_beside(path, content, mode, uid, gid)
    try:
        os.rename(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise


def _write_beside(path: str, content: bytes, mode: int, uid: int = -1, gid: int = -1) -> str:
    temporary = f"{path}~mlo-{os.urandom(8).hex()}"  # sudo reads no name with a tilde in sudoers.d
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with open(fd, "wb") as file:
            if (uid, gid) != (-1, -1):
                os.fchown(fd, uid, gid)
            if stat.S_IMODE(os.fstat(fd).st_mode) != mode:  # by the umask
                os.fchmod(fd, mode)
            file.write(content)
    except OSError:
        os.unlink(temporary)
        raise
    return temporary


def read(path: str) -> bytes | None:
    """A regular file's content; None when there is none. Anything else could keep the boot waiting."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            return file.read()
    except FileNotFoundError:  # also of an open file, on scratch, where another pod has just replaced it
        return None


def remove(path: str) -> None:
    """What shutil.rmtree does, whose import costs as much as a warm boot's own work. Follows no link."""
    if os.path.islink(path) or not os.path.isdir(path):
        os.unlink(path)
        return
    for name in os.listdir(path):
        remove(f"{path}/{name}")
    os.rmdir(path)
