"""`.env` mirrored into a Kubernetes Secret, written only when its content changed."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mlo_submit import labels
from mlo_submit.env import Config
from mlo_submit.errors import RefusedError
from mlo_submit.kube import JSON, ApiRefusal, Cluster, path
from mlo_submit.labels import MANAGED_BY, OURS, USER

CONTENT_HASH = "mlo-submit/content-hash"

Outcome = Literal["created", "updated", "unchanged"]


@dataclass(frozen=True, kw_only=True)
class Secret:
    """A Secret as it should be: every variable of .env that has a value, and the SSH key that was picked up.

    `user` is the label of whose it is.
    """

    name: str
    namespace: str
    user: str
    values: Mapping[str, str] = field(repr=False)


def from_config(config: Config, name: str | None) -> Secret:
    """The Secret that mirrors a configuration; `name` overrides RUNAI_SECRET_NAME."""
    return Secret(
        name=name or config.secret_name,
        namespace=config.namespace,
        user=labels.user(config.username),
        values=config.values,
    )


def content_hash(secret: Secret) -> str:
    """A digest of keys and values, the same for the same content in any order."""
    import hashlib

    digest = hashlib.sha256()
    for key, value in sorted(secret.values.items()):
        for part in (key.encode(), value.encode()):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def manifest(secret: Secret) -> JSON:
    """The whole Secret as the API takes it."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": secret.name,
            "namespace": secret.namespace,
            "labels": {MANAGED_BY: OURS, USER: secret.user},
            "annotations": {CONTENT_HASH: content_hash(secret)},
        },
        "type": "Opaque",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in secret.values.items()},
    }


def read(cluster: Cluster, secret: Secret) -> JSON | None:
    """The Secret as it is in the cluster; None where there is none."""
    return cluster.read(path("secrets", secret.namespace, secret.name)) or None


def write(cluster: Cluster, secret: Secret, current: JSON | None, *, adopt: bool = False) -> Outcome:
    """Make the Secret so, given what `read` returned. Somebody else's write in between is tried again once.

    Raises:
        RefusedError: a Secret of this name is not ours, and `adopt` does not take it over.
    """
    try:
        return _write(cluster, secret, current, adopt)
    except ApiRefusal as error:
        if error.status != 409:
            raise
    return _write(cluster, secret, read(cluster, secret), adopt)


def _write(cluster: Cluster, secret: Secret, current: JSON | None, adopt: bool) -> Outcome:
    wanted = manifest(secret)
    if current is None:
        try:
            cluster.call("POST", path("secrets", secret.namespace), wanted)
        except ApiRefusal as error:
            if error.status == 404:
                raise RefusedError(no_namespace(secret.namespace)) from None
            raise
        return "created"
    metadata = current["metadata"]
    marks, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    if marks.get(MANAGED_BY) != OURS and not adopt:
        raise RefusedError(
            f"the Secret {secret.name} in {secret.namespace} was not made by mlo-submit, and is left alone. "
            "Choose another RUNAI_SECRET_NAME, or let `mlo-submit sync-secret --adopt` replace its content."
        )
    if (
        wanted["metadata"]["labels"].items() <= marks.items()
        and annotations.get(CONTENT_HASH) == wanted["metadata"]["annotations"][CONTENT_HASH]
        and (current.get("data") or {}) == wanted["data"]
    ):
        return "unchanged"
    # The type of a Secret cannot be changed; the version makes a write in between a conflict. Labels of others stay.
    ours: dict[str, Any] = wanted["metadata"]
    ours.update(
        labels={**marks, **ours["labels"]},
        annotations={**annotations, **ours["annotations"]},
        resourceVersion=metadata["resourceVersion"],
    )
    wanted["type"] = current.get("type", "Opaque")
    cluster.call("PUT", path("secrets", secret.namespace, secret.name), wanted)
    return "updated"


def no_namespace(namespace: str) -> str:
    """What to tell when the cluster has no such namespace."""
    return (
        f"the cluster has no namespace {namespace}. Set K8S_NAMESPACE to yours (run:ai's is runai-PROJECT), "
        "and see that your kubeconfig is that of the right cluster."
    )
