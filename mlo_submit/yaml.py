"""Plain data as YAML, for people to read and kubectl to apply; PyYAML's import takes as long as half a dry run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

# What every YAML parser reads as this string and nothing else: no yes, no 1e3, no null, no key in it.
_PLAIN = re.compile(r"(?!(?:y|n|yes|no|on|off|true|false|null|none)\Z)[A-Za-z/][A-Za-z0-9_./-]*", re.IGNORECASE)
_UNPRINTABLE = re.compile(r"[\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff\ufffe\uffff]")


def dump(value: object) -> str:
    """YAML of mappings, sequences, strings, numbers, booleans and None, in the order given."""
    return "\n".join(_lines(value)) + "\n"


def _lines(value: object) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _entry(f"{_scalar(key)}:", item, inset="  ")
    elif isinstance(value, Sequence) and not isinstance(value, str) and value:
        for item in value:
            first, *rest = _lines(item)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)
    else:
        yield _scalar(value)


def _entry(head: str, item: object, *, inset: str) -> Iterator[str]:
    if isinstance(item, (Mapping, list, tuple)) and item:
        yield head
        indent = inset if isinstance(item, Mapping) else ""
        yield from (indent + line for line in _lines(item))
    else:
        yield f"{head} {_scalar(item)}"


def _scalar(value: object) -> str:
    if isinstance(value, str):
        if _PLAIN.fullmatch(value):
            return value
        return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(value, ensure_ascii=False))
    return json.dumps(value)
