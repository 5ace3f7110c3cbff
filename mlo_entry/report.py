"""What the boot tells: log lines on stderr, /run/mlo/boot.json, and how the job ended."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    Json: TypeAlias = "dict[str, Json] | list[Json] | str | float | bool | None"

BOOT_JSON = "/run/mlo/boot.json"
IDLE_JSON = "/run/mlo/idle.json"
OVER = "/run/mlo/over"  # left by the job's own watcher, as root, before it asks PID 1 to stop
IDLE_VARIABLE = "MLO_STOP_WHEN_IDLE"
TERMINATION_LOG = "/dev/termination-log"
READ_SECONDS = 1.0  # for a log that does not keep up
NOTE_SECONDS = 0.05  # until what was read is in the log, on a busy machine, too

_CONTROL = {number: f"\\x{number:02x}" for number in (*range(32), *range(127, 160))}


def log(message: str) -> None:
    """One line on stderr. Control characters are shown, so that no value can forge a line."""
    os.write(2, f"[mlo] {message.translate(_CONTROL)}\n".encode("utf-8", "backslashreplace"))


def warning(message: str) -> None:
    """A line for what the job goes on without."""
    log(f"WARNING: {message}")


def error(message: str) -> None:
    """A line for what ends the boot."""
    log(f"ERROR: {message}")


def not_started(problem: BaseException) -> int:
    """Tell why the command could not be started. Returns the exit code for it, as shells have them."""
    what = f"{problem.filename}: {problem.strerror}" if isinstance(problem, OSError) else repr(problem)
    error(f"the command cannot be started: {what}")
    return 127 if isinstance(problem, FileNotFoundError) else 126


def ended(code: int, oom_kills: int, memory_limit: int | None, *, out_of_time: bool = False) -> None:
    """Tell how the job ended: `code` as os.waitstatus_to_exitcode gives it, `memory_limit` in bytes."""
    text = f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    if oom_kills:
        limit = f" (limit {size(memory_limit)})" if memory_limit else ""
        text += (
            f": out of memory{limit}"
            if code in (-9, 137)
            else f"; {oom_kills} of its processes ran out of memory{limit}"
        )
    _ended(text + ("; its time limit was over" if out_of_time else ""))


def is_out_of_time() -> bool:
    """Whether the job's time limit is over. Told once: a container that is started again has all of its time."""
    try:
        os.unlink(OVER)
    except OSError:
        return False
    return True


def was_idle() -> bool:
    """Whether `mlo-idle` has ended the job."""
    try:
        with open(IDLE_JSON) as file:
            return '"stopped": true' in file.read(1024)
    except (OSError, UnicodeDecodeError):
        return False


def ended_idle() -> None:
    """Tell that the job was ended as it was asked to be: nobody used its pod."""
    _ended("was stopped: its pod was not used")


def _ended(text: str) -> None:
    _let_output_be_read()
    log(f"the job {text}")
    try:
        with open(TERMINATION_LOG, "r+") as file:  # only where the runtime put one
            file.write(text)
            file.truncate()  # the job may have left a word, too
    except OSError:
        pass


def _let_output_be_read() -> None:
    """Wait a moment for a log that reads stdout and stderr one by one: what the job wrote comes before how it ended."""
    import fcntl
    import stat
    import termios
    import time

    deadline = time.monotonic() + READ_SECONDS
    nothing = bytes(4)
    try:
        if stat.S_ISFIFO(os.fstat(1).st_mode):
            while fcntl.ioctl(1, termios.FIONREAD, nothing) != nothing and time.monotonic() < deadline:
                time.sleep(NOTE_SECONDS)
            time.sleep(NOTE_SECONDS)
    except OSError:
        pass  # a job without stdout


def size(count: int) -> str:
    """Bytes for people: 64 GiB."""
    value, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.1f}".removesuffix(".0") + f" {unit}"


def to_json(value: Json) -> str:
    """JSON text, ASCII alone. The json module would cost 3 ms between the boot and the command."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "{" + ", ".join(f"{to_json(key)}: {to_json(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(to_json, value)) + "]"
    if isinstance(value, str):
        return '"' + "".join(c if " " <= c <= "~" and c not in '"\\' else _escaped(c) for c in value) + '"'
    return repr(value)


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))
