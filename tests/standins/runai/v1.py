"""Version 1, the classic command line."""

from __future__ import annotations

from tests.standins.runai import cluster
from tests.standins.runai.flags import (
    ASSIGNMENT,
    BOOLEAN,
    CLAIM_OPTION,
    DESCRIBE,
    DURATION,
    EXEC,
    LIST,
    LOGS,
    NAME,
    NUMBER,
    PAIR,
    PROJECT,
    Flag,
    Parsed,
    Wrong,
    claim,
    need,
    parse,
    pattern,
)
from tests.standins.runai.submission import create, variable

SUBMIT = {
    "name": Flag(NAME),
    "project": Flag(short="p"),
    "image": Flag(short="i"),
    "gpu": Flag(NUMBER, short="g"),
    "cpu": Flag(NUMBER),
    "cpu-limit": Flag(NUMBER),
    "memory": Flag(pattern(r"\d+(\.\d+)?[kMGTP]i?")),
    "memory-limit": Flag(pattern(r"\d+(\.\d+)?[kMGTP]i?")),
    "interactive": Flag(BOOLEAN),
    "preemptible": Flag(BOOLEAN),
    "backoff-limit": Flag(pattern(r"\d+")),
    "ttl-after-finish": Flag(DURATION),
    "auto-deletion-time-after-completion": Flag(DURATION),
    "completions": Flag(pattern(r"\d+")),
    "parallelism": Flag(pattern(r"\d+")),
    "run-as-uid": Flag(pattern(r"\d+")),
    "run-as-gid": Flag(pattern(r"\d+")),
    "supplemental-groups": Flag(pattern(r"\d+(,\d+)*")),
    "run-as-user": Flag(BOOLEAN),
    "pvc": Flag(pattern(r"[a-z0-9.-]+:/[^:]*(:ro)?"), many=True),
    "existing-pvc": Flag(CLAIM_OPTION, many=True),
    "pvc-exists": Flag(CLAIM_OPTION, many=True),
    "environment": Flag(ASSIGNMENT, many=True, short="e"),
    "annotation": Flag(PAIR, many=True, short="a"),
    "label": Flag(PAIR, many=True, short="l"),
    "extended-resource": Flag(PAIR, many=True),
    "large-shm": Flag(BOOLEAN),
    "host-ipc": Flag(BOOLEAN),
    "host-network": Flag(BOOLEAN),
    "working-dir": Flag(),
    "image-pull-policy": Flag(pattern("Always|IfNotPresent|Never")),
    "allow-privilege-escalation": Flag(BOOLEAN),
    "node-pools": Flag(pattern(r"[\w.-]+(,[\w.-]+)*")),
    "node-type": Flag(),
    "port": Flag(pattern(r"\d+(:\d+)?"), many=True),
    "command": Flag(BOOLEAN),
}
DISTRIBUTED = {
    "workers": Flag(pattern(r"[1-9]\d*")),
    "min-replicas": Flag(pattern(r"\d+")),
    "max-replicas": Flag(pattern(r"\d+")),
    "clean-pod-policy": Flag(pattern("Running|All|None")),
}
V1_LOGS = {**LOGS, "since-time": Flag(), "timestamps": Flag(BOOLEAN)}


def run(argv: list[str]) -> int:
    """What `runai ARGV` does."""
    match argv:
        case ["submit", *rest]:
            return submit(parse(allow(rest), SUBMIT))
        case ["submit-dist", "pytorch", *rest]:
            parsed = parse(allow(rest), {**SUBMIT, **DISTRIBUTED})
            need(parsed, "workers")
            return submit(parsed)
        case ["list", "jobs", *rest]:
            return cluster.table(parse(rest, LIST))
        case ["describe", "job", *rest]:
            return cluster.job_info(parse(rest, DESCRIBE))
        case ["delete", "job", *rest]:
            return cluster.delete(parse(rest, PROJECT), "v1")
        case ["logs", *rest]:
            return cluster.logs(parse(rest, V1_LOGS), "v1")
        case ["exec", *rest]:
            return cluster.execute(parse(rest, EXEC), "v1")
        case ["bash", *rest]:
            return cluster.execute(parse([*rest, "-i", "-t", "--", "bash"], EXEC), "v1")
        case ["suspend" | "resume" as verb, *rest]:
            return cluster.suspend(parse(rest, PROJECT), "v1", verb == "suspend")
        case ["config", "project", _] | ["version"]:
            return 0
    raise Wrong(f'unknown command "{" ".join(argv[:2])}" for "runai"', 1)


def submit(parsed: Parsed) -> int:
    if parsed.words:
        raise Wrong(f"unexpected argument {parsed.words[0]!r}")
    need(parsed, "name", "project", "image")
    if parsed.one("preemptible") and not parsed.one("interactive"):
        raise Wrong("--preemptible is for interactive jobs")
    claims = []
    for item in parsed.flags.get("pvc", []):
        source, path, *read_only = item.split(":")
        claims.append((source, path, bool(read_only)))
    claims += [(*claim(option), False) for option in parsed.flags.get("existing-pvc", [])]
    return create(
        parsed,
        name=parsed.one("name"),
        kind="workspace" if parsed.one("interactive") else "pytorch" if "workers" in parsed.flags else "training",
        gpus=parsed.one("gpu", "0"),
        cpu=parsed.one("cpu"),
        memory=parsed.one("memory"),
        claims=claims,
        variables=[variable(item) for item in parsed.flags.get("environment", [])],
    )


def allow(argv: list[str]) -> list[str]:
    """`--allow-privilege-escalation true`, in two words, as the lab's scripts have it."""
    words: list[str] = []
    for number, word in enumerate(argv):
        if word == "--":
            return words + argv[number:]
        if word in ("true", "false") and words and words[-1] == "--allow-privilege-escalation":
            words[-1] += f"={word}"
        else:
            words.append(word)
    return words
