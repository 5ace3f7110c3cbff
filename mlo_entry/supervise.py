"""PID 1 after the boot: starts the job, passes signals on, reaps, waits for the job's last process, tells how it ended.

An init that ends with its child lets the kernel kill what is left: under `zsh -c 'a && python train.py'` the shell dies
of SIGTERM at once, and python in the middle of its checkpoint. So after a stop this one waits until the job's process
group is empty; the runtime's grace period is the bound.
"""

from __future__ import annotations

import os

from . import cgroup, report, signals
from .signals import raw

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PASSED_ON = signals.EVERY - signals.SYNCHRONOUS - {raw.SIGCHLD, raw.SIGTTIN, raw.SIGTTOU}
OUT_OF_MEMORY = 137  # as where the kernel kills the whole container: Kubernetes does not try such a job again
POLL_SECONDS = 0.2  # a process of the group may have another parent than us, whose end no signal tells


def start(launch: Callable[[], None]) -> int:
    """Start the job that `launch` execs, in a process group of its own. Returns its process id."""
    raw.pthread_sigmask(raw.SIG_BLOCK, signals.EVERY)
    job = os.fork()
    if not job:
        _start(launch)
    _lead(job)
    signals.unblock()
    return job


def run(job: int, is_starting: Callable[[int], bool] = lambda _: False) -> int:
    """Supervise a job to its end.

    `is_starting` tells of its process id whether that is still on the way to the user's command: a stop then ends it,
    whatever the program on the way makes of the signal (sudo drops one that comes before it listens).

    Returns the exit code of its first process, or 128+n when signal n ended that; 137 when it failed and the kernel had
    killed one of the job's processes for want of memory; 143 when its time limit was over, whatever it made of that.
    """
    raw.pthread_sigmask(raw.SIG_BLOCK, signals.EVERY)
    oom_kills = cgroup.oom_kills()
    status, out_of_time = _wait(job, is_starting)
    code = os.waitstatus_to_exitcode(status)
    if code in (0, -raw.SIGTERM, 128 + raw.SIGTERM) and report.was_idle():
        report.ended_idle()
        return 0
    oom_kills = cgroup.oom_kills() - oom_kills
    report.ended(code, oom_kills, cgroup.memory_limit(), out_of_time=out_of_time)
    if out_of_time:
        return 128 + raw.SIGTERM
    if code and oom_kills:
        return OUT_OF_MEMORY
    return 128 - code if code < 0 else code


def is_alive(group: int) -> bool:
    """Whether a process group has a process that has not been reaped."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # what is left of it runs by sudo
        pass
    return True


def adopt_orphans() -> None:
    """Where another init is PID 1: make the kernel give us the job's orphans, to reap and to wait for."""
    import ctypes  # costs 5 ms, and is needed only here

    pr_set_child_subreaper = 36
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


def _start(launch: Callable[[], None]) -> None:
    try:
        _lead(0)
        signals.reset()
        signals.unblock()
        launch()
    except BaseException as error:  # the child must never return into its parent's code
        os._exit(report.not_started(error))


def _lead(job: int) -> None:
    """Give the job a process group of its own, and the terminal where there is one. Both sides do it; neither waits."""
    try:
        os.setpgid(job, job)
        os.tcsetpgrp(0, job or os.getpid())  # from the background this stops the caller, but SIGTTOU is blocked
    except OSError:
        pass  # no terminal, or the job has begun already


def _wait(job: int, is_starting: Callable[[int], bool]) -> tuple[int, bool]:
    """Pass signals on until the job has ended, and, after a stop, its process group too.

    Returns its wait status, and whether its time limit was over.
    """
    status: int | None = None
    stopped_by = 0
    out_of_time = False
    while True:
        while (ended := _reap()) is not None:  # the boot's own children first
            if ended[0] == job:
                status = ended[1]
        if status is not None and not (stopped_by and is_alive(job)):
            return status, out_of_time
        info = raw.sigwaitinfo(signals.EVERY) if status is None else raw.sigtimedwait(signals.EVERY, POLL_SECONDS)
        if info is None or info.si_signo not in PASSED_ON:
            continue
        is_stop = info.si_signo in signals.STOPS
        out_of_time = out_of_time or (is_stop and report.is_out_of_time())
        if is_stop and stopped_by and out_of_time:
            continue  # its ranks and the cluster end a job at about the same time: no second TERM in a checkpoint
        _signal_group(job, info.si_signo)
        if is_stop:
            stopped_by = info.si_signo
            if status is None and is_starting(job):
                _signal_group(job, raw.SIGKILL)
                return stopped_by, False


def _reap() -> tuple[int, int] | None:
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, status) if pid else None


def _signal_group(job: int, number: int) -> None:
    try:
        os.killpg(job, number)
    except ProcessLookupError:
        pass  # it has just ended
