"""Flags as cobra reads them, and what refuses a command line."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

Rule = Callable[[str], object]


class Wrong(Exception):
    """Ends the program."""

    def __init__(self, message: str, code: int = 2) -> None:
        super().__init__(message)
        self.code = code


def text(value: str) -> str:
    if not value:
        raise ValueError("empty")
    return value


def pattern(expression: str) -> Rule:
    def rule(value: str) -> str:
        if not re.fullmatch(expression, value):
            raise ValueError(f"does not match {expression}")
        return value

    return rule


NUMBER = pattern(r"\d+(\.\d+)?")
NAME = pattern(r"[a-z]([-a-z0-9]*[a-z0-9])?")
ASSIGNMENT = pattern(r"(?s)[A-Za-z_][A-Za-z0-9_]*=.*")
PAIR = pattern(r"[^=]+=.*")
DURATION = pattern(r"(\d+[dhms])+")
CLAIM_OPTION = pattern(r"claimname=[a-z0-9.-]+,path=/[^,]*")
BOOLEAN = None


@dataclass(frozen=True)
class Flag:
    """A flag: its rule, or none for a boolean; whether it may come again; its short form."""

    rule: Rule | None = text
    many: bool = False
    short: str = ""


@dataclass
class Parsed:
    """What a command line says."""

    words: list[str]
    flags: dict[str, list[str]]
    rest: list[str] = field(default_factory=list)

    def one(self, name: str, default: str = "") -> str:
        return self.flags.get(name, [default])[-1]


def parse(argv: list[str], flags: dict[str, Flag]) -> Parsed:
    """Read flags as cobra does, and refuse what it would not know."""
    shorts = {f"-{flag.short}": name for name, flag in flags.items() if flag.short}
    parsed = Parsed(words=[], flags={})
    words = iter(argv)
    for word in words:
        if word == "--":
            parsed.rest = list(words)
            break
        if not word.startswith("-") or word == "-":
            parsed.words.append(word)
            continue
        given, equal, value = word.partition("=")
        name = shorts.get(given, given.removeprefix("--") if given.startswith("--") else "")
        if name not in flags:
            raise Wrong(f"unknown flag: {given}")
        flag = flags[name]
        if flag.rule is BOOLEAN:
            value = value if equal else "true"
            if value not in ("true", "false"):
                raise Wrong(f"invalid argument {value!r} for {given}: it is a boolean")
        elif not equal:
            value = next(words, "")
        if flag.rule is not BOOLEAN:
            try:
                flag.rule(value)
            except ValueError as error:
                raise Wrong(f"invalid argument {value!r} for {given}: {error}") from None
        if name in parsed.flags and not flag.many:
            raise Wrong(f"{given} is given twice")
        parsed.flags.setdefault(name, []).append(value)
    for word in parsed.rest:
        # What users report as mangled on its way to the pod.
        if re.search(r"[\"'`\\\n]|[^\x20-\x7e]", word):
            raise Wrong(f"{word!r} would not reach the pod as it is")
    return parsed


def need(parsed: Parsed, *names: str) -> None:
    for name in names:
        if name not in parsed.flags:
            raise Wrong(f'required flag "{name}" not set')


def claim(option: str) -> tuple[str, str]:
    """The claim and the path of `claimname=NAME,path=/path`."""
    parts = dict(part.split("=", 1) for part in option.split(","))
    return parts["claimname"], parts["path"]


PROJECT = {"project": Flag(short="p")}
DESCRIBE = {"output": Flag(pattern("json|yaml|wide|table"), short="o"), **PROJECT}
LIST = {"all": Flag(BOOLEAN, short="A"), **PROJECT}
LOGS = {
    "follow": Flag(BOOLEAN, short="f"),
    "pod": Flag(),
    "since": Flag(DURATION),
    "tail": Flag(pattern(r"\d+"), short="t"),
    **PROJECT,
}
EXEC = {"stdin": Flag(BOOLEAN, short="i"), "tty": Flag(BOOLEAN, short="t"), **PROJECT}
