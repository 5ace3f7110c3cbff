"""The options that describe a job, and how it is launched: those of `run`, which `rerun` shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from mlo_submit import array, sweep, units
from mlo_submit.commands import values
from mlo_submit.env import KINDS
from mlo_submit.job import Mount

F = TypeVar("F", bound=Callable[..., Any])


def _variable(text: str) -> tuple[str, str]:
    name, equal, value = text.partition("=")
    if not equal:
        raise ValueError("must be NAME=VALUE")
    return units.variable(name), value


def _mount(text: str) -> Mount:
    read_only = text.endswith(":ro")
    source, _, target = (text[:-3] if read_only else text).rpartition(":")
    if not source or not target.startswith("/") or ".." in target.split("/"):
        raise ValueError("must be SRC:DST or SRC:DST:ro, with an absolute DST")
    return Mount(source=source, target=target, read_only=read_only)


def _cpus(text: str) -> str:
    if not units.CPUS.fullmatch(text) or not float(text.rstrip("m")):
        raise ValueError("is no number of processors: write 8, 0.5 or 500m")
    return text


def _array(text: str) -> str:
    array.parse(f"0{text}" if text.startswith("%") else text)  # of all rows of a sweep, as many at a time
    return text


def _words(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise ValueError("is empty")
    return text


OPTIONS = (
    click.option("-n", "--name", type=values.NAME, help="Name of the job. Default: USER-DATE-TIME."),
    click.option(
        "-c", "--command", "line", type=values.Value("line", _words), help="A shell line to run, instead of -- COMMAND."
    ),
    click.option(
        "--exp-folder",
        metavar="DIR",
        type=values.Value("dir", _words),
        help="Where the command runs; relative to WORKING_DIR.",
    ),
    click.option(
        "--venv",
        metavar="DIR",
        type=values.Value("dir", _words),
        help="Virtual environment to activate; relative to --exp-folder.",
    ),
    click.option(
        "-t",
        "--time",
        metavar="DURATION",
        type=values.DURATION,
        help="Longest run time: 12h, 45m, 2d6h30m. Default: none, and 12h for a pod without a command.",
    ),
    click.option(
        "-g",
        "--gpus",
        metavar="NUMBER",
        type=click.IntRange(0, 64),
        default=0,
        show_default=True,
        help="Number of GPUs.",
    ),
    click.option("--cpus", type=values.Value("number", _cpus), help="Number of processors."),
    click.option("--memory", metavar="AMOUNT", type=values.MEMORY, help="Memory: 64G, 64Gi."),
    click.option(
        "--node-type",
        "node_types",
        metavar="TYPE",
        type=values.Value("type", units.label_value),
        multiple=True,
        help="GPU node type, such as v100, h100, h200, default (A100), a100-40g. Repeatable.",
    ),
    click.option(
        "-i", "--image", type=values.Value("image", units.image), help="Image to run, instead of RUNAI_IMAGE."
    ),
    click.option("--train/--no-train", help="A training job: it ends with its command, and may be retried."),
    click.option(
        "--workers",
        metavar="NUMBER",
        type=click.IntRange(0, 1000),
        default=0,
        help="Pods in addition to the master, for multi-node training. Implies --train.",
    ),
    click.option(
        "--kind",
        type=click.Choice(KINDS),
        help="What a job with --workers is on Kubernetes, instead of MLO_KIND: job, or what the cluster must have.",
    ),
    click.option(
        "--wait-for-master",
        metavar="[DURATION]",
        is_flag=False,
        flag_value="10m",
        type=values.DURATION,
        help="Start the command of workers when the master accepts connections; give up after 10m, or DURATION.",
    ),
    click.option(
        "--array",
        metavar="INDICES",
        type=values.Value("indices", _array),
        help="Run the command once for each index: 0-99, 1,3,7, 0-10:2; 0-99%8 is 8 at a time. Implies --train.",
    ),
    click.option(
        "--sweep",
        metavar="FILE",
        type=values.Sweep("file", sweep.read),
        help="An array whose index N has the variables and words in row N, from 0, of a .csv or .toml file.",
    ),
    click.option(
        "--retries",
        "--backofflimit",
        "--backoff-limit",
        metavar="NUMBER",
        type=click.IntRange(0, 100),
        default=0,
        help="How often a failed training job is started again.",
    ),
    click.option(
        "--grace",
        metavar="DURATION",
        type=values.DURATION,
        help="Time from TERM to KILL when the job is stopped. Default: 30s.",
    ),
    click.option(
        "--stop-when-idle",
        metavar="DURATION",
        type=values.DURATION,
        help="End an interactive job when its processors, GPUs, network and terminals were not used for so long.",
    ),
    click.option(
        "-f",
        "--follow",
        "follow_log",
        is_flag=True,
        help="Show the job's output until it ends; exit with its exit code.",
    ),
    click.option("--replace", is_flag=True, help="Delete a finished job of the same name first."),
    click.option("--dry-run", "--dry", "dry_run", is_flag=True, help="Print what would be sent, and send nothing."),
    click.option("-p", "--port", metavar="NUMBER", type=click.IntRange(1, 65535), help="A port of the pod to expose."),
    click.option(
        "--env",
        metavar="NAME=VALUE",
        type=values.Value("variable", _variable),
        multiple=True,
        callback=lambda _context, _parameter, pairs: dict(pairs),
        help="A variable for the job. Repeatable.",
    ),
    click.option(
        "--mount",
        "mounts",
        metavar="SRC:DST[:ro]",
        type=values.Value("mount", _mount),
        multiple=True,
        help="Another PVC (docker: directory) in the pod. Repeatable.",
    ),
    click.option("--large-shm/--no-large-shm", help="A larger /dev/shm."),
    click.option("--shm-size", metavar="AMOUNT", type=values.MEMORY, help="A /dev/shm of this size."),
    click.option("--host-ipc/--no-host-ipc", help="Share the host's IPC namespace."),
    click.option(
        "--queue", type=values.Value("name", units.label_value), help="Queue of the scheduler, instead of MLO_QUEUE."
    ),
    click.option(
        "--priority",
        metavar="CLASS",
        type=values.SUBDOMAIN,
        help="Priority: a WorkloadPriorityClass in a queue of Kueue; elsewhere a PriorityClass, instead of "
        "MLO_PRIORITY_CLASS.",
    ),
    click.option(
        "--pvc", metavar="NAME", type=values.SUBDOMAIN, help="Volume claim of the scratch, instead of SCRATCH_PVC."
    ),
    click.option(
        "--uid", metavar="NUMBER", type=click.IntRange(1, units.MAX_ID), help="Run as this uid, instead of LDAP_UID."
    ),
    click.option(
        "--gid", metavar="NUMBER", type=click.IntRange(1, units.MAX_ID), help="Run with this gid, instead of LDAP_GID."
    ),
    click.option(
        "--secrets",
        type=click.Choice(["files", "env"]),
        help="How secrets reach the pod: env for images without our entrypoint.",
    ),
    click.option(
        "--secret-name",
        metavar="NAME",
        type=values.SUBDOMAIN,
        help="Secret that mirrors .env, instead of RUNAI_SECRET_NAME.",
    ),
    click.option("--skip-secret-sync/--no-skip-secret-sync", help="Leave the Secret as it is."),
)


def of_job(function: F) -> F:
    """All of them: a field of `Flags` each, and `follow_log`, `replace`, `dry_run`."""
    for option in reversed(OPTIONS):
        function = option(function)
    return function
