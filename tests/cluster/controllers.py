"""Controllers that a test brings to the cluster: programs of `build.sh`, in the network of the node."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.cluster import HERE, output
from tests.cluster.lab import Lab

Told = dict[str, Any]


def administer(lab: Lab, *argv: str | Path, stdin: str = "") -> None:
    """kubectl, as the administrator."""
    admin = ["kubectl", f"--kubeconfig={lab.as_user('admin')}"]
    subprocess.run([*admin, *argv], check=True, input=stdin, text=True)


def build(name: str) -> Path:
    """The directory with the program of that name, and its own manifests."""
    return Path(output(HERE / "build.sh", name))


@contextmanager
def running(lab: Lab, program: Path, namespace: str, manifests: Iterable[Path], hooks: list[Told]) -> Iterator[None]:
    """Apply the manifests (files or directories), start the program, and let the API server ask its webhooks."""
    shutil.copy(program, lab.kubeconfig.parent)
    administer(lab, "apply", "--server-side", *(f"--filename={each}" for each in manifests))
    pod = (HERE / program.name / "controller.yaml").read_text().replace("$IMAGE", lab.image)
    administer(lab, "apply", "--server-side", "--filename=-", stdin=pod)
    ready = ("--for=condition=Ready", "--timeout=60s", f"--namespace={namespace}", f"pod/{program.name}")
    administer(lab, "wait", *ready)
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": hooks})
    administer(lab, "apply", "--server-side", "--filename=-", stdin=listed)
    yield
    administer(lab, "delete", "--filename=-", stdin=listed)
    administer(lab, "delete", "namespace", namespace, "--timeout=60s")  # the next one of that name finds none that ends


def webhooks(lab: Lab, file: Path, name: str, port: int, *ends: str) -> list[Told]:
    """Those of a file whose path ends so, found at an address of the node instead of through a Service."""
    authority = base64.b64encode((lab.kubeconfig.parent / "tls.crt").read_bytes()).decode()
    found: list[Told] = list(yaml.safe_load_all(file.read_text()))
    for configuration in found:
        configuration["metadata"]["name"] = f"{name}-{configuration['metadata']['name']}"
        configuration["webhooks"] = [
            {**each, "clientConfig": {"url": f"https://127.0.0.1:{port}{path}", "caBundle": authority}}
            for each in configuration["webhooks"]
            if (path := each["clientConfig"]["service"]["path"]).endswith(ends)
        ]
    return found


@contextmanager
def kinds(lab: Lab) -> Iterator[None]:
    """The controllers of JobSet and PyTorchJob, and their types, which the members may use."""
    programs = build("operators")
    hooks = [
        hook
        for name, path in (("jobset", "-jobset"), ("training", "-pytorchjob"))
        for hook in webhooks(lab, programs / f"webhooks/{name}.yaml", name, 9444, path)
    ]
    manifests = (programs / "crds", programs / "roles")
    with running(lab, programs / "operators", "operators", manifests, hooks):
        yield
        administer(lab, "delete", f"--filename={programs}/crds", "--timeout=60s")
