"""Makes actions true. Applied twice, the second time changes nothing."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time

from . import accounts, actions, report
from .errors import BootError, DirectoryError, RefusedError, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, TypeAlias

    Outcome: TypeAlias = tuple[bool, float, str, int]

LOCK_SECONDS = 15.0  # as lckpwdf(3) waits


class AskSeed(BootError):  # no error: it ends the batch of the user
    """The action waits for what the seed user can do."""

    exit_code = -1


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
            texts = {name: os.fsdecode(text) for name, path in paths.items() if (text := _read(path)) is not None}
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
                _replace(paths[name], os.fsencode(getattr(after, name)), mode, status.st_uid, status.st_gid)
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


def _own_dir(action: actions.OwnDir, _: Mapping[str, str]) -> bool:
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


def _share_dir(action: actions.ShareDir, _: Mapping[str, str]) -> str | bool:
    try:
        return _share(action)
    except OSError as error:
        return f"{reason(error)} for {_who(action)} in {_nearest(action.path)}"


def _share(action: actions.ShareDir) -> bool:
    made = False
    try:
        status = os.stat(action.path)
    except FileNotFoundError:
        made = _make(action.path, 0o770)
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


def _use_dir(action: actions.UseDir, asked: Mapping[str, str]) -> str | bool:
    try:
        if _is_right(os.stat(action.path), action.gid):
            return False
    except OSError:
        pass  # what is wrong is told below, if nobody can mend it
    if action.seed and action.path not in asked:
        raise AskSeed
    changed, why = False, asked.get(action.path, "")
    if why:  # it may be the user's own
        own = _share_dir(action, asked)
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


def _make_dir(action: actions.MakeDir, _: Mapping[str, str]) -> bool:
    return _make(action.path, action.mode)


def _make(path: str, mode: int) -> bool:
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


def _write_file(action: actions.WriteFile, _: Mapping[str, str]) -> bool:
    try:
        if action.once:
            if os.path.lexists(action.path):
                return False
            return _create(action.path, action.content, action.mode)
        if _read(action.path) == action.content:
            status = os.lstat(action.path)
            owned = action.uid in (-1, status.st_uid) and action.gid in (-1, status.st_gid)
            if owned and stat.S_IMODE(status.st_mode) == action.mode:
                return False
        _replace(action.path, action.content, action.mode, action.uid, action.gid)
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


def _create(path: str, content: bytes, mode: int) -> bool:
    """A new file, whole at once; False when somebody else was faster. NFS has link, and no RENAME_NOREPLACE."""
    temporary = _write_beside(path, content, mode)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        os.unlink(temporary)
    return True


def _replace(path: str, content: bytes, mode: int, uid: int = -1, gid: int = -1) -> None:
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


def _read(path: str) -> bytes | None:
    """A regular file's content; None when there is none. Anything else could keep the boot waiting."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            return file.read()
    except FileNotFoundError:  # also of an open file, on scratch, where another pod has just replaced it
        return None


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
    _remove(action.path)
    return True


def _remove(path: str) -> None:
    """What shutil.rmtree does, whose import costs as much as a warm boot's own work. Follows no link."""
    if os.path.islink(path) or not os.path.isdir(path):
        os.unlink(path)
        return
    for name in os.listdir(path):
        _remove(f"{path}/{name}")
    os.rmdir(path)


def _set_git_identity(action: actions.SetGitIdentity, _: Mapping[str, str]) -> str | bool:
    from . import gitconfig

    return gitconfig.set_identity(action.path, lambda: _read(action.path) or b"", action.name, action.email)


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
    actions.OwnDir: _own_dir,
    actions.ShareDir: _share_dir,
    actions.UseDir: _use_dir,
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
