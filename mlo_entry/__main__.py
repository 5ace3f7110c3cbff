"""The boot of a pod: environ -> Settings -> STEPS -> hand-off. The only place that exits.

docker/entry.c has `start` called as PID 1; people call `python3 -m mlo_entry --plan` and `mlo-status`.
"""

from __future__ import annotations

import fcntl
import gc
import os
import sys
import time

from . import accounts, boot, environment, handoff, host, report, settings, signals, supervise
from .actions import ROOT, WriteFile
from .apply import apply_all
from .become import drop_to
from .errors import BootError, RefusedError, SettingsError, reason
from .host import Identity
from .record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

RUN = "/run/mlo"
LOCK = f"{RUN}/lock"
USAGE = """\
usage: python3 -m mlo_entry --plan     print what a boot with this environment would do, as JSON; touch nothing
       python3 -m mlo_entry --status   tell how the boot of this pod went (also: mlo-status)

A boot itself is started by /usr/local/bin/mlo-entry, the ENTRYPOINT of the image.
"""


class Caller(Record):
    """What the runtime started: its ids, and its soft limit on the size of files in bytes, -1 where it has none."""

    identity: Identity
    file_size: int

    def exec(self, argv: list[str], environ: Mapping[str, str] | Mapping[bytes, bytes]) -> None:
        """Become a program, found by the PATH of `environ`, with the limit that docker/entry.c has lifted for the boot.

        Raises:
            OSError: it cannot be started.
        """
        if self.file_size >= 0:
            import resource

            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.file_size, hard))
        os.execvpe(argv[0], argv, environ)


def start() -> NoReturn:
    """Boot, as docker/entry.c asks. argv: uid, gid and file-size limit of the start, the environment's fd, command."""
    gc.disable()  # a boot makes no cycles worth a collection, which would copy every page that a child shares
    uid, gid, file_size, fd = (int(argument) for argument in sys.argv[1:5])
    caller = Caller(Identity(uid, gid, tuple(os.getgroups())), file_size)
    try:
        code = _boot(_environ(fd), caller, sys.argv[5:] or handoff.SHELL)
    except BootError as error:
        report.error(str(error))
        code = error.exit_code
    except BaseException as error:  # nobody can use a traceback in a pod's log
        report.error(f"the boot failed, and this is a defect of mlo; please report this line: {error!r}")
        code = RefusedError.exit_code
    os._exit(code)


def main(argv: Sequence[str]) -> int:
    """What people call. Returns the exit code."""
    if list(argv) == ["--status"]:
        from . import status

        return status.show(report.BOOT_JSON)
    if list(argv) == ["--plan"]:
        return _print_plan(dict(os.environ))
    sys.stderr.write(USAGE)
    return SettingsError.exit_code


def _boot(environ: dict[str, str], caller: Caller, command: list[str]) -> int:
    """Boot, run the command, and return the exit code of the container."""
    began = time.perf_counter()
    signals.reset()
    for number in signals.STOPS:  # PID 1 ignores what it does not handle
        signals.raw.signal(number, lambda number, _: os._exit(128 + number))
    signals.unblock()
    os.umask(0o022)
    if os.getpid() != 1 and _is_held(LOCK):
        report.log("this container has booted already: running the command")
        try:
            caller.exec(command, environ)
        except OSError as error:
            return report.not_started(error)
    files, problems = host.read_secrets(environ.get("MLO_SECRETS_DIR") or settings.SECRETS_DIR)
    if absent := settings.missing(settings.merged(environ, files)):
        names = ", ".join(absent)
        report.warning(
            f"{names} not set: no account and no home are made, and the command runs as uid {caller.identity.uid}"
        )
        return supervise.run(supervise.start(lambda: _run_plain(caller, command, environ)))

    wanted = settings.from_environ(environ, files)
    _require_root()
    _held = _hold(LOCK)
    machine = host.read(accounts.supplementary(caller.identity.groups, caller.identity.gid, wanted.gid))
    actors, more = boot.identities(wanted, machine)
    progress = boot.Progress(actors, report.warning)
    for problem in problems + more:
        progress.warning(problem)
    planned = boot.plan(wanted, machine)
    # sudo and bash start while the boot goes on: they need the account, and bash then waits to be let go. A hook may
    # change the account, so where there are hooks sudo starts behind them.
    first = len(planned) if machine.hooks else sum(each.step == "account" for each in planned)
    progress.carry_out(planned[:first])
    job_environment = environment.job(wanted, machine)
    passed = job_environment.passed
    argv = handoff.argv(wanted.user, wanted.working_dir, command, passed)
    job = supervise.start(lambda: caller.exec(argv, handoff.environ(passed)))
    progress.carry_out(planned[first:])

    milliseconds = (time.perf_counter() - began) * 1000
    told = report.to_json(
        {
            "start": f"{caller.identity.uid}:{caller.identity.gid}",
            "user": f"{wanted.user} ({wanted.uid}:{wanted.gid})",
            "ms": round(milliseconds, 3),
            "steps": progress.steps(),
            "warnings": [*progress.warnings],
        }
    )
    apply_all([WriteFile(ROOT, report.BOOT_JSON, told.encode(), 0o644)], {})
    report.log(f"{wanted.user} ({wanted.uid}:{wanted.gid}) in {wanted.working_dir}, ready in {milliseconds:.0f} ms")
    handoff.let_go(environment.job_script(job_environment.script))
    return supervise.run(job, handoff.is_starting)


def _environ(fd: int) -> dict[str, str]:
    """The pod's environment, which docker/entry.c kept from root's programs. Of two values the first counts.

    What has no name is dropped: execve takes it from a runtime, but not from python.
    """
    os.lseek(fd, 0, os.SEEK_SET)
    with open(fd, "rb") as file:
        pairs = [os.fsdecode(entry).partition("=") for entry in file.read().split(b"\0") if entry.find(b"=") > 0]
    return {name: value for name, _, value in reversed(pairs)}


def _is_held(path: str) -> bool:
    """Whether the supervisor of a boot lives: it holds the lock, which the kernel releases with it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _hold(path: str) -> int:
    try:
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise RefusedError(
            f"{path} cannot be locked: {reason(error)}. The boot needs a writable /run and /etc: start the container "
            "with a writable root file system (readOnlyRootFilesystem: false)"
        ) from error
    return fd


def _require_root() -> None:
    """See that docker/entry.c could make us root.

    Raises:
        RefusedError: it could not, or would not.
    """
    if os.geteuid() == 0:
        if os.getpid() != 1:
            supervise.adopt_orphans()
        return
    with open("/proc/self/status") as file:
        no_new_privs = "NoNewPrivs:\t1" in file.read()
    if no_new_privs:
        why = "it runs with no_new_privs. Set allowPrivilegeEscalation: true (docker: without no-new-privileges)"
    elif os.getpid() != 1:
        why = "mlo-entry is not PID 1. Start it without docker --init or shareProcessNamespace, or as root"
    else:
        why = "mlo-entry has lost its setuid bit, or lies on a nosuid mount or in a user namespace. Start it as root"
    raise RefusedError(f"the container starts as uid {os.getuid()} and cannot make its account: {why}")


def _run_plain(caller: Caller, command: list[str], environ: Mapping[str, str]) -> None:
    if os.geteuid() != caller.identity.uid:
        drop_to(caller.identity)
    caller.exec(command, environ)


def _print_plan(environ: dict[str, str]) -> int:
    import json

    files, _ = host.read_secrets(environ.get("MLO_SECRETS_DIR") or settings.SECRETS_DIR)
    if absent := settings.missing(settings.merged(environ, files)):
        report.warning(f"{', '.join(absent)} not set: a boot would only run the command")
        return 0
    try:
        wanted = settings.from_environ(environ, files)
    except BootError as error:
        report.error(str(error))
        return error.exit_code
    machine = host.read(accounts.supplementary(os.getgroups(), os.getgid(), wanted.gid))
    rows = [
        {"step": each.step, "action": type(each.action).__name__, **each.action.shown()}
        for each in boot.plan(wanted, machine)
    ]
    print("[" + ",\n ".join(json.dumps(row, default=repr) for row in rows) + "]")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
