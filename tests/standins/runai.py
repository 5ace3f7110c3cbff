"""A stand-in for `runai`, version 1 or 2: strict as to flags, it records what it is given.

`install` puts it on PATH. Its environment steers it:

    MLO_STANDIN_LOG         a file to which it appends its argv, a JSON list a line
    MLO_STANDIN_KUBECONFIG  a cluster in which it makes what run:ai would, in runai-PROJECT, through kubectl

Without a cluster a submission succeeds, and no job exists afterwards. An unknown flag, a flag without its value, and a
value that cannot be end with exit code 2; an unknown command with 1, as it does there.
"""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn

Version = Literal["v1", "v2.18", "v2.25"]
Rule = Callable[[str], object]

CONTAINER = "job"


def install(directory: Path, version: Version) -> Path:
    """Write an executable `runai` of that version into a directory."""
    path = directory / "runai"
    path.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"import runai\nrunai.main({version!r}, sys.argv[1:])\n"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def main(version: Version, argv: list[str]) -> NoReturn:
    """What `runai` does."""
    if log := os.environ.get("MLO_STANDIN_LOG"):
        with Path(log).open("a") as file:
            file.write(json.dumps(argv) + "\n")
    try:
        code = (V1() if version == "v1" else V2(version)).run(argv)
    except Wrong as error:
        print(f"Error: {error}", file=sys.stderr)
        code = error.code
    sys.exit(code)


class Wrong(Exception):
    """Ends the program."""

    def __init__(self, message: str, code: int = 2) -> None:
        super().__init__(message)
        self.code = code


# ---- flags


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


# ---- version 1

V1_SUBMIT = {
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
V1_DISTRIBUTED = {
    "workers": Flag(pattern(r"[1-9]\d*")),
    "min-replicas": Flag(pattern(r"\d+")),
    "max-replicas": Flag(pattern(r"\d+")),
    "clean-pod-policy": Flag(pattern("Running|All|None")),
}
LOGS = {
    "follow": Flag(BOOLEAN, short="f"),
    "pod": Flag(),
    "since": Flag(DURATION),
    "since-time": Flag(),
    "tail": Flag(pattern(r"\d+"), short="t"),
    "timestamps": Flag(BOOLEAN),
    "project": Flag(short="p"),
}
PROJECT = {"project": Flag(short="p")}
OUTPUT = {"output": Flag(pattern("json|yaml|wide|table"), short="o"), **PROJECT}


class V1:
    """The classic command line."""

    def run(self, argv: list[str]) -> int:
        match argv:
            case ["submit", *rest]:
                return self.submit(parse(_allow(rest), V1_SUBMIT))
            case ["submit-dist", "pytorch", *rest]:
                parsed = parse(_allow(rest), {**V1_SUBMIT, **V1_DISTRIBUTED})
                if "workers" not in parsed.flags:
                    raise Wrong("--workers is missing")
                return self.submit(parsed)
            case ["describe", "job", *rest]:
                return describe(parse(rest, OUTPUT))
            case ["delete", "job", *rest]:
                return delete(parse(rest, PROJECT))
            case ["logs", *rest]:
                return logs(parse(rest, LOGS))
            case ["config", "project", _] | ["version"]:
                return 0
        raise Wrong(f'unknown command "{" ".join(argv[:2])}" for "runai"', 1)

    def submit(self, parsed: Parsed) -> int:
        if parsed.words:
            raise Wrong(f"unexpected argument {parsed.words[0]!r}")
        _need(parsed, "name", "project", "image")
        if parsed.one("preemptible") and not parsed.one("interactive"):
            raise Wrong("--preemptible is for interactive jobs")
        claims = []
        for claim in parsed.flags.get("pvc", []):
            source, path, *read_only = claim.split(":")
            claims.append((source, path, bool(read_only)))
        claims += [(*_claim(option), False) for option in parsed.flags.get("existing-pvc", [])]
        return create(
            parsed,
            name=parsed.one("name"),
            gpus=parsed.one("gpu", "0"),
            cpu=parsed.one("cpu"),
            memory=parsed.one("memory"),
            claims=claims,
            variables=[variable(item) for item in parsed.flags.get("environment", [])],
            distributed="workers" in parsed.flags,
        )


def _allow(argv: list[str]) -> list[str]:
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


# ---- version 2

V2_SUBMIT = {
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
V2_RELEASE = {
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
V2_LOGS = {**LOGS, "previous": Flag(BOOLEAN), "wait-timeout": Flag(DURATION)}


class V2:
    """The command line of workspaces and trainings."""

    def __init__(self, version: Version) -> None:
        self.version = version

    def run(self, argv: list[str]) -> int:
        groups = (["training", "pytorch"], ["training", "standard"], ["training"], ["workspace"], ["workload"])
        group = next((group for group in groups if argv[: len(group)] == group), None)
        if group is None:
            raise Wrong(f'unknown command "{" ".join(argv[:1])}" for "runai"', 1)
        verb, rest = (argv[len(group) :] or ["--help"])[0], argv[len(group) + 1 :]
        if verb in ("--help", "-h"):
            print(f"Manage {group[-1]}s\n\nAvailable Commands:\n  delete\n  describe\n  logs\n  submit")
            return 0
        if verb == "submit":
            return self.submit(group, rest)
        if verb == "describe":
            return describe(parse(rest, OUTPUT))
        if verb == "delete":
            return delete(parse(rest, {**PROJECT, "yes": Flag(BOOLEAN, short="y")}))
        if verb == "logs":
            return logs(parse(rest, V2_LOGS))
        raise Wrong(f'unknown command "{verb}" for "runai {" ".join(group)}"', 1)

    def submit(self, group: list[str], argv: list[str]) -> int:
        flags = {**V2_SUBMIT, **V2_RELEASE[self.version]}
        if group == ["training", "pytorch"]:
            flags["workers"] = Flag(pattern(r"\d+"))
        if group == ["workspace"]:
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
        _need(parsed, "project", "image")
        variables = [variable(item) for item in parsed.flags.get("environment-variable", [])]
        if self.version == "v2.18":
            variables = [variable(item) for item in parsed.flags.get("environment", [])]
        elif any("valueFrom" in item for item in variables):
            raise Wrong("SECRET: is no longer known: use --env-secret")
        for item in parsed.flags.get("env-secret", []):
            name, secret, key = re.fullmatch(r"(\w+)=(.+),key=(.+)", item).groups()  # type: ignore[union-attr]
            variables.append({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}})
        return create(
            parsed,
            name=parsed.words[0],
            gpus=parsed.one("gpu-devices-request", "0"),
            cpu=parsed.one("cpu-core-request"),
            memory=parsed.one("cpu-memory-request"),
            claims=[(*_claim(option), False) for option in parsed.flags.get("existing-pvc", [])],
            variables=variables,
            distributed="workers" in parsed.flags,
        )


# ---- what run:ai makes of it


def _need(parsed: Parsed, *names: str) -> None:
    for name in names:
        if name not in parsed.flags:
            raise Wrong(f'required flag "{name}" not set')


def _claim(option: str) -> tuple[str, str]:
    parts = dict(part.split("=", 1) for part in option.split(","))
    return parts["claimname"], parts["path"]


def variable(item: str) -> dict[str, Any]:
    """A variable of the container: a value, or a reference to a key of a Secret."""
    name, _, value = item.partition("=")
    if value.startswith("SECRET:"):
        secret, comma, key = value.removeprefix("SECRET:").partition(",")
        if not comma or not secret or not key:
            raise Wrong(f"{item!r} must be NAME=SECRET:secret,key")
        return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
    return {"name": name, "value": value}


def create(
    parsed: Parsed,
    *,
    name: str,
    gpus: str,
    cpu: str,
    memory: str,
    claims: list[tuple[str, str, bool]],
    variables: list[dict[str, Any]],
    distributed: bool,
) -> int:
    """The workload, as a Job: run as the user, secrets by reference, claims mounted, the ENTRYPOINT kept."""
    namespace = f"runai-{parsed.one('project')}"
    requests = {key: value for key, value in (("cpu", cpu), ("memory", memory)) if value}
    gpu = {"nvidia.com/gpu": gpus} if gpus != "0" else {}
    container = {
        "name": CONTAINER,
        "image": parsed.one("image"),
        # A test cluster has its images, and no registry to pull them from.
        "imagePullPolicy": "IfNotPresent",
        "command" if parsed.one("command") == "true" else "args": parsed.rest,
        "env": variables,
        "resources": {"requests": {**requests, **gpu}, "limits": gpu},
        "securityContext": {"allowPrivilegeEscalation": parsed.one("allow-privilege-escalation") == "true"},
        "volumeMounts": [
            {"name": f"pvc-{number}", "mountPath": path, "readOnly": read_only}
            for number, (_, path, read_only) in enumerate(claims)
        ],
    }
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "securityContext": {
            key: int(parsed.one(flag))
            for key, flag in (("runAsUser", "run-as-uid"), ("runAsGroup", "run-as-gid"))
            if flag in parsed.flags
        },
        "containers": [container],
        "volumes": [
            {"name": f"pvc-{number}", "persistentVolumeClaim": {"claimName": claim}}
            for number, (claim, _, _) in enumerate(claims)
        ],
    }
    if grace := parsed.one("termination-grace-period"):
        units = {"d": 86400, "h": 3600, "m": 60, "s": 1}
        spec["terminationGracePeriodSeconds"] = sum(
            int(count) * units[unit] for count, unit in re.findall(r"(\d+)([dhms])", grace)
        )
    labels = {"runai/job": name, **dict(item.split("=", 1) for item in parsed.flags.get("label", []))}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "backoffLimit": int(parsed.one("backoff-limit", "0")),
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }
    if "MLO_STANDIN_KUBECONFIG" in os.environ:
        if distributed:
            raise Wrong("the stand-in makes no distributed workloads", 1)
        done = kubectl("create", "-f", "-", stdin=json.dumps(job))
        if done.returncode:
            raise Wrong(done.stderr.strip(), 1)
    print(f"The job '{name}' has been submitted successfully")
    return 0


def kubectl(*words: str, stdin: str = "", capture: bool = True) -> subprocess.CompletedProcess[str]:
    argv = ["kubectl", f"--kubeconfig={os.environ['MLO_STANDIN_KUBECONFIG']}", *words]
    return subprocess.run(argv, input=stdin, capture_output=capture, text=True, check=False)


def _job(parsed: Parsed) -> tuple[str, str]:
    if len(parsed.words) != 1:
        raise Wrong(f"one name is needed, not {parsed.words}")
    _need(parsed, "project")
    name, namespace = parsed.words[0], f"runai-{parsed.one('project')}"
    missing = f"workload {name} was not found in project {parsed.one('project')}"
    if "MLO_STANDIN_KUBECONFIG" not in os.environ or kubectl("-n", namespace, "get", "job", name).returncode:
        raise Wrong(missing, 1)
    return name, namespace


def describe(parsed: Parsed) -> int:
    name, namespace = _job(parsed)
    job = json.loads(kubectl("-n", namespace, "get", "job", name, "-o", "json").stdout)
    pods = json.loads(kubectl("-n", namespace, "get", "pods", "-l", f"job-name={name}", "-o", "json").stdout)["items"]
    conditions = {item["type"] for item in job["status"].get("conditions", []) if item["status"] == "True"}
    phases = [pod["status"]["phase"] for pod in pods]
    status = "Succeeded" if "Complete" in conditions else "Failed" if "Failed" in conditions else None
    status = status or ("Running" if "Running" in phases else "Pending")
    names = [pod["metadata"]["name"] for pod in pods]
    print(json.dumps({"name": name, "labels": job["metadata"]["labels"], "status": status, "pods": names}))
    return 0


def delete(parsed: Parsed) -> int:
    name, namespace = _job(parsed)
    return kubectl("-n", namespace, "delete", "job", name, "--wait=false", "--cascade=foreground").returncode


def logs(parsed: Parsed) -> int:
    name, namespace = _job(parsed)
    follow = ["-f"] if parsed.one("follow") == "true" else []
    since = [f"--since={parsed.one('since')}"] if "since" in parsed.flags else []
    return kubectl("-n", namespace, "logs", *follow, *since, f"job/{name}", capture=False).returncode
