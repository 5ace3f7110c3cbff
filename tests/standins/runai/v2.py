"""Version 2, the command line of workspaces and trainings, in the releases of which the documentation tells."""

from __future__ import annotations

import re

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
    Wrong,
    claim,
    need,
    parse,
    pattern,
)
from tests.standins.runai.submission import create, variable

SUBMIT = {
    "project": Flag(short="p"),
    "image": Flag(short="i"),
    "gpu-devices-request": Flag(NUMBER, short="g"),
    "cpu-core-request": Flag(NUMBER),
    "cpu-memory-request": Flag(pattern(r"\d+(\.\d+)?[kMGTP]i?")),
    "existing-pvc": Flag(CLAIM_OPTION, many=True),
    "secret-volume": Flag(pattern(r"path=/[^,]*,name=[a-z0-9.-]+"), many=True),
    "run-as-uid": Flag(pattern(r"\d+")),
    "run-as-gid": Flag(pattern(r"\d+")),
    "supplemental-groups": Flag(pattern(r"\d+(,\d+)*")),
    "node-pools": Flag(many=True),
    "backoff-limit": Flag(pattern(r"\d+")),
    "restart-policy": Flag(pattern("Always|OnFailure|Never")),
    "termination-grace-period": Flag(DURATION),
    "auto-deletion-time-after-completion": Flag(DURATION),
    "large-shm": Flag(BOOLEAN),
    "host-ipc": Flag(BOOLEAN),
    "extended-resource": Flag(PAIR, many=True),
    "annotation": Flag(PAIR, many=True),
    "label": Flag(PAIR, many=True),
    "allow-privilege-escalation": Flag(BOOLEAN),
    "external-url": Flag(pattern(r"container=\d+"), many=True),
    "port": Flag(pattern(r"service-type=\w+,container=\d+,external=\d+"), many=True),
    "working-dir": Flag(),
    "image-pull-policy": Flag(pattern("Always|IfNotPresent|Never")),
    "command": Flag(BOOLEAN, short="c"),
}
RELEASE = {
    "v2.18": {
        "environment": Flag(ASSIGNMENT, many=True, short="e"),
        "preemptible": Flag(BOOLEAN),
    },
    "v2.25": {
        "environment-variable": Flag(ASSIGNMENT, many=True, short="e"),
        "environment": Flag(NAME),  # an asset
        "env-secret": Flag(pattern(r"[A-Za-z_]\w*=[a-z0-9.-]+,key=[-.\w]+"), many=True),
        "preemptibility": Flag(pattern("preemptible|non-preemptible")),
    },
}
V2_LIST = {name: Flag(BOOLEAN) for name in ("json", "yaml", "table", "no-headers")} | LIST
V2_LOGS = {**LOGS, "previous": Flag(BOOLEAN), "wait-timeout": Flag(DURATION)}
V2_EXEC = {**EXEC, "pod": Flag()}
FORWARD = {"port": Flag(pattern(r"\d+:\d+"), many=True), "address": Flag(), **PROJECT}

GROUPS = {
    ("training", "pytorch"): "pytorch",
    ("training", "standard"): "training",
    ("training",): "training",
    ("workspace",): "workspace",
    ("workload",): "",
}
VERBS = ("delete", "describe", "exec", "list", "logs", "port-forward", "resume", "submit", "suspend")


def run(release: str, argv: list[str]) -> int:
    """What `runai ARGV` does."""
    group = next((group for group in GROUPS if tuple(argv[: len(group)]) == group), None)
    if group is None:
        raise Wrong(f'unknown command "{" ".join(argv[:1])}" for "runai"', 1)
    kind, verb, rest = GROUPS[group], (argv[len(group) :] or ["--help"])[0], argv[len(group) + 1 :]
    verbs = VERBS if kind else ("delete", "describe", "list")
    if verb in ("--help", "-h"):
        print(f"Manage {group[-1]}s\n\nAvailable Commands:\n  " + "\n  ".join(verbs))
        return 0
    if verb not in verbs:
        raise Wrong(f'unknown command "{verb}" for "runai {" ".join(group)}"', 1)
    return act(release, kind, verb, rest)


def act(release: str, kind: str, verb: str, rest: list[str]) -> int:
    match verb:
        case "submit":
            return submit(release, kind, rest)
        case "list":
            return cluster.array(parse(rest, V2_LIST), release, kind)
        case "describe":
            return cluster.details(parse(rest, DESCRIBE), kind)
        case "delete":
            return cluster.delete(parse(rest, PROJECT if kind else {**PROJECT, "yes": Flag(BOOLEAN, short="y")}), kind)
        case "logs":
            return cluster.logs(parse(rest, V2_LOGS), kind)
        case "exec":
            return cluster.execute(parse(rest, V2_EXEC), kind)
        case "port-forward":
            return cluster.forward(parse(rest, FORWARD), kind)
    return cluster.suspend(parse(rest, PROJECT), kind, verb == "suspend")


def submit(release: str, kind: str, argv: list[str]) -> int:
    flags = {**SUBMIT, **RELEASE[release]}
    if kind == "pytorch":
        flags["workers"] = Flag(pattern(r"\d+"))
    if kind == "workspace":
        del flags["backoff-limit"]
    if "--help" in argv[: argv.index("--") if "--" in argv else None]:
        print("Flags:")
        for name, flag in sorted(flags.items()):
            short = f"-{flag.short}, " if flag.short else "    "
            print(f"  {short}--{name} {'' if flag.rule is BOOLEAN else 'string'}")
        return 0
    parsed = parse(argv, flags)
    if len(parsed.words) != 1:
        raise Wrong(f"one name is needed, not {parsed.words}")
    need(parsed, "project", "image")
    variables = [variable(item) for item in parsed.flags.get("environment-variable", [])]
    if release == "v2.18":
        variables = [variable(item) for item in parsed.flags.get("environment", [])]
    elif any("valueFrom" in item for item in variables):
        raise Wrong("SECRET: is no longer known: use --env-secret")
    for item in parsed.flags.get("env-secret", []):
        name, secret, key = re.fullmatch(r"(\w+)=(.+),key=(.+)", item).groups()  # type: ignore[union-attr]
        variables.append({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}})
    return create(
        parsed,
        name=parsed.words[0],
        kind=kind,
        gpus=parsed.one("gpu-devices-request", "0"),
        cpu=parsed.one("cpu-core-request"),
        memory=parsed.one("cpu-memory-request"),
        claims=[(*claim(option), False) for option in parsed.flags.get("existing-pvc", [])],
        variables=variables,
    )
