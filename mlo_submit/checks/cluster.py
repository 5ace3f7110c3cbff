"""Checks of the way to a cluster, and of what one may do there."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from mlo_submit import process
from mlo_submit import secret as secrets
from mlo_submit.backends.kubernetes import asking, kinds
from mlo_submit.backends.kubernetes.manifest import KUEUE_LABEL, QUEUE_LABELS
from mlo_submit.backends.runai import cli
from mlo_submit.checks.context import Context, Finding, UntoldError, problem
from mlo_submit.errors import MloError
from mlo_submit.kube import ApiRefusal, Denied, path
from mlo_submit.labels import MANAGED_BY, OURS

ANSWER = 10.0  # seconds
SLOW = 2.0  # seconds
SKEW = 30.0  # seconds, from which on logins are refused

JOBS = ("batch", "jobs", ("create", "get", "list", "patch", "delete"))
RIGHTS = (
    ("", "pods", ("get", "list")),
    ("", "pods/log", ("get",)),
    ("", "pods/exec", ("create",)),
    ("", "pods/portforward", ("create",)),
    ("", "secrets", ("get", "create", "update")),
    ("", "events", ("list",)),
    ("", "persistentvolumeclaims", ("get",)),
)


def login(context: Context) -> Finding:
    """A kubeconfig, and a login that can be used."""
    cluster = context.connection.result()
    return Finding(ok=True, found=f"context {cluster.context}")


def server(context: Context) -> Finding:
    """The API answers, and soon."""
    try:
        cluster = context.connection.result()
    except MloError:
        raise UntoldError("not looked at: the login comes first") from None
    greeting = context.greeting.result()
    found = f"{cluster.server} ({greeting.version.get('gitVersion')}) answers in {greeting.seconds * 1000:.0f} ms"
    if greeting.seconds > SLOW:
        return Finding(ok=None, found=found, remedy="That is slow: see your connection, and the VPN.")
    return Finding(ok=True, found=found)


def clock(context: Context) -> Finding:
    """This machine and the server agree on the time."""
    ahead = context.greeted.ahead
    if ahead is None:
        raise UntoldError("the server does not tell its time")
    if abs(ahead) > SKEW:
        return Finding(
            ok=False,
            found=f"this machine is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the cluster",
            remedy="Logins break by it: have the clock set by the network (`sudo timedatectl set-ntp true`).",
        )
    return Finding(ok=True, found="agrees with the cluster's")


def kubectl(context: Context) -> Finding:
    """`kubectl` is there, and no more than a minor version from the server."""
    told = process.run(context.machine, ["kubectl", "version", "--client", "--output=json"], timeout=ANSWER)
    try:
        client = json.loads(told.stdout)["clientVersion"]
        ours = _minor(client)
    except (ValueError, KeyError, TypeError):
        return Finding(ok=False, found="it does not tell its version", remedy="Install it anew.")
    try:
        theirs = _minor(context.greeted.version)
    except UntoldError:
        raise UntoldError(f"{client['gitVersion']}; which the server has is not known") from None
    if abs(ours - theirs) > 1:
        return Finding(
            ok=False,
            found=f"{client['gitVersion']}, and the server has 1.{theirs}",
            remedy=f"Install a kubectl of 1.{theirs}: only neighbouring versions are made to work together.",
        )
    return Finding(ok=True, found=str(client["gitVersion"]))


def _minor(version: dict[str, str]) -> int:
    """Of `gitVersion`, since builds of one's own leave `minor` empty."""
    found = re.match(r"v1\.(\d+)", version["gitVersion"])
    if not found:
        raise ValueError(version)
    return int(found[1])


def runai(context: Context) -> Finding:
    """`runai` is there, in the version that .env names."""
    given = context.config.runai_version
    found = cli.version(context.machine, replace(context.config, runai_version=""))
    if given and given != found:
        return Finding(
            ok=False,
            found=f"MLO_RUNAI_VERSION={given}, and the one on PATH is {found}",
            remedy="Leave it empty: mlo-submit asks.",
        )
    return Finding(ok=True, found=f"version {found[1:]} of its command line")


def namespace(context: Context) -> Finding:
    """The namespace is there."""
    name = context.config.namespace
    try:
        found = context.cluster.call("GET", f"/api/v1/namespaces/{name}")
    except ApiRefusal as error:
        if error.status == 404:
            return problem(secrets.no_namespace(name))
        raise
    if found["status"].get("phase") == "Terminating":
        return Finding(ok=False, found=f"{name} is being deleted", remedy="Ask the cluster's administrator.")
    return Finding(ok=True, found=name)


def rights(context: Context) -> Finding:
    """What mlo-submit does in the namespace is allowed."""
    from concurrent.futures import ThreadPoolExecutor

    cluster, name = context.cluster, context.config.namespace
    wanted = [*([JOBS] if context.backend == "kubernetes" else []), *RIGHTS]
    asked = [(verb, group, resource) for group, resource, verbs in wanted for verb in verbs]

    def allowed(right: tuple[str, str, str]) -> bool:
        verb, group, resource = right
        kind, _, part = resource.partition("/")
        wanted = {"namespace": name, "verb": verb, "group": group, "resource": kind, "subresource": part}
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": wanted},
        }
        answer = cluster.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
        return bool(answer["status"].get("allowed"))

    with ThreadPoolExecutor(len(asked)) as pool:
        missing = [right for right, may in zip(asked, pool.map(allowed, asked), strict=True) if not may]
    if not missing:
        return Finding(ok=True, found=f"all {len(asked)} that mlo-submit needs in {name}")
    listed = ", ".join(f"{verb} {resource}" for verb, _, resource in missing)
    return Finding(
        ok=False,
        found=f"you may do nothing in {name}" if len(missing) == len(asked) else f"you may not {listed} in {name}",
        remedy="See that K8S_NAMESPACE is yours; if it is, ask the cluster's administrator.",
    )


def claim(context: Context) -> Finding:
    """The volume claim of the scratch is there, and bound."""
    config = context.config
    place = path("persistentvolumeclaims", config.namespace, config.pvc)
    found = context.cluster.read(place)
    if not found:
        remedy = "Set SCRATCH_PVC in .env: `kubectl get pvc` lists those that are there."
        return Finding(ok=False, found=f"there is no {config.pvc} in {config.namespace}", remedy=remedy)
    status, modes = found["status"], found["spec"].get("accessModes", [])
    told = f"{config.pvc}, {(status.get('capacity') or {}).get('storage', 'of no size yet')}, {'/'.join(modes)}"
    if status.get("phase") == "Bound":
        return Finding(ok=True, found=told)
    if status.get("phase") == "Pending":
        return Finding(ok=None, found=f"{told}: not bound yet", remedy="Some storage waits for the first pod.")
    return Finding(ok=False, found=f"{told}: {status.get('phase')}", remedy="Ask the cluster's administrator.")


def secret(context: Context) -> Finding:
    """The Secret holds what .env does."""
    wanted = secrets.from_config(context.config, None)
    current = secrets.read(context.cluster, wanted)
    if current is None:
        return Finding(ok=True, found=f"{wanted.name} is not there yet: `mlo-submit run` makes it")
    if (current["metadata"].get("labels") or {}).get(MANAGED_BY) != OURS:
        return Finding(
            ok=False,
            found=f"{wanted.name} was not made by mlo-submit",
            remedy="Choose another RUNAI_SECRET_NAME, or take it over with `mlo-submit sync-secret --adopt`.",
        )
    if (current.get("data") or {}) != secrets.manifest(wanted)["data"]:
        return Finding(
            ok=False,
            found=f"{wanted.name} is not what .env says now",
            remedy="`mlo-submit sync-secret` mirrors it; so does each `mlo-submit run`.",
        )
    return Finding(ok=True, found=f"{wanted.name} holds what .env does")


def priority(context: Context) -> Finding:
    """The priority class is there."""
    name = context.config.priority_class
    if not name:
        raise UntoldError("none is asked for (MLO_PRIORITY_CLASS)")
    return _named(context, f"/apis/scheduling.k8s.io/v1/priorityclasses/{name}", name, "MLO_PRIORITY_CLASS")


def kind(context: Context) -> Finding:
    """The cluster has what MLO_KIND names."""
    chosen = kinds.KINDS[context.config.kind]
    found = f"a job with --workers is a {chosen.TITLE}"
    if chosen is not kinds.JOB and chosen.PLURAL not in asking.resources(context.cluster, chosen):
        remedy = "Leave MLO_KIND empty, or ask the cluster's administrator for it."
        return Finding(ok=False, found=f"{found}, and the cluster has none", remedy=remedy)
    return Finding(ok=True, found=found)


def queue(context: Context) -> Finding:
    """What MLO_SCHEDULER and MLO_QUEUE name fits together, and is there."""
    config = context.config
    scheduler = config.scheduler or "Kubernetes' own scheduler"
    if not config.queue:
        if config.scheduler in QUEUE_LABELS:
            return Finding(
                ok=False,
                found=f"{scheduler} places no job without a queue, and MLO_QUEUE is empty",
                remedy="Set it; run:ai's queue is your project.",
            )
        return Finding(ok=True, found=f"{scheduler}, without a queue")
    label = config.queue_label or QUEUE_LABELS.get(config.scheduler, KUEUE_LABEL)
    if label == KUEUE_LABEL:
        group, kind = "kueue.x-k8s.io", f"namespaces/{config.namespace}/localqueues"
    elif label in QUEUE_LABELS.values():
        group, kind = "scheduling.run.ai", "queues"
    else:
        raise UntoldError(f"{scheduler}, queue {config.queue}: whose label {label} is, cannot be told")
    try:
        version = context.cluster.call("GET", f"/apis/{group}")["preferredVersion"]["groupVersion"]
    except ApiRefusal as error:
        if error.status != 404:
            raise
        remedy = "Set MLO_SCHEDULER and MLO_QUEUE_LABEL as your cluster has them, or leave MLO_QUEUE empty."
        return Finding(ok=False, found=f"the cluster knows no queue of {group}", remedy=remedy)
    return _named(context, f"/apis/{version}/{kind}/{config.queue}", f"{scheduler}, queue {config.queue}", "MLO_QUEUE")


def _named(context: Context, place: str, what: str, setting: str) -> Finding:
    try:
        context.cluster.call("GET", place)
    except Denied as error:
        if error.status != 403:
            raise
        raise UntoldError(f"{what}: whether it is there is not for you to see") from None
    except ApiRefusal as error:
        if error.status != 404:
            raise
        return Finding(
            ok=False, found=f"{what}: it does not exist", remedy=f"Set {setting} in .env, or leave it empty."
        )
    return Finding(ok=True, found=what)
