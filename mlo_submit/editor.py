"""How an editor of the VS Code family is told to open a directory of a running container. Pure.

The addresses are those that the editors make themselves when somebody attaches by hand; Cursor documents its own, VS
Code does not.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, Literal, get_args
from urllib.parse import quote

Editor = Literal["code", "code-insiders", "cursor"]

EDITORS: Final[tuple[Editor, ...]] = get_args(Editor)


@dataclass(frozen=True, kw_only=True)
class KubernetesContainer:
    """A container of a pod, as kubectl reaches it."""

    context: str
    namespace: str
    pod: str
    name: str
    image: str


@dataclass(frozen=True, kw_only=True)
class DockerContainer:
    """A container of the engine of this machine."""

    name: str


Address = KubernetesContainer | DockerContainer


def uri(editor: Editor, address: Address, path: str) -> str:
    """The address of a directory (an absolute path) in a container."""
    return f"vscode-remote://{_authority(editor, address)}{quote(path)}"


def _authority(editor: Editor, address: Address) -> str:
    if isinstance(address, DockerContainer):
        if editor == "cursor":
            return "attached-container+" + _hex(settingType="container", containerId=address.name)
        return "attached-container+" + _hex(containerName=f"/{address.name}")
    fields = {
        "context": address.context,
        "podname": address.pod,
        "namespace": address.namespace,
        "name": address.name,
    }
    if editor == "cursor":
        return "k8s-container+" + _hex(settingType="pod", **fields)
    fields["image"] = address.image
    return "+".join(["k8s-container", *(f"{key}={quote(value, safe='')}" for key, value in fields.items())])


def _hex(**fields: str) -> str:
    return json.dumps(fields).encode().hex()


def needs(editor: Editor, address: Address) -> str:
    """A sentence: the extensions that must be there."""
    if editor == "cursor":
        return "It needs the extension Dev Containers (anysphere.remote-containers)."
    if isinstance(address, DockerContainer):
        return "It needs the extension Dev Containers (ms-vscode-remote.remote-containers)."
    return (
        "It needs the extensions Dev Containers (ms-vscode-remote.remote-containers) and Kubernetes "
        "(ms-kubernetes-tools.vscode-kubernetes-tools)."
    )


def by_hand(address: Address) -> str:
    """Where to click instead."""
    if isinstance(address, DockerContainer):
        return f"Dev Containers: Attach to Running Container…, then {address.name}"
    return (
        f"the Kubernetes view, {address.context}, namespace {address.namespace}, Workloads, Pods, "
        f"a right click on {address.pod}, Attach Visual Studio Code"
    )
