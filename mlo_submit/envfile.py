"""The text of a `.env` → `EnvFile`: found, and read through python-dotenv's parser."""

from __future__ import annotations

import io
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from dotenv.parser import parse_stream
from dotenv.variables import Variable, parse_variables

from mlo_submit.errors import ConfigError
from mlo_submit.machine import Machine

_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_BINDING = re.compile(r"\s*(?:export[^\S\r\n]+)?(?:'[^']+'|[^=#\s]+)[^\S\r\n]*=(?P<space>[^\S\r\n]*)(?P<start>.?)")


@dataclass(frozen=True, kw_only=True)
class EnvFile:
    """A `.env` as it was read: values by key, the line of each key, and what is wrong with its form."""

    path: Path
    values: Mapping[str, str] = field(repr=False)
    lines: Mapping[str, int]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]


def find(machine: Machine, given: str | None) -> Path:
    """The .env to read: --env-file, MLO_ENV_FILE, ./.env, ~/.config/mlo/.env, in this order.

    Raises:
        ConfigError: there is none.
    """
    if chosen := given or machine.environ.get("MLO_ENV_FILE"):
        path = machine.path(chosen)
        if path.is_file():
            return path
        option, wrong = "--env-file" if given else "MLO_ENV_FILE", "is no file" if path.exists() else "does not exist"
        raise ConfigError(f"{path} ({option}) {wrong}: `mlo-submit init` writes one.")
    places = (machine.cwd / ".env", machine.config / ".env")
    for path in places:
        if path.is_file():
            return path
    raise ConfigError(
        f"there is no .env, neither {places[0]} nor {places[1]}. `mlo-submit init` writes one; "
        "--env-file names another place."
    )


def read(path: Path, environ: Mapping[str, str]) -> EnvFile:
    """Read a .env. `${NAME}` is a value given above in the file, or a variable of `environ`.

    Raises:
        ConfigError: the file cannot be read as text.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        world = path.stat().st_mode & stat.S_IROTH
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8.") from None
    file = parse(text, environ, path)
    if not world:
        return file
    return replace(file, warnings=(exposed(path), *file.warnings))


def exposed(path: Path) -> str:
    """The warning of a .env that everybody can read."""
    return f"{path} holds secrets, and everybody on this machine can read it: chmod 600 {path}"


def parse(text: str, environ: Mapping[str, str], path: Path) -> EnvFile:
    """Read the text of a .env; pure. `path` only names it."""
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    problems: list[str] = []
    warnings: list[str] = []
    for binding in parse_stream(io.StringIO(text.replace("\r\n", "\n"))):
        original = binding.original.string
        blank = len(original) - len(original.lstrip())
        line = binding.original.line + original[:blank].count("\n")
        key, value = binding.key, binding.value
        if binding.error:
            problems.append(f"line {line}: cannot be read: is a quote left open, or does text follow a closing one?")
        elif key is not None and value is None:
            problems.append(f"line {line}: has no '=': write KEY=value, or # before a comment")
        elif key is not None and value is not None:
            start = _BINDING.match(original)
            if start and start["space"] and start["start"] == "#":
                value = ""  # `KEY= # comment`; python-dotenv before 1.2 takes the comment for the value
            if not start or start["start"] != "'":
                value, complete = _interpolate(value, {**environ, **values})
                if not complete:
                    warnings.append(
                        f"{path} line {line}: {key} has a ${{NAME}} that is not set, and counts as empty; "
                        "single quotes keep a value as it is"
                    )
            if not _KEY.fullmatch(key):  # not shown: it may be a line of a key that was pasted without quotes
                problems.append(
                    f"line {line}: what stands before '=' cannot be a key: letters, digits, '-', '_' and '.' only; "
                    "a value of several lines needs quotes"
                )
                continue
            if "\0" in value:
                problems.append(f"line {line}: {key} holds a NUL byte, which no variable can")
            if any("\ud800" <= character <= "\udfff" for character in value):
                problems.append(
                    f"line {line}: {key} has a ${{NAME}} whose value is not UTF-8, and no Secret holds such: correct "
                    "the variable, or write the value here"
                )
                continue
            values[key], lines[key] = value, line
    return EnvFile(path=path, values=values, lines=lines, problems=tuple(problems), warnings=tuple(warnings))


def _interpolate(value: str, known: Mapping[str, str]) -> tuple[str, bool]:
    """The value with names replaced, and whether all of them are known or have a default."""
    atoms = list(parse_variables(value))
    names = [atom.name for atom in atoms if isinstance(atom, Variable) and atom.default is None]
    return "".join(atom.resolve(known) for atom in atoms), all(name in known for name in names)
