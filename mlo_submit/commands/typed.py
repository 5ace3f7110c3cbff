"""A job's flags as the words of a command line that says them."""

from __future__ import annotations

from collections.abc import Mapping

import click

from mlo_submit.commands import run, values
from mlo_submit.job import Flags, Mount
from mlo_submit.sweep import Sweep


def words(flags: Flags) -> list[str]:
    """What follows `mlo-submit run` to launch such a job."""
    found = []
    default = Flags()
    for option in run.command.params:
        value = getattr(flags, option.name or "", None)
        if not isinstance(option, click.Option) or value == getattr(default, option.name or "", None):
            continue
        name = next(word for word in option.opts if word.startswith("--"))
        if value is True:
            found.append(name)
            continue
        if isinstance(value, Mapping):
            value = tuple(f"{key}={text}" for key, text in value.items())
        for item in value if isinstance(value, tuple) else (value,):
            found += [name, _duration(item) if option.type is values.DURATION else _text(item)]
    return [*found, *(["--", *flags.argv] if flags.argv else [])]


def _text(value: object) -> str:
    if isinstance(value, Mount):
        return f"{value.source}:{value.target}" + (":ro" if value.read_only else "")
    return value.file if isinstance(value, Sweep) else str(value)


def _duration(seconds: int) -> str:
    text = ""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        text += f"{count}{unit}" if count else ""
    return text
