"""What people write on command lines and in .env, and what it means: durations, quantities, names.

Every function raises ValueError with a message that completes "VALUE …".
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", re.ASCII)
_QUANTITY = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)(k|[MGTP]|[KMGTP]i|)", re.ASCII)
CPUS = re.compile(r"\d+(?:\.\d+)?|\d+m", re.ASCII)
_UNITS = ("", "k", "m", "g", "t", "p")
_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")
_LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-._A-Za-z0-9]*[A-Za-z0-9])?)?")
_LABEL_KEY = re.compile(
    r"(?:[a-z0-9][-.a-z0-9]{0,251}[a-z0-9]/|[a-z0-9]/)?[A-Za-z0-9](?:[-._A-Za-z0-9]{0,61}[A-Za-z0-9])?"
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ACCOUNT = re.compile(r"[A-Za-z_][A-Za-z0-9._-]{0,31}")
_IMAGE = re.compile(r"[A-Za-z0-9][-A-Za-z0-9._/:@]*")
_RESOURCE = re.compile(r"[a-z0-9][-.a-z0-9]*/[A-Za-z0-9][-._A-Za-z0-9]*")

MAX_DURATION = 366 * 24 * 3600  # seconds
MIN_MEMORY = 4 * 2**20  # bytes
MAX_ID = 4294967293


def duration(text: str) -> int:
    """Seconds in `12h`, `45m`, `2d6h30m` or `90` (a bare number is seconds); at most a year."""
    match = _DURATION.fullmatch(text)
    if not text or not match:
        raise ValueError("is no duration: write 12h, 45m, 2d6h30m, or a number of seconds")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if not 0 < total <= MAX_DURATION:
        raise ValueError("must be more than 0 seconds and at most 366 days")
    return total


def quantity(text: str) -> int:
    """Bytes in `64G` (10**9 each) or `64Gi` (2**30 each)."""
    match = _QUANTITY.fullmatch(text)
    if not match:
        raise ValueError("is no amount of memory: write 64G, 64Gi or 512Mi")
    number, unit = match.groups()
    base = 1024 if unit.endswith("i") else 1000
    amount = int(float(number) * math.pow(base, _UNITS.index(unit[:1].lower())))
    if amount < MIN_MEMORY:
        raise ValueError("is less than 4 MiB, which no job can live in: write 64G, 64Gi or 512Mi")
    return amount


def size(count: int) -> str:
    """Bytes for people: 64 GiB, 1.5 KiB."""
    amount, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1024 or unit == "TiB":
            break
        amount /= 1024
    return f"{amount:.1f}".removesuffix(".0") + f" {unit}"


def label(text: str) -> str:
    """A DNS label, as Kubernetes wants the names of jobs and namespaces: returned unchanged."""
    if len(text) > 63 or not _LABEL.fullmatch(text):
        raise ValueError(
            "is no name for Kubernetes: at most 63 of a-z, 0-9 and '-', starting and ending with a letter or digit"
        )
    return text


def subdomain(text: str) -> str:
    """DNS labels with dots between, as Kubernetes wants the names of Secrets and PVCs: returned unchanged."""
    if len(text) > 253 or not all(_LABEL.fullmatch(part) for part in text.split(".")):
        raise ValueError(
            "is no name for Kubernetes: at most 253 of a-z, 0-9, '-' and '.', "
            "each part starting and ending with a letter or digit"
        )
    return text


def label_value(text: str) -> str:
    """The value of a Kubernetes label: returned unchanged."""
    if len(text) > 63 or not _LABEL_VALUE.fullmatch(text):
        raise ValueError(
            "cannot be a label: at most 63 letters, digits, '-', '_', '.', starting and ending with a letter or digit"
        )
    return text


def label_values(text: str) -> tuple[str, ...]:
    """Values of a label, with commas between."""
    return tuple(label_value(part.strip()) for part in text.split(",") if part.strip())


def label_key(text: str) -> str:
    """The key of a Kubernetes label: returned unchanged."""
    if not _LABEL_KEY.fullmatch(text):
        raise ValueError("cannot be the key of a label, such as run.ai/type")
    return text


def variable(text: str) -> str:
    """The name of an environment variable: returned unchanged."""
    if not _VARIABLE.fullmatch(text):
        raise ValueError("cannot be the name of a variable: letters, digits and '_', not starting with a digit")
    return text


def pairs(text: str) -> tuple[tuple[str, str], ...]:
    """`key=value,key2=value2` as pairs, in their order."""
    found = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        key, equal, value = item.partition("=")
        if not equal or not key:
            raise ValueError(f"must be key=value pairs with commas between, and {item!r} has no '='")
        found.append((key.strip(), value.strip()))
    return tuple(found)


def labels(text: str) -> tuple[tuple[str, str], ...]:
    """Pairs that are Kubernetes labels, such as a node selector."""
    found = pairs(text)
    for key, value in found:
        label_key(key)
        label_value(value)
    return found


def resources(text: str) -> tuple[tuple[str, int], ...]:
    """Pairs that are extended resources, such as `rdma/rdma=1`."""
    found = pairs(text)
    for key, value in found:
        if not _RESOURCE.fullmatch(key) or not (value.isascii() and value.isdigit()):
            raise ValueError(f"must be resources such as rdma/rdma=1, not {key}={value}")
    return tuple((key, int(value)) for key, value in found)


def account(text: str) -> str:
    """The name of an account or of a group: returned unchanged."""
    if not _ACCOUNT.fullmatch(text) or text in ("root", "ALL"):
        raise ValueError(
            "is no account of a pod: at most 32 letters, digits, '.', '_', '-', starting with a letter or '_', "
            "and not root or ALL"
        )
    return text


def identity(text: str) -> int:
    """A uid or gid, other than root's."""
    if not (text.isascii() and text.isdigit() and text[0] != "0" and len(text) <= 10 and int(text) <= MAX_ID):
        raise ValueError(f"is no id: a decimal number from 1 to {MAX_ID}")
    return int(text)


def path(text: str) -> str:
    """An absolute path on another machine, such as a pod: without a '/' at its end."""
    if not text.startswith("/") or ".." in text.split("/") or not text.isprintable():
        raise ValueError("is no absolute path: it must start with '/' and hold neither '..' nor control characters")
    return text.rstrip("/") or "/"


def image(text: str) -> str:
    """The name of an image: returned unchanged."""
    if not _IMAGE.fullmatch(text):
        raise ValueError("is no image, such as registry.example.org/group/name:tag")
    return text


def word(text: str) -> str:
    """Text without a blank: returned unchanged."""
    if not text.isprintable() or " " in text:
        raise ValueError("must be one word")
    return text


def host(text: str) -> str:
    """A machine as ssh takes it (HOST, USER@HOST, or a name of its config file): returned unchanged."""
    if text.startswith("-"):
        raise ValueError("is no host: write HOST or USER@HOST")
    return word(text)


def one_of(*choices: str) -> Callable[[str], str]:
    """The rule that text is one of these."""

    def rule(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return rule
