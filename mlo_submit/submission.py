"""The flags of a job, kept beside it, so that `rerun` can submit it again: JSON of what differs from the defaults.

Flags name secrets and hold none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from mlo_submit.errors import RefusedError
from mlo_submit.job import GRACE, Flags, Mount
from mlo_submit.sweep import Sweep

MAX = 120 * 1024  # characters; a word of a command line may take 128 KiB, and all annotations of an object 256


def encode(flags: Flags) -> str:
    """The flags as text; empty where they are too long to be kept."""
    default = asdict(Flags())
    text = json.dumps({key: value for key, value in asdict(flags).items() if value != default[key]}, sort_keys=True)
    return text if len(text) <= MAX else ""


def decode(text: str) -> Flags:
    """The flags that `encode` wrote.

    Raises:
        RefusedError: it did not write this text, or another version did.
    """
    try:
        flags: Flags = _read(json.loads(text), Flags, "it is no object")
    except (ValueError, RecursionError) as error:
        raise RefusedError(
            f"the job's submission cannot be read ({error}): another version of mlo-submit wrote it, or somebody "
            "changed it. Submit the job anew with `mlo-submit run`."
        ) from None
    return flags


def grace(text: str) -> int:
    """The grace period, in seconds, of a job that keeps this submission; the default where it tells none."""
    try:
        given = decode(text).grace
    except RefusedError:
        given = None
    return GRACE if given is None else given


def _read(value: Any, hint: Any, where: str) -> Any:
    """A value of JSON as its type. Raises ValueError where it is of another."""
    kind, parts = get_origin(hint), get_args(hint)
    if kind in (Union, UnionType):
        return None if value is None else _read(value, parts[0], where)
    if kind is tuple and isinstance(value, list):
        return tuple(_read(item, parts[0], where) for item in value)
    if isinstance(value, dict) and kind is Mapping:
        return {_read(key, str, where): _read(item, str, where) for key, item in value.items()}
    if isinstance(value, dict) and hint in (Flags, Mount, Sweep):
        hints = get_type_hints(hint)
        needed = {field.name for field in fields(hint) if {field.default, field.default_factory} == {MISSING}}
        if wrong := (value.keys() - hints.keys()) | (needed - value.keys()):
            raise ValueError(", ".join(map(repr, sorted(wrong))))
        return hint(**{key: _read(item, hints[key], key) for key, item in value.items()})
    if kind is Literal and value in parts:
        return value
    if type(value) is hint and (hint is not int or value >= 0) and (hint is not str or _is_argument(value)):
        return value
    raise ValueError(where)


def _is_argument(text: str) -> bool:
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False
