"""Makes actions true. Applied twice, the second time changes nothing."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time

from . import accounts, actions, directories, files, report
from .errors import BootError, RefusedError, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, TypeAlias

    Outcome: TypeAlias = tuple[bool, float, str, int]

LOCK_SECONDS = 15.0  # as lckpwdf(3) waits


def apply_all(batch: Sequence[actions.Action], asked: Mapping[str, str]) -> list[Outcome]:
    """Make the actions true, one after the other, as whoever runs this.

    `asked` are the directories that the seed user was asked for, with what was wrong or "".
    Returns what came of each, as plain data: (changed, milliseconds, what is wrong or "", code). It ends with the first
    that has a code: the exit code of the boot, or AskSeed's.
    """
    outcomes: list[Outcome] = []
    for action in batch:
        start, changed, problem, code = time.perf_counter(), False, "", 0
        try:
            done = _APPLY[type(action)](action, asked)
            changed, problem = (False, done) if isinstance(done, str) else (done, "")
        except BootError as error:
            problem, code = str(error), error.exit_code
        except OSError as error:
            problem = f"{getattr(action, 'path', '')} cannot be {action.verb}: {reason(error)}"
        outcomes.append((changed, (time.perf_counter() - start) * 1000, problem, code))
        if code:
            break
    return outcomes


def _edit_accounts(action: actions.EditAccounts, _: Mapping[str, str]) -> bool:
    paths = {name: f"{action.etc}/{name}" for name in accounts.Accounts.fields}
    try:
        lock = _account_lock(f"{action.etc}/.pwd.lock")
        try:
            texts = {name: os.fsdecode(text) for name, path in paths.items() if (text := files.read(path)) is not None}
            before = accounts.Accounts(**texts)
            after = accounts.edit(before, action.user, action.uid, action.group, action.gid, action.supplementary)
            changed = [
                name
                for name in ("group", "gshadow", "shadow", "passwd")
                if getattr(before, name) != getattr(after, name)
            ]
            for name in changed:
                status = os.stat(paths[name])
                mode = stat.S_IMODE(status.st_mode)
                files.replace(paths[name], os.fsencode(getattr(after, name)), mode, status.st_uid, status.st_gid)
        finally:
            os.close(lock)
    except OSError as error:
        raise RefusedError(
            f"the account files in {action.etc} cannot be written: {reason(error)}. The boot needs them: start the "
            "container with a writable root file system (readOnlyRootFilesystem: false)"
        ) from error
    return bool(changed)


def _account_lock(path: str) -> int:
    """Take the lock of shadow-utils, as lckpwdf(3) does. Returns a descriptor: closing it releases the lock."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    end = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN) or time.monotonic() > end:
                os.close(fd)
                raise
            time.sleep(0.02)
        else:
            return fd


def _make_dir(action: actions.MakeDir, _: Mapping[str, str]) -> bool:
    return files.make_directory(action.path, action.mode)


def _write_file(action: actions.WriteFile, _: Mapping[str, str]) -> bool:
    try:
        if action.once:
            if os.path.lexists(action.path):
                return False
            return files.create(action.path, action.content, action.mode)
        if files.read(action.path) == action.content:
            status = os.lstat(action.path)
            owned = action.uid in (-1, status.st_uid) and action.gid in (-1, status.st_gid)
            if owned and stat.S_IMODE(status.st_mode) == action.mode:
                return False
        files.replace(action.path, action.content, action.mode, action.uid, action.gid)
    except OSError as error:
        if action.required:
            raise RefusedError(
                f"{action.path} cannot be written, and no job starts without: {reason(error)}"
            ) from error
        raise
    return True


def _make_pipe(action: actions.MakePipe, _: Mapping[str, str]) -> bool:
    try:
        if os.path.lexists(action.path):
            status = os.lstat(action.path)
            if stat.S_ISFIFO(status.st_mode) and (status.st_uid, status.st_gid) == (action.uid, action.gid):
                return False
            os.unlink(action.path)
        os.mkfifo(action.path, 0o400)
        os.chown(action.path, action.uid, action.gid)
    except OSError as error:
        raise RefusedError(f"{action.path} cannot be made, and no job starts without: {reason(error)}") from error
    return True


def _copy_tree(action: actions.CopyTree, _: Mapping[str, str]) -> bool:
    if os.path.lexists(action.path) or not os.path.isdir(action.source):
        return False
    from . import copytree  # costs 30 ms, and is needed once in a home's life

    return copytree.copy(action.source, action.path)


def _touch_file(action: actions.TouchFile, _: Mapping[str, str]) -> bool:
    try:
        status = os.lstat(action.path)
    except FileNotFoundError:
        os.close(os.open(action.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, action.mode))
        return True
    if stat.S_ISREG(status.st_mode) and stat.S_IMODE(status.st_mode) != action.mode:
        os.chmod(action.path, action.mode)
        return True
    return False


def _symlink(action: actions.Symlink, _: Mapping[str, str]) -> bool:
    if os.path.lexists(action.path):
        return False
    os.symlink(action.target, action.path)
    return True


def _remove_tree(action: actions.RemoveTree, _: Mapping[str, str]) -> bool:
    if not os.path.lexists(action.path):
        return False
    files.remove(action.path)
    return True


def _set_git_identity(action: actions.SetGitIdentity, _: Mapping[str, str]) -> str | bool:
    from . import gitconfig

    return gitconfig.set_identity(action.path, lambda: files.read(action.path) or b"", action.name, action.email)


def _run_hook(action: actions.RunHook, _: Mapping[str, str]) -> str | bool:
    from . import process

    code = process.run([action.path], dict(action.environ))
    return f"the hook {action.path} failed with exit code {code}" if code else True


def _tell(action: actions.Tell, _: Mapping[str, str]) -> bool:
    report.log(action.message)
    return False


def _warn(action: actions.Warn, _: Mapping[str, str]) -> str:
    return action.message


_APPLY: Mapping[type[actions.Action], Callable[[Any, Mapping[str, str]], str | bool]] = {
    actions.EditAccounts: _edit_accounts,
    actions.OwnDir: directories.own,
    actions.ShareDir: directories.share,
    actions.UseDir: directories.use,
    actions.MakeDir: _make_dir,
    actions.WriteFile: _write_file,
    actions.MakePipe: _make_pipe,
    actions.CopyTree: _copy_tree,
    actions.TouchFile: _touch_file,
    actions.Symlink: _symlink,
    actions.RemoveTree: _remove_tree,
    actions.SetGitIdentity: _set_git_identity,
    actions.RunHook: _run_hook,
    actions.Tell: _tell,
    actions.Warn: _warn,
}
