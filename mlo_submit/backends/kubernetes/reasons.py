"""What Kubernetes says of why a pod does not run, or no longer does, in the user's words. Pure: text to text.

What is not known here passes through as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mlo_submit.workload import TIME_LIMIT

PULL_FAILURES = frozenset(
    {
        *("ErrImagePull", "ErrImageNeverPull", "ImageInspectError", "ImagePullBackOff", "InvalidImageName"),
        *("RegistryUnavailable", "SignatureValidationFailed"),
    }
)

# What the scheduler says of the nodes of which it does not say that something is used up.
_NODES = (
    (
        r"didn't match (?:Pod's node affinity/selector|Pod's node affinity|node selector)",
        "{n} not of its node selector",
    ),
    (r"had (?:untolerated )?taint \{(?P<it>.*?):? ?\}(?:, that the pod didn't tolerate)?", "{n} with the taint {it}"),
    (r"had untolerated taint\(s\)", "{n} with a taint"),
    (r"were unschedulable", "{n} closed to new pods"),
    (r"(?:didn't match PersistentVolume's|had volume) node affinity(?: conflict)?", "{n} out of its volume's reach"),
    (r"didn't find available persistent volumes to bind", "{n} without a volume for its PVC"),
    (r"exceed max volume count", "{n} with as many volumes as they may have"),
)


def placement(message: str, wants: Mapping[str, str]) -> str:
    """The scheduler's message, as what the user can do something about.

    Args:
        message: of the pod's condition PodScheduled, or of an event.
        wants: what the pod asks for: {"nvidia.com/gpu": "8"}; empty where it is not known.
    """
    if claim := re.search(r'persistentvolumeclaim "([^"]+)" (not found|is being deleted)', message):
        return f"PVC {claim[1]} " + ("does not exist" if claim[2] == "not found" else claim[2])
    if "unbound immediate PersistentVolumeClaims" in message:
        return "its PVC has no volume yet"
    found = re.match(r"0/(\d+) nodes are available: (.*)", message, re.DOTALL)
    if not found:
        return message
    body = re.split(r"\.(?:\s|$)", found[2])[0]  # what follows is of preemption
    items = [re.fullmatch(r"(\d+) (.*)", item) for item in re.split(r", (?=\d+ )", body)]
    counted = [(int(item[1]), item[2]) for item in items if item]
    if not counted or len(counted) < len(items):
        return message
    return _nodes(int(found[1]), counted, wants)


def _nodes(total: int, counted: Sequence[tuple[int, str]], wants: Mapping[str, str]) -> str:
    """Which nodes there are: `counted` are numbers of nodes, each with the scheduler's reason against them."""
    lacks, others = [], []
    for number, text in counted:
        resource = text.removeprefix("Insufficient ")
        if text == "Too many pods":
            lacks.append("room for another pod")
        elif resource != text:
            lacks.append(f"{wants[resource]} free {resource}" if resource in wants else f"enough free {resource}")
        else:
            others.append((number, _node(number, text)))
    if not lacks:
        return f"no node takes it: of {total}, " + ", ".join(text for _, text in others)
    matching = f"{total - sum(number for number, _ in others)} of {total} nodes match"
    told = [text for _, text in others if not text.endswith("node selector")]
    return f"no node has {' and '.join(lacks)}" + (f" ({', '.join([matching, *told])})" if others else "")


def _node(number: int, text: str) -> str:
    text = text.removeprefix("node(s) ")
    for pattern, plain in _NODES:
        if found := re.fullmatch(pattern, text):
            return plain.format(n=number, **found.groupdict())
    return f"{number} {text}"


def pull(image: str, reason: str, message: str) -> str:
    """Why an image does not come, from the kubelet's word for it and the registry's answer."""
    if reason == "ErrImageNeverPull":
        return f"the image {image} is not on the node, and is never pulled (MLO_IMAGE_PULL_POLICY)"
    if reason == "InvalidImageName":
        return f"{image} is no name of an image"
    point = _point(message)
    if re.search(r"pull access denied|insufficient_scope", point):
        return f"the image {image} does not exist, or may not be pulled: access denied"
    if re.search(r"unauthorized|authentication required|no basic auth|forbidden|denied|\b40[13]\b", point, re.I):
        return f"the image {image} may not be pulled: access denied"
    if re.search(r"not found|manifest unknown|name unknown|\b404\b", point, re.I):
        return f"the image {image} cannot be pulled: image not found"
    return f"the image {image} cannot be pulled" + (f": {point}" if point else "")


def _point(message: str) -> str:
    """What a registry or the network said, without the layers of programs that passed it on."""
    text = re.sub(r'^Back-off pulling image "[^"]*"(?:: )?', "", message)
    passed_on = (
        r"(?:rpc error: code = \w+ desc = |ErrImagePull: |Failed to pull image \"[^\"]*\": "
        r"|(?:Error response from daemon|initializing source [^ ]+|reading manifest [^ ]+ in [^ ]+): "
        r"|failed to (?:pull and unpack image|resolve (?:reference|image)|copy|do request|fetch [^:\"]*)"
        r"(?: \"[^\"]*\")?: |(?:Head|Get) \"[^\"]*\": )"
    )
    return re.sub(f"^(?:{passed_on})+", "", text)


def configuration(message: str) -> str:
    """Why a container's environment or volumes cannot be made: a Secret or a key that is missing."""
    if found := re.search(r"couldn't find key (\S+) in (Secret|ConfigMap) [^/ ]+/(\S+)", message):
        return f"the {found[2]} {found[3]} has no key {found[1]}"
    if found := re.search(r"references non-existent (secret|config) key: (\S+)", message):
        return f"its {found[1].replace('config', 'ConfigMap').replace('secret', 'Secret')} has no key {found[2]}"
    if found := re.search(r'(secret|configmap) "([^"]+)" not found', message):
        return f"the {'Secret' if found[1] == 'secret' else 'ConfigMap'} {found[2]} does not exist"
    return message


def creation(message: str) -> str:
    """Why the cluster makes no pod for a Job: a quota, mostly."""
    quota = re.search(r"exceeded quota: ([^,]+), requested: (.+), used: (.+), limited: (.+)", message)
    if not quota:
        return re.sub(r"^Error creating: (?:pods \"[^\"]*\" is forbidden: )?", "", message)
    name, requested, used, limited = quota.groups()
    pairs = [part.partition("=")[::2] for part in requested.split(",")]
    has, may = (dict(part.partition("=")[::2] for part in text.split(",")) for text in (used, limited))
    over = [f"{amount} more {what} ({has.get(what)} of {may.get(what)} used)" for what, amount in pairs]
    return f"the quota {name} has no room for {' and '.join(over)}"


def ending(terminated: Mapping[str, Any], memory: str) -> str:
    """How a container ended; empty where it ended as it should. `memory` is its limit, as "64Gi"."""
    code, said = terminated.get("exitCode"), terminated.get("message", "")
    if TIME_LIMIT in said:  # what the job's own watcher tells, or our pod
        return TIME_LIMIT
    if terminated.get("reason") == "OOMKilled" or (code == 137 and "out of memory" in said):
        return f"OOM killed at {memory}" if memory else "OOM killed"
    if "not used" in said:  # what our own pods tell when their idle time is over
        return "nobody used its pod"
    if terminated.get("reason") in ("ContainerCannotRun", "StartError", "ContainerStatusUnknown"):
        return said or str(terminated["reason"])
    if code and code > 128:
        return f"ended by signal {code - 128}"
    return f"exit code {code}" if code else ""


def disruption(reason: str, message: str) -> str:
    """Why the cluster took a pod away, from its condition DisruptionTarget."""
    plain = {
        "PreemptionByScheduler": "gave way to a job of higher priority",
        "EvictionByEvictionAPI": "evicted: its node was to be emptied",
        "DeletionByTaintManager": "its node could no longer be used",
        "DeletionByPodGC": "its node is gone",
    }
    return plain.get(reason) or eviction(message) or reason


def eviction(message: str) -> str:
    """Why the kubelet ended a pod."""
    if low := re.search(r"node was low on resource: ([\w-]+)", message):
        what = {"ephemeral-storage": "disk", "inodes": "inodes", "pids": "process ids"}.get(low[1], low[1])
        return f"evicted: its node ran out of {what}"
    if volume := re.search(r'Usage of EmptyDir volume "([^"]+)" exceeds the limit "([^"]+)"', message):
        what = "shared memory" if volume[1] == "shm" else f"the volume {volume[1]}"
        return f"evicted: {what} grew beyond {volume[2]}"
    if "ephemeral local storage" in message or "local ephemeral storage" in message:
        return "evicted: it wrote more to the pod's own disk than it may"
    if "node shutdown" in message:
        return "its node was shut down"
    return message.strip()


def times(number: int) -> str:
    """How often: once, twice, 3 times."""
    return {1: "once", 2: "twice"}.get(number, f"{number} times")
