"""The directories of a home and of scratch: whose they are, and who may enter."""

from __future__ import annotations

import os
import stat

from .errors import BootError, DirectoryError, reason
from .files import make_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from . import actions


class AskSeed(BootError):  # no error: it ends the batch of the user
    """The action waits for what the seed user can do."""

    exit_code = -1


def own(action: actions.OwnDir, _: Mapping[str, str]) -> bool:
    """A directory of the user's, with all that lies in it on the same file system. Returns whether it changed."""
    try:
        os.mkdir(action.path, action.mode)
    except FileExistsError:
        status = os.lstat(action.path)
        if not stat.S_ISDIR(status.st_mode):
            raise
        if (status.st_uid, status.st_gid) == (action.uid, action.gid):
            return False
    device = os.lstat(action.path).st_dev
    os.chown(action.path, action.uid, action.gid)
    for directory, names, files in os.walk(action.path):
        names[:] = [name for name in names if os.lstat(f"{directory}/{name}").st_dev == device]
        for name in names + files:
            os.lchown(f"{directory}/{name}", action.uid, action.gid)
    return True


def share(action: actions.ShareDir, _: Mapping[str, str]) -> str | bool:
    """A directory on scratch for the group alone. Returns whether it changed, or what is wrong."""
    try:
        return _share(action)
    except OSError as error:
        return f"{reason(error)} for {_who(action)} in {_nearest(action.path)}"


def _share(action: actions.ShareDir) -> bool:
    made = False
    try:
        status = os.stat(action.path)
    except FileNotFoundError:
        made = make_directory(action.path, 0o770)
        status = os.stat(action.path)
    if _is_right(status, action.gid):
        return made
    fd = os.open(action.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if status.st_gid != action.gid:
            # where the path really leads: the seed user owns everybody's home, and a link could name another's
            real = os.readlink(f"/proc/self/fd/{fd}")
            parent, name = os.path.split(action.within)
            if not made and not f"{real}/".startswith(f"{os.path.realpath(parent).rstrip('/')}/{name}/"):
                return False
            os.fchown(fd, -1, action.gid)
        os.fchmod(fd, 0o770 | status.st_mode & (stat.S_ISGID | stat.S_ISVTX))
    finally:
        os.close(fd)
    return True


def _is_right(status: os.stat_result, gid: int) -> bool:
    return status.st_gid == gid and status.st_mode & 0o777 == 0o770 and stat.S_ISDIR(status.st_mode)


def use(action: actions.UseDir, asked: Mapping[str, str]) -> str | bool:
    """See that the user can use a directory. Returns whether it changed, or what is wrong.

    `asked` are the directories that the seed user was asked for, with what was wrong or "".

    Raises:
        AskSeed: the seed user has not been asked yet.
        DirectoryError: the job cannot do without it.
    """
    try:
        if _is_right(os.stat(action.path), action.gid):
            return False
    except OSError:
        pass  # what is wrong is told below, if nobody can mend it
    if action.seed and action.path not in asked:
        raise AskSeed
    changed, why = False, asked.get(action.path, "")
    if why:  # it may be the user's own
        own = share(action, asked)
        changed, why = (False, f"{why}; {own}") if isinstance(own, str) else (own, "")
    if os.access(f"{action.path}/", action.access):  # with the slash, a file is none
        return changed
    problem = (
        f"{action.purpose}={action.path} cannot be {'used' if os.path.lexists(action.path) else 'created'}: "
        f"{why or f'permission denied for {_who(action)} in {_nearest(action.path)}'}. "
        "Set SCRATCH_SEED_USER to the account that owns the directory above, or correct the path"
    )
    if action.required:
        raise DirectoryError(problem)
    return problem


def _who(action: actions.ShareDir) -> str:
    return f"{action.who} (uid {os.geteuid()})"


def _nearest(path: str) -> str:
    """The nearest directory that can be looked at, with its owner and mode."""
    while True:
        try:
            status = os.stat(path)
        except OSError:
            if path == "/":
                return path
            path = os.path.dirname(path)
        else:
            return f"{path} (owner {status.st_uid}:{status.st_gid}, mode {stat.S_IMODE(status.st_mode):o})"
