"""`mlo-submit doctor` and a cluster: a situation, and the line and the remedy that it gives."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlo_submit import checks, secret
from mlo_submit.checks import cluster, places
from mlo_submit.checks.context import Context, Greeting, UntoldError
from mlo_submit.env import Config
from mlo_submit.machine import Machine
from tests.unit.submit.conftest import ENV, Api, Fake, Invoke, config_of, status
from tests.unit.submit.doctor import examine

NS = "/api/v1/namespaces/runai-mlo-jdoe"
PVC = f"{NS}/persistentvolumeclaims/mlo-scratch"
SECRET = f"{NS}/secrets/jdoe-env"
REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
QUEUE = "/apis/kueue.x-k8s.io"

Answers = Mapping[str, Any]


def node(name: str, gpus: int = 8, kind: str = "h100", image: str = "", **spec: bool) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"runai/node-pool": kind} if kind else {}},
        "spec": spec,
        "status": {"allocatable": {"nvidia.com/gpu": str(gpus)}, "images": [{"names": [image]}] if image else None},
    }


def pod(where: str, gpus: int) -> dict[str, Any]:
    return {"spec": {"nodeName": where, "containers": [{"resources": {"limits": {"nvidia.com/gpu": str(gpus)}}}]}}


def pvc(phase: str) -> dict[str, Any]:
    return {"spec": {"accessModes": ["ReadWriteMany"]}, "status": {"phase": phase, "capacity": {"storage": "100Ti"}}}


HEALTHY = {
    "/version": {"gitVersion": "v1.34.1"},
    NS: {"status": {"phase": "Active"}},
    PVC: pvc("Bound"),
    "/api/v1/nodes": {"items": [node("a", image="registry.example.org/mlo/base:1"), node("b", kind="v100", gpus=4)]},
    "/api/v1/pods": {"items": [pod("a", 3), pod("b", 4), pod("elsewhere", 1)]},
    "/apis/batch/v1/namespaces/runai-mlo-jdoe/jobs": {"items": []},
    f"{NS}/pods": {"items": []},
    f"{NS}/serviceaccounts/default": {"imagePullSecrets": [{"name": "registry"}]},
}


@pytest.fixture
def healthy(api: Api, env_file: Path, fake: Callable[[str], Fake]) -> Api:
    """A cluster on which all is well, and the tools to go there."""
    for path, body in HEALTHY.items():
        api.answers["GET", path] = (200, body)
    api.answers["POST", REVIEW] = (201, {"status": {"allowed": True}})
    fake("kubectl").reply("version", out=json.dumps({"clientVersion": {"gitVersion": "v1.33.0"}}))
    return api


def test_where_all_is_well_no_line_is_wrong(healthy: Api, invoke: Invoke) -> None:
    found = examine(invoke)
    assert {name for name, item in found.items() if item["ok"] is None} == {
        *("git", "account", "SSH key", "archive", "priority class", "home on scratch")
    }
    assert list(found) == [check.name for check in checks.CHECKS if "kubernetes" in check.on]
    assert found["GPUs"]["found"] == "h100 5 of 8, v100 0 of 4 free"
    assert "which 1 of 2 nodes have already" in found["image"]["found"]
    assert found["volume claim"]["found"] == "mlo-scratch, 100Ti, ReadWriteMany"
    assert "`mlo-submit run` makes it" in found["Secret"]["found"]
    assert found["clock"]["ok"] is True
    assert not [method for method, _ in healthy.paths() if method not in ("GET", "POST")], "nothing is changed"
    assert {path for method, path in healthy.paths() if method == "POST"} == {REVIEW}


FORBIDDEN = status(403, "forbidden")
GONE = status(404, "not found")


@pytest.mark.parametrize(
    ("answers", "check", "ok", "found", "remedy"),
    [
        ({"/version": status(401, "Unauthorized")}, "server", False, "you are not logged in to the", "Get a new"),
        ({"/version": status(401, "Unauthorized")}, "rights", None, "the cluster comes first", ""),
        ({"/version": status(503, "down")}, "server", False, "is in trouble (HTTP 503)", ""),
        ({NS: GONE}, "namespace", False, "the cluster has no namespace runai-mlo-jdoe", "Set K8S_NAMESPACE"),
        ({NS: FORBIDDEN}, "namespace", None, "not for you to see", ""),
        ({NS: (200, {"status": {"phase": "Terminating"}})}, "namespace", False, "is being deleted", "administrator"),
        ({REVIEW: (201, {"status": {"allowed": False}})}, "rights", False, "you may do nothing in", "administrator"),
        ({PVC: GONE}, "volume claim", False, "there is no mlo-scratch in runai-mlo-jdoe", "Set SCRATCH_PVC"),
        ({PVC: (200, pvc("Pending"))}, "volume claim", None, "not bound yet", "waits for the first pod"),
        ({PVC: (200, pvc("Lost"))}, "volume claim", False, "Lost", "administrator"),
        ({PVC: FORBIDDEN}, "volume claim", None, "not for you to see", ""),
        ({SECRET: (200, {"metadata": {}})}, "Secret", False, "was not made by mlo-submit", "sync-secret --adopt"),
        ({"/api/v1/nodes": FORBIDDEN}, "GPUs", None, "not for you to see", ""),
        ({"/api/v1/nodes": FORBIDDEN}, "image", None, "the first pod tells", ""),
        ({"/api/v1/nodes": (200, {"items": [node("a")]})}, "image", None, "no node has it yet", ""),
        ({"/api/v1/nodes": (200, {"items": [node("a", gpus=0)]})}, "GPUs", None, "no node has any", ""),
        ({"/api/v1/nodes": (200, {"items": [node("a", kind="")]})}, "GPUs", None, "others 5 of 8", "No node has"),
        ({"/api/v1/nodes": (200, {"items": [node("a", unschedulable=True)]})}, "GPUs", True, "h100 0 of 8 free", ""),
        ({"/api/v1/pods": FORBIDDEN}, "GPUs", True, "h100 8, v100 4; how many are free is not for you to see", ""),
    ],
)  # fmt: skip
def test_the_cluster(
    healthy: Api, invoke: Invoke, answers: Answers, check: str, ok: bool | None, found: str, remedy: str
) -> None:
    for path, answer in answers.items():
        healthy.answers["POST" if path == REVIEW else "GET", path] = answer
    item = examine(invoke)[check]
    assert item["ok"] is ok, item
    assert found in item["found"]
    assert remedy in item["remedy"]
    assert ok is not False or item["remedy"] or "HTTP 503" in found, "what is wrong has a remedy"


@pytest.mark.parametrize(
    ("settings", "check", "ok", "found", "remedy"),
    [
        ("MLO_SCHEDULER=kai-scheduler", "queue", False, "kai-scheduler places no job without a queue", "Set it"),
        ("MLO_QUEUE=q", "queue", False, "the cluster knows no queue of kueue.x-k8s.io", "MLO_QUEUE_LABEL"),
        ("MLO_QUEUE=q\nMLO_QUEUE_LABEL=x/y", "queue", None, "whose label x/y is, cannot be told", ""),
        ("MLO_PRIORITY_CLASS=urgent", "priority class", False, "urgent: it does not exist", "Set MLO_PRIORITY_CLASS"),
        ("MLO_KIND=jobset", "kind", False, "is a JobSet, and the cluster has none", "Leave MLO_KIND"),
        ("RUNAI_IMAGE=registry:5000/a/b", "image", False, "is whatever was built last", "Name a tag"),
        ("TZ=Zurich", "time zone", False, "TZ=Zurich is no zone", "Europe/Zurich"),
        ("TZ=CET-1CEST", "time zone", True, "by its rule", ""),
        ("LDAP_UID=x", "settings", False, "LDAP_UID=x is no id", "Correct"),
        ("LDAP_UID=x", "volume claim", None, ".env comes first", ""),
        ("A=${NOTHING}", "settings", None, "A has a ${NAME} that is not set", ""),
        ("SSH_PRIVATE_KEY_B64=abc", "SSH key", False, "is not base64", "base64 -w0"),
        ("ARCHIVE_HOST=h\nARCHIVE_ROOT=/a\nSCRATCH_HOST_ROOT=/s", "archive", False, "`ssh` is not on PATH", "Install"),
    ],
)  # fmt: skip
def test_settings(
    healthy: Api, env_file: Path, invoke: Invoke, settings: str, check: str, ok: bool | None, found: str, remedy: str
) -> None:
    env_file.write_text(ENV + settings + "\n")
    item = examine(invoke)[check]
    assert item["ok"] is ok, item
    assert found in item["found"]
    assert remedy in item["remedy"]


def test_a_queue_is_looked_up_where_its_kind_is(healthy: Api, env_file: Path, invoke: Invoke) -> None:
    env_file.write_text(ENV + "MLO_QUEUE=q\n")
    healthy.answers["GET", QUEUE] = (200, {"preferredVersion": {"groupVersion": "kueue.x-k8s.io/v1beta1"}})
    missing = examine(invoke)["queue"]
    assert (missing["ok"], "queue q: it does not exist" in missing["found"]) == (False, True)
    healthy.answers["GET", f"{QUEUE}/v1beta1/namespaces/runai-mlo-jdoe/localqueues/q"] = (200, {})
    assert examine(invoke)["queue"]["ok"] is True


def test_the_secret_is_compared_with_env(healthy: Api, env_file: Path, invoke: Invoke, laptop: Machine) -> None:
    stored = secret.manifest(secret.from_config(config_of(laptop), None))
    healthy.answers["GET", SECRET] = (200, stored)
    assert examine(invoke)["Secret"]["ok"] is True
    env_file.write_text(ENV.replace("hf_hidden", "hf_hidden_anew"))
    item = examine(invoke)["Secret"]
    assert (item["ok"], item["found"]) == (False, "jdoe-env is not what .env says now")
    assert "sync-secret" in item["remedy"]


def test_kubectl_and_the_server_are_neighbours(
    healthy: Api, invoke: Invoke, fake: Callable[[str], Fake], tmp_path: Path
) -> None:
    fake("kubectl").reply(out=json.dumps({"clientVersion": {"gitVersion": "v1.32.9"}}))
    item = examine(invoke)["kubectl"]
    assert (item["ok"], item["found"]) == (False, "v1.32.9, and the server has 1.34")
    assert "Install a kubectl of 1.34" in item["remedy"]
    (tmp_path / "bin/kubectl").unlink()
    item = examine(invoke)["kubectl"]
    assert (item["ok"], item["found"]) == (False, "`kubectl` is not on PATH")
    assert "Install kubectl (https://" in item["remedy"]


def test_without_a_kubeconfig_the_login_alone_is_wrong(env_file: Path, invoke: Invoke) -> None:
    found = examine(invoke)
    assert {name for name, item in found.items() if item["ok"] is False} == {"login", "kubectl"}
    assert "there is no kubeconfig" in found["login"]["found"]
    assert found["server"]["found"] == "not looked at: the login comes first"


def done(value: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(value)
    return future


def known(laptop: Machine, config: Config, **facts: Any) -> Context:
    """A context of facts alone."""
    empty = {name: done(None) for name in ("connection", "greeting", "nodes")}
    given = {name: done(value) for name, value in facts.items()}
    return Context(
        machine=laptop, backend="kubernetes", path=config.path, settings=config, doubts=(), **{**empty, **given}
    )


@pytest.mark.parametrize(
    ("ahead", "ok", "found"),
    [
        (29.0, True, "agrees"),
        (-31.0, False, "this machine is 31 s behind the cluster"),
        (3600.0, False, "this machine is 3600 s ahead of the cluster"),
    ],
)
def test_a_clock_that_breaks_logins(laptop: Machine, config: Config, ahead: float, ok: bool, found: str) -> None:
    finding = cluster.clock(known(laptop, config, greeting=Greeting(version={}, seconds=0.1, ahead=ahead)))
    assert finding.ok is ok
    assert found in finding.found


def test_rights_that_are_missing_are_named(laptop: Machine, config: Config) -> None:
    def call(method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        wanted = body["spec"]["resourceAttributes"]
        return {
            "status": {
                "allowed": (wanted["verb"], wanted["resource"], wanted["subresource"]) != ("create", "pods", "exec")
            }
        }

    finding = cluster.rights(known(laptop, config, connection=SimpleNamespace(call=call)))
    assert finding.found == "you may not create pods/exec in runai-mlo-jdoe"


@pytest.mark.parametrize(
    ("uid", "name", "ok"),
    [(123456, "jdoe", True), (1000, "jdoe", False), (1000, places.UNKNOWN, False), (177449, "seed", None)],
)
def test_whose_home_it_is(config: Config, uid: int, name: str, ok: bool | None) -> None:
    """A pod makes it by another account, where the export squashes root: that one tells nothing."""
    if ok is None:
        with pytest.raises(UntoldError, match="was made by seed"):
            places.whose(config, "/home", uid, name)
    else:
        assert places.whose(config, "/home", uid, name).ok is ok


@pytest.mark.parametrize(
    ("image", "full", "pinned"),
    [
        ("mlo", "docker.io/library/mlo", False),
        ("mlo:latest", "docker.io/library/mlo:latest", False),
        ("lab/mlo:1", "docker.io/lab/mlo:1", True),
        ("localhost/mlo:1", "localhost/mlo:1", True),
        ("r.example.org:5000/mlo", "r.example.org:5000/mlo", False),
        ("r.example.org/mlo@sha256:ab", "r.example.org/mlo@sha256:ab", True),
    ],
)
def test_the_name_of_an_image(image: str, full: str, pinned: bool) -> None:
    assert (places.full(image), places.pinned(image)) == (full, pinned)
