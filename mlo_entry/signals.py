"""The signal module without its enums, which cost more than the boot's own work before PID 1 can be stopped."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as raw
else:
    import _signal as raw

__all__ = ["EVERY", "STOPS", "SYNCHRONOUS", "raw", "reset", "unblock"]

SYNCHRONOUS = {raw.SIGSEGV, raw.SIGBUS, raw.SIGFPE, raw.SIGILL, raw.SIGTRAP, raw.SIGABRT, raw.SIGSYS}
STOPS = (raw.SIGTERM, raw.SIGINT, raw.SIGHUP, raw.SIGQUIT)
EVERY = set(range(1, raw.NSIG)) - {raw.SIGKILL, raw.SIGSTOP, 32, 33}  # 32 and 33 are the C library's own


def reset() -> None:
    """Default dispositions, whatever was inherited or python set (it ignores SIGPIPE)."""
    for number in EVERY:
        raw.signal(number, raw.SIG_DFL)


def unblock() -> None:
    """Let every signal through that docker/entry.c or the supervisor held."""
    raw.pthread_sigmask(raw.SIG_SETMASK, set())
