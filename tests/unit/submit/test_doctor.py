"""`mlo-submit doctor`: a situation, and the line and the remedy that it gives."""

from __future__ import annotations

import base64
import json
import os
import pwd
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlo_submit import checks, secret
from mlo_submit.checks import cluster, local, places
from mlo_submit.checks.context import Check, Context, Finding, Greeting, UntoldError, look
from mlo_submit.env import Config
from mlo_submit.machine import Machine
from tests.unit.submit.conftest import ENV, Api, Fake, Invoke, config_of, status

NS = "/api/v1/namespaces/runai-mlo-jdoe"
PVC = f"{NS}/persistentvolumeclaims/mlo-scratch"
SECRET = f"{NS}/secrets/jdoe-env"
REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
QUEUE = "/apis/kueue.x-k8s.io"

Answers = Mapping[str, Any]
Findings = dict[str, dict[str, Any]]


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


@pytest.fixture
def examine(invoke: Invoke) -> Callable[..., Findings]:
    """Runs the doctor; its exit code must be that of its findings."""

    def run(*argv: str, backend: str = "kubernetes") -> Findings:
        result = invoke("--backend", backend, "doctor", "--json", *argv)
        found = {item["check"]: item for item in json.loads(result.stdout)}
        assert result.exit_code == (1 if any(item["ok"] is False for item in found.values()) else 0)
        assert "the check itself failed" not in result.output
        return found

    return run


Examine = Callable[..., Findings]


def test_where_all_is_well_no_line_is_wrong(healthy: Api, examine: Examine) -> None:
    found = examine()
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
    healthy: Api, examine: Examine, answers: Answers, check: str, ok: bool | None, found: str, remedy: str
) -> None:
    for path, answer in answers.items():
        healthy.answers["POST" if path == REVIEW else "GET", path] = answer
    item = examine()[check]
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
    healthy: Api, env_file: Path, examine: Examine, settings: str, check: str, ok: bool | None, found: str, remedy: str
) -> None:
    env_file.write_text(ENV + settings + "\n")
    item = examine()[check]
    assert item["ok"] is ok, item
    assert found in item["found"]
    assert remedy in item["remedy"]


def test_a_queue_is_looked_up_where_its_kind_is(healthy: Api, env_file: Path, examine: Examine) -> None:
    env_file.write_text(ENV + "MLO_QUEUE=q\n")
    healthy.answers["GET", QUEUE] = (200, {"preferredVersion": {"groupVersion": "kueue.x-k8s.io/v1beta1"}})
    missing = examine()["queue"]
    assert (missing["ok"], "queue q: it does not exist" in missing["found"]) == (False, True)
    healthy.answers["GET", f"{QUEUE}/v1beta1/namespaces/runai-mlo-jdoe/localqueues/q"] = (200, {})
    assert examine()["queue"]["ok"] is True


def test_the_secret_is_compared_with_env(healthy: Api, env_file: Path, examine: Examine, laptop: Machine) -> None:
    stored = secret.manifest(secret.from_config(config_of(laptop), None))
    healthy.answers["GET", SECRET] = (200, stored)
    assert examine()["Secret"]["ok"] is True
    env_file.write_text(ENV.replace("hf_hidden", "hf_hidden_anew"))
    item = examine()["Secret"]
    assert (item["ok"], item["found"]) == (False, "jdoe-env is not what .env says now")
    assert "sync-secret" in item["remedy"]


def test_kubectl_and_the_server_are_neighbours(
    healthy: Api, examine: Examine, fake: Callable[[str], Fake], tmp_path: Path
) -> None:
    fake("kubectl").reply(out=json.dumps({"clientVersion": {"gitVersion": "v1.32.9"}}))
    item = examine()["kubectl"]
    assert (item["ok"], item["found"]) == (False, "v1.32.9, and the server has 1.34")
    assert "Install a kubectl of 1.34" in item["remedy"]
    (tmp_path / "bin/kubectl").unlink()
    item = examine()["kubectl"]
    assert (item["ok"], item["found"]) == (False, "`kubectl` is not on PATH")
    assert "Install kubectl (https://" in item["remedy"]


def test_without_a_kubeconfig_the_login_alone_is_wrong(env_file: Path, examine: Examine) -> None:
    found = examine()
    assert {name for name, item in found.items() if item["ok"] is False} == {"login", "kubectl"}
    assert "there is no kubeconfig" in found["login"]["found"]
    assert found["server"]["found"] == "not looked at: the login comes first"


def test_without_env_the_rest_is_not_looked_at(invoke: Invoke, laptop: Machine) -> None:
    result = invoke("--backend", "docker", "doctor")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].startswith("\u2717 .env             there is no .env, neither ")
    assert lines[1].startswith("                   \u2192 `mlo-submit init` writes one")
    assert "\u2013 settings         there is none" in lines


@pytest.mark.parametrize(("mode", "ok"), [(0o600, True), (0o400, True), (0o640, False), (0o604, False)])
def test_env_is_for_its_owner_alone(env_file: Path, examine: Examine, mode: int, ok: bool) -> None:
    env_file.chmod(mode)
    item = examine()["privacy of .env"]
    assert (item["ok"], item["remedy"]) == (ok, "" if ok else f"chmod 600 {env_file}")


@pytest.mark.parametrize(
    ("tracked", "ignored", "ok", "found"),
    [(0, 1, False, "git tracks .env"), (1, 1, False, "git does not ignore .env"), (1, 0, True, "ignores .env")],
)
def test_git_never_gets_env(
    env_file: Path, examine: Examine, fake: Callable[[str], Fake], tracked: int, ignored: int, ok: bool, found: str
) -> None:
    git = fake("git")
    git.reply("-C", str(env_file.parent), "ls-files", code=tracked)
    git.reply("-C", str(env_file.parent), "check-ignore", code=ignored)
    item = examine()["git"]
    assert item["ok"] is ok
    assert found in item["found"]
    assert ok or item["remedy"]


PUBLIC = "ssh-ed25519 AAAAC3Nza"


@pytest.mark.parametrize(
    ("public", "code", "ok", "found"),
    [
        (f"{PUBLIC} jdoe@laptop", 0, True, "without a passphrase, and the public key is its own"),
        ("", 0, True, "without a passphrase"),
        ("ssh-ed25519 BBBB", 0, False, "SSH_PUBLIC_KEY belongs to another key"),
        ("", 1, False, "ssh-keygen cannot read it"),
    ],
)
def test_the_ssh_key_is_whole_and_has_its_own_public_key(
    env_file: Path, examine: Examine, fake: Callable[[str], Fake], public: str, code: int, ok: bool, found: str
) -> None:
    private = base64.b64encode(b"-----BEGIN PRIVATE KEY-----\nhidden\n").decode()
    env_file.write_text(f"{ENV}SSH_PRIVATE_KEY_B64={private}\nSSH_PUBLIC_KEY='{public}'\n")
    keygen = fake("ssh-keygen")
    keygen.reply("-y", "-P", "", "-f", code=code, out=f"{PUBLIC} \n")
    item = examine()["SSH key"]
    assert (item["ok"], item["found"]) == (ok, found)
    (words,) = keygen.calls
    assert not Path(words[-1]).exists(), "no copy of the key stays"


@pytest.mark.parametrize(
    ("uid", "gid", "in_passwd", "ok", "found"),
    [
        (123456, 83070, False, True, "jdoe is 123456:83070 on this machine, too"),
        (1000, 1000, False, False, "LDAP_UID=123456, and here jdoe is 1000"),
        (123456, 1, False, False, "LDAP_GID=83070, and here the group of jdoe is 1"),
        (1000, 1000, True, None, "an account of this machine alone"),
    ],
)
def test_the_account_is_the_one_that_this_machine_knows(
    env_file: Path,
    examine: Examine,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    uid: int,
    gid: int,
    in_passwd: bool,
    ok: bool | None,
    found: str,
) -> None:
    passwd = tmp_path / "passwd"
    passwd.write_text("root:x:0:0::/:\n" + ("jdoe:x:1000:1000::/:\n" if in_passwd else ""))
    monkeypatch.setattr(local, "PASSWD", passwd)
    monkeypatch.setattr(pwd, "getpwnam", lambda name: SimpleNamespace(pw_uid=uid, pw_gid=gid))
    item = examine()["account"]
    assert item["ok"] is ok, item
    assert found in item["found"]


@pytest.mark.parametrize(
    ("code", "out", "err", "ok", "found"),
    [
        (0, "", "", True, "login lets you in, and has the store and the scratch"),
        (0, "rsync\n/store\n", "", False, "login has no rsync, no /store"),
        (255, "", "jdoe@login: Permission denied (password).\n", None, "asks for a password"),
        (255, "", "Host key verification failed.\n", False, "no way in to login: Host key verification failed."),
    ],
)
def test_the_login_host(
    env_file: Path, examine: Examine, fake: Callable[[str], Fake], code: int, out: str, err: str, ok: bool, found: str
) -> None:
    env_file.write_text(ENV + "ARCHIVE_HOST=login\nARCHIVE_ROOT=/store\nSCRATCH_HOST_ROOT=/s\n")
    fake("ssh").reply("-o", "BatchMode=yes", code=code, out=out, err=err)
    item = examine()["archive"]
    assert item["ok"] is ok, item
    assert found in item["found"]
    assert ok is not False or item["remedy"]


def docker(fake: Callable[[str], Fake]) -> Fake:
    made = fake("docker")
    made.reply(code=1, err="Error response from daemon: No such image")
    made.reply("version", out="28.0 20.10\n")
    made.reply("ps")
    made.reply("info", out=json.dumps({"Runtimes": {"runc": {}}}))
    return made


def test_docker_where_all_is_well(env_file: Path, examine: Examine, fake: Callable[[str], Fake]) -> None:
    docker(fake).reply("image", "inspect")
    found = examine(backend="docker")
    assert {name for name, item in found.items() if item["ok"] is None} == {
        *("git", "account", "SSH key", "archive", "GPUs")
    }
    assert found["engine"]["found"] == "client 28.0, engine 20.10"
    assert "login" not in found, "no cluster is asked"


def test_docker_without_an_engine(env_file: Path, examine: Examine, fake: Callable[[str], Fake]) -> None:
    docker(fake).reply(code=1, err="Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?")
    found = examine(backend="docker")
    assert [name for name, item in found.items() if item["ok"] is False] == ["engine"]
    assert "sudo systemctl start docker" in found["engine"]["remedy"]


@pytest.mark.parametrize(
    ("policy", "here", "manifest", "ok", "found"),
    [
        ("Never", 1, 0, False, "is not on this machine, and is never pulled"),
        ("", 1, 0, True, "the registry has it"),
        ("", 1, 1, False, "cannot be pulled: no such manifest"),
        ("Always", 0, 1, False, "cannot be pulled"),
        ("", 0, 1, True, "is on this machine"),
    ],
)
def test_docker_can_have_the_image(
    env_file: Path,
    examine: Examine,
    fake: Callable[[str], Fake],
    policy: str,
    here: int,
    manifest: int,
    ok: bool,
    found: str,
) -> None:
    env_file.write_text(ENV + f"MLO_IMAGE_PULL_POLICY={policy}\n")
    made = docker(fake)
    made.reply("image", "inspect", code=here)
    made.reply("manifest", "inspect", code=manifest, err="no such manifest")
    item = examine(backend="docker")["image"]
    assert item["ok"] is ok
    assert found in item["found"]


@pytest.mark.parametrize(
    ("disk", "found"),
    [
        ({"f_bavail": 1, "f_favail": 10**6}, "4 KiB free"),
        ({"f_bavail": 10**9, "f_favail": 7}, "room for 7 more files"),
    ],
)
def test_a_full_disk(
    env_file: Path,
    examine: Examine,
    fake: Callable[[str], Fake],
    monkeypatch: pytest.MonkeyPatch,
    disk: Any,
    found: str,
) -> None:
    docker(fake)
    full = SimpleNamespace(f_frsize=4096, f_files=10**6, **disk)
    monkeypatch.setattr(os, "statvfs", lambda path: full)
    for item in (examine(backend="docker")[name] for name in ("local scratch", "state directory")):
        assert item["ok"] is False
        assert found in item["found"]
        assert "Make room" in item["remedy"]


def test_a_gpu_without_its_runtime(laptop: Machine, fake: Callable[[str], Fake], env_file: Path) -> None:
    made = docker(fake)
    context = look(replace(laptop, has_gpu=True), None, "docker")
    finding = checks.docker.gpus(context)
    assert (finding.ok, "Container Toolkit" in finding.remedy) == (False, True)
    made.reply("info", out=json.dumps({"Runtimes": {"runc": {}, "nvidia": {}}}))
    assert checks.docker.gpus(context).ok is True


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


def test_a_check_that_crashes_or_hangs_is_a_line(
    env_file: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = threading.Event()

    def crash(context: Context) -> Finding:
        raise KeyError("x")

    def hang(context: Context) -> Finding:
        end.wait()
        raise UntoldError("")

    chosen = tuple(Check(name=run.__name__, run=run) for run in (crash, hang, local.file))
    monkeypatch.setattr(checks, "CHECKS", chosen)
    monkeypatch.setattr(checks, "DEADLINE", 0.3)
    result = invoke("--backend", "docker", "doctor")
    end.set()
    assert result.exit_code == 0
    assert [line.split(maxsplit=2)[::2] for line in result.stdout.splitlines()] == [
        ["\u2013", "the check itself failed: KeyError: 'x'"],
        ["\u2013", "no answer within 0.3 seconds"],
        ["\u2713", str(env_file)],
    ]
