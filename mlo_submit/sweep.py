"""A sweep: what differs from task to task of an array, from a CSV or a TOML file. Row N is that of index N, from 0.

A CSV file names variables in its header; a TOML file has tables `[[task]]`. `args` are words for the command.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mlo_submit import units
from mlo_submit.array import MAX_TASKS

ARGS: Final = "args"
MAX: Final = 96 * 1024  # characters, packed: of the 128 KiB of a variable and of a word, the job's flags need some
SHOWN: Final = 10  # problems


@dataclass(frozen=True, kw_only=True)
class Task:
    """What one task has of its own: variables, and words at the end of the command."""

    env: Mapping[str, str]
    args: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """The tasks of a file, packed; `file` is its name as the user gave it."""

    file: str
    rows: str

    def tasks(self) -> list[Task]:
        """The tasks, by their index."""
        return unpack(self.rows)


def read(file: str) -> Sweep:
    """The sweep of a file.

    Raises:
        ValueError: everything that is wrong with it, as the end of a sentence that starts with its name.
    """
    try:
        text = Path(file).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    kind = Path(file).suffix.lower()
    if kind not in (".csv", ".toml"):
        raise ValueError("is neither a .csv nor a .toml file")
    problems: list[str] = []
    tasks = (_csv if kind == ".csv" else _toml)(text, problems)
    if problems:
        more = f"\n  and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise ValueError("cannot be used:" + "".join(f"\n  {each}" for each in problems[:SHOWN]) + more)
    if not tasks:
        raise ValueError("has no task")
    if len(tasks) > MAX_TASKS:
        raise ValueError(f"has {len(tasks)} tasks, more than {MAX_TASKS}: make several sweeps of it")
    return Sweep(file=file, rows=pack(tasks))


def pack(tasks: Iterable[Task]) -> str:
    """Tasks as one word of ASCII: base64 of zlib of JSON, the pod's variable MLO_SWEEP.

    Raises:
        ValueError: it is too long a word.
    """
    import json
    from base64 import b64encode
    from zlib import compress

    rows = [
        {**({"env": dict(task.env)} if task.env else {}), **({"args": list(task.args)} if task.args else {})}
        for task in tasks
    ]
    text = b64encode(compress(json.dumps(rows, separators=(",", ":")).encode(), 9)).decode()
    if len(text) > MAX:
        raise ValueError(
            f"is too much for a variable of a pod, which holds it: {len(text) // 1024} KiB packed, of {MAX // 1024}. "
            "Put what is long into files on scratch, and let the sweep name them"
        )
    return text


def unpack(text: str) -> list[Task]:
    """What `pack` packed. Raises ValueError where it did not."""
    import json
    from base64 import b64decode
    from zlib import decompress
    from zlib import error as ZlibError

    try:
        return [
            Task(
                env={str(name): str(value) for name, value in row.get("env", {}).items()}, args=tuple(row.get(ARGS, ()))
            )
            for row in json.loads(decompress(b64decode(text, validate=True)))
        ]
    except (ZlibError, AttributeError, TypeError) as error:
        raise ValueError(str(error)) from None


def _csv(text: str, problems: list[str]) -> list[Task]:
    import csv
    import io

    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_names(header, "its header", problems)
        if twice := {name for name in header if header.count(name) > 1}:
            problems.append(f"its header names {', '.join(sorted(twice))} twice")
        tasks = []
        for row in reader:
            where = f"line {reader.line_num}"
            if row and len(row) != len(header):
                problems.append(f"{where} has {len(row)} cells, and the header {len(header)}")
            elif row:  # not an empty line
                cells = dict(zip(header, row, strict=True))
                tasks.append(_task(cells, _split(cells.pop(ARGS, ""), where, problems), where, problems))
    except csv.Error as error:
        problems.append(f"line {reader.line_num}: {error}")
    return tasks if not problems else []


def _split(text: str, where: str, problems: list[str]) -> list[str]:
    import shlex

    try:
        return shlex.split(text)
    except ValueError as error:
        problems.append(f"{where}: {ARGS}: {str(error).lower()}")
        return []


def _toml(text: str, problems: list[str]) -> list[Task]:
    import sys

    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problems.append(str(error))
        return []
    tables = content.pop("task", [])
    if content or not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        problems.append(
            "it must hold tables [[task]], and nothing else" + (f": not {', '.join(content)}" if content else "")
        )
        return []
    tasks = []
    for index, table in enumerate(tables):
        where = f"task {index}"
        args = table.pop(ARGS, [])
        if not isinstance(args, list):
            problems.append(f"{where}: {ARGS} must be a list")
            args = []
        _check_names(table, where, problems)
        tasks.append(_task(table, args, where, problems))
    return tasks


def _task(env: Mapping[str, Any], args: Sequence[Any], where: str, problems: list[str]) -> Task:
    def text(name: str, value: object) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        if not isinstance(value, (str, int, float)) or "\0" in str(value):
            problems.append(f"{where}: {name} must be a text, a number, true or false")
        return str(value)

    return Task(
        env={name: text(name, value) for name, value in env.items()}, args=tuple(text(ARGS, word) for word in args)
    )


def _check_names(names: Iterable[str], where: str, problems: list[str]) -> None:
    for name in names:
        try:
            if name != ARGS:
                units.variable(name)
        except ValueError as error:
            problems.append(f"{where}: {name!r} {error}")
