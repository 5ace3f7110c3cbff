"""Checks of where jobs would run on a cluster: images, GPUs, scratch, and the jobs that are there."""

from __future__ import annotations

import pwd
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlo_submit import backends, process
from mlo_submit.backends.kubernetes.manifest import GPU
from mlo_submit.checks.context import Context, Finding, UntoldError
from mlo_submit.env import Config
from mlo_submit.errors import MloError, UnavailableError
from mlo_submit.kube import Denied

ANSWER = 8.0  # seconds
UNKNOWN = "UNKNOWN"  # as `stat` has it


def image(context: Context) -> Finding:
    """The image has a tag, and a node has it, which is all that can be told without a pull."""
    name = context.config.image
    if not pinned(name):
        return Finding(ok=False, found=f"{name} is whatever was built last", remedy="Name a tag in RUNAI_IMAGE.")
    cluster = context.cluster
    try:
        nodes = context.nodes.result()
    except Denied:
        raise UntoldError(
            f"{name}: neither the nodes nor the registry are for you to ask; the first pod tells"
        ) from None
    having = sum(full(name) in _images(node) for node in nodes)
    if having:
        return Finding(ok=True, found=f"{name}, which {having} of {len(nodes)} nodes have already")
    try:
        account = cluster.call("GET", f"/api/v1/namespaces/{context.config.namespace}/serviceaccounts/default")
        secrets = ", ".join(item["name"] for item in account.get("imagePullSecrets") or []) or "none"
    except MloError:
        secrets = "not for you to see"
    raise UntoldError(f"{name}: no node has it yet, and only a pull tells more (pull secrets: {secrets})")


def _images(node: Mapping[str, Any]) -> set[str]:
    return {name for item in node["status"].get("images") or [] for name in item.get("names") or []}


def pinned(name: str) -> bool:
    """Whether an image's name says which of its builds is meant."""
    tag = name.rpartition("/")[2].partition(":")[2]
    return "@" in name or tag not in ("", "latest")


def full(name: str) -> str:
    """An image's name as nodes have it."""
    first, slash, _ = name.partition("/")
    if not slash:
        return f"docker.io/library/{name}"
    return name if set(first) & {".", ":"} or first == "localhost" else f"docker.io/{name}"


def gpus(context: Context) -> Finding:
    """The node types that --node-type can name, with their GPUs."""
    label = context.config.node_type_label
    cluster = context.cluster
    nodes = [node for node in context.nodes.result() if int(node["status"]["allocatable"].get(GPU, 0))]
    if not nodes:
        raise UntoldError("no node has any")
    used = Counter[str]()
    counted = True
    try:
        running = "status.phase!=Succeeded,status.phase!=Failed,spec.nodeName!="
        used = taken(cluster.call("GET", "/api/v1/pods", fieldSelector=running)["items"])
    except MloError:
        counted = False
    total, free = Counter[str](), Counter[str]()
    for node in nodes:
        kind = node["metadata"].get("labels", {}).get(label, "")
        count = int(node["status"]["allocatable"][GPU])
        total[kind] += count
        free[kind] += 0 if node["spec"].get("unschedulable") else count - used[node["metadata"]["name"]]
    told = [f"{kind or 'others'} {f'{free[kind]} of ' if counted else ''}{total[kind]}" for kind in sorted(total)]
    found = ", ".join(told) + (" free" if counted else "; how many are free is not for you to see")
    if not any(total.keys()):
        remedy = f"No node has the label {label}: set MLO_NODE_TYPE_LABEL, or leave --node-type out."
        return Finding(ok=None, found=found, remedy=remedy)
    return Finding(ok=True, found=found)


def taken(pods: list[dict[str, Any]]) -> Counter[str]:
    """How many GPUs the pods on each node ask for."""
    found = Counter[str]()
    for pod in pods:
        for container in pod["spec"]["containers"]:
            found[pod["spec"].get("nodeName", "")] += int(
                (container.get("resources", {}).get("limits") or {}).get(GPU, 0)
            )
    return found


def jobs(context: Context) -> Finding:
    """The jobs that are there can be listed."""
    config = context.config
    if context.backend == "kubernetes":
        context.cluster  # noqa: B018
    try:
        found = backends.load(context.backend).connect(config, context.machine).all()
    except UnavailableError:
        if context.backend != "docker":
            raise
        raise UntoldError("not looked at: the engine comes first") from None
    running = sum(job.state == "Running" for job in found)
    return Finding(ok=True, found=f"{len(found)} of yours, {running} running")


def home(context: Context) -> Finding:
    """The home on scratch belongs to LDAP_UID: asked here, where scratch is mounted, or of a running job."""
    config = context.config
    place = f"{config.home_root.rstrip('/')}/{config.username}"
    if Path(place).is_dir():
        owner = Path(place).stat().st_uid
        try:
            name = pwd.getpwuid(owner).pw_name
        except KeyError:
            name = UNKNOWN
        return whose(config, place, owner, name)
    context.cluster  # noqa: B018
    there = backends.load(context.backend).connect(config, context.machine)
    for job in there.all():
        if job.state == "Running" and job.pods:
            argv = there.execute(job, job.pods[0], ["stat", "-c", "%u %U", place], tty=False)
            asked = process.run(context.machine, argv, timeout=ANSWER)
            if not asked.code:
                uid, name = asked.stdout.split()
                return whose(config, place, int(uid), name)
    raise UntoldError("scratch is not mounted here, and no running job of yours tells")


def whose(config: Config, place: str, uid: int, name: str) -> Finding:
    """What the owner of a home tells of LDAP_UID. `name` is the owner's, `UNKNOWN` where there is none of this uid."""
    if uid == config.uid:
        return Finding(ok=True, found=f"{place} belongs to LDAP_UID")
    if name not in (config.username, UNKNOWN):  # a pod made it, by the account that may, which cannot give it away
        raise UntoldError(f"{place} was made by {name}, which tells nothing of LDAP_UID")
    return Finding(
        ok=False,
        found=f"{place} belongs to uid {uid}, and LDAP_UID is {config.uid}",
        remedy="Correct LDAP_UID: `id -u` on a machine of the lab tells it.",
    )
