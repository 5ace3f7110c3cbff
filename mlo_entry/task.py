"""`mlo-task`: makes a pod a task of an array. It sets the index and what a sweep gives to it, then runs the command.

Kubernetes tells a pod its place in the array, and the command takes our place. Where nobody tells it, as on run:ai, the
task claims an index on scratch, and we stay: who keeps a claim must see how the task ends.
"""

from __future__ import annotations

import base64
import json
import os
import re
import zlib
from typing import TYPE_CHECKING

from . import report, signals
from .errors import BootError, DirectoryError, SettingsError, reason
from .host import is_variable
from .record import Record
from .signals import raw

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_TASKS = 10_000

_SPAN = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?", re.ASCII)


class Own(Record):
    """What a task has of its own: variables, which win over the pod's, and words at the end of the command."""

    env: Mapping[str, str]
    args: Sequence[str]


NOTHING = Own({}, ())


def start(argv: list[str]) -> int:
    """Run the command `argv` as the task that this pod is. Returns the exit code, where the command left us here."""
    signals.reset()  # python ignores SIGPIPE, and so would the command
    try:
        return _start(argv)
    except BootError as error:
        report.error(str(error))
        return error.exit_code


def _start(argv: list[str]) -> int:
    if not argv:
        raise SettingsError("a command is missing: mlo-task COMMAND…")
    if not os.environ.get("MLO_ARRAY"):
        raise SettingsError("this pod is no task of an array: MLO_ARRAY is not set")
    indices = read_indices(os.environ["MLO_ARRAY"])
    sweep = read_sweep(os.environ["MLO_SWEEP"], len(indices)) if os.environ.get("MLO_SWEEP") else None
    told = os.environ.get("JOB_COMPLETION_INDEX")
    claim = None
    if told:
        place = read_place(told, len(indices))
    else:
        from . import claims

        directory = claims_of(os.environ)
        try:
            claim = claims.claim(directory, indices, os.uname().nodename)
        except OSError as error:
            raise DirectoryError(f"no task can be claimed in {directory}: {reason(error)}") from None
        if claim is None:
            report.log(f"nothing is left to do: all {len(indices)} tasks of the array are done")
            return 0
        report.log(f"this is task {claim.index} of {os.environ['MLO_ARRAY']}")
        place = indices.index(claim.index)
    own = sweep[place] if sweep else NOTHING
    os.environ.update({**variables(indices, place), **own.env})
    command = [*argv, *own.args]
    try:
        if not claim:
            os.execvp(command[0], command)
        code = _run(command)
    except OSError as error:
        error.filename = command[0]  # execvp does not tell it
        return report.not_started(error)
    if code == 0:
        claim.done()
    return code


def _run(command: list[str]) -> int:
    """Run a command to its end. What is sent to the job's process group reaches it, and here only its end counts."""
    before = raw.pthread_sigmask(raw.SIG_BLOCK, signals.EVERY)
    child = os.posix_spawnp(command[0], command, os.environ, setsigmask=before)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return 128 - code if code < 0 else code


# ---- pure: from the environment of the pod to that of the task


def read_indices(text: str) -> tuple[int, ...]:
    """The indices of MLO_ARRAY, such as `1,3,7-9`, ascending.

    Raises:
        SettingsError: it is no such text.
    """
    found: list[int] = []
    for item in text.split(","):
        match = _SPAN.fullmatch(item)
        span = range(int(match[1]), int(match[2] or match[1]) + 1) if match else range(0)
        if not span or (found and span[0] <= found[-1]):
            raise SettingsError(f"MLO_ARRAY={text} is no ascending list of indices, such as 0-99 or 1,3,7-9")
        if len(found) + len(span) > MAX_TASKS:
            raise SettingsError(f"MLO_ARRAY={text} has more than {MAX_TASKS} tasks")
        found += span
    return tuple(found)


def read_place(text: str, count: int) -> int:
    """The place of a pod among `count` tasks.

    Raises:
        SettingsError: it is none.
    """
    if not (text.isascii() and text.isdecimal() and int(text) < count):
        raise SettingsError(f"JOB_COMPLETION_INDEX={text} is no place among the {count} tasks of MLO_ARRAY")
    return int(text)


def read_sweep(text: str, count: int) -> list[Own]:
    """What MLO_SWEEP gives to each of `count` tasks, in their order.

    Raises:
        SettingsError: it is not what mlo-submit writes.
    """
    try:
        rows = json.loads(zlib.decompress(base64.b64decode(text, validate=True)))
    except (ValueError, zlib.error, RecursionError) as error:
        raise SettingsError(f"MLO_SWEEP cannot be read: {error}") from None
    if not isinstance(rows, list) or len(rows) != count:
        raise SettingsError(f"MLO_SWEEP is no list of {count} tasks, as MLO_ARRAY has them")
    return [_own(row, number) for number, row in enumerate(rows)]


def _own(row: object, number: int) -> Own:
    if not isinstance(row, dict) or not row.keys() <= {"env", "args"}:
        raise SettingsError(f"MLO_SWEEP has no variables and words at place {number}")
    env, args = row.get("env", {}), row.get("args", [])
    if not isinstance(env, dict) or not all(is_variable(name) and _is_word(value) for name, value in env.items()):
        raise SettingsError(f"MLO_SWEEP has what is no variable at place {number}")
    if not isinstance(args, list) or not all(map(_is_word, args)):
        raise SettingsError(f"MLO_SWEEP has what is no word of a command at place {number}")
    return Own(env, args)


def _is_word(value: object) -> bool:
    try:
        return isinstance(value, str) and b"\0" not in os.fsencode(value)
    except UnicodeEncodeError:
        return False


def variables(indices: Sequence[int], place: int) -> dict[str, str]:
    """What tells a task its index: in our words, and in those of Slurm, which many scripts read."""
    return {
        "MLO_ARRAY_INDEX": str(indices[place]),
        "SLURM_ARRAY_TASK_ID": str(indices[place]),
        "SLURM_ARRAY_TASK_COUNT": str(len(indices)),
        "SLURM_ARRAY_TASK_MIN": str(indices[0]),
        "SLURM_ARRAY_TASK_MAX": str(indices[-1]),
    }


def claims_of(environ: Mapping[str, str]) -> str:
    """The directory of the claims: one for each submission.

    Raises:
        SettingsError: the environment names none.
    """
    home, name = environ.get("SCRATCH_HOME", ""), environ.get("MLO_ARRAY_ID", "")
    if not home or not name:
        missing = " and ".join(key for key in ("SCRATCH_HOME", "MLO_ARRAY_ID") if not environ.get(key))
        raise SettingsError(
            "which task of MLO_ARRAY this is cannot be told: there is no JOB_COMPLETION_INDEX, and to claim one on "
            f"scratch takes {missing}"
        )
    if "/" in name or name.startswith("."):
        raise SettingsError(f"MLO_ARRAY_ID={name} cannot be the name of a directory")
    return f"{home}/.mlo/arrays/{name}"
