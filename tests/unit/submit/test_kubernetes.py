from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml as pyyaml
from hypothesis import given
from hypothesis import strategies as st

from mlo_submit import kube, secret, yaml
from mlo_submit.backends.kubernetes.manifest import literal, render
from mlo_submit.env import Config
from mlo_submit.job import Flags, Mount, from_flags
from mlo_submit.machine import Machine
from tests.unit.submit.conftest import ENV, Api, Invoke, config_of, status, write_kubeconfig

NOW = datetime(2026, 11, 24)
NAMESPACE = "runai-mlo-jdoe"
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"
SECRET = f"{SECRETS}/jdoe-env"
CLAIMS = f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims"
CLAIM = f"{CLAIMS}/mlo-scratch"
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"

LABELS = {
    "app.kubernetes.io/name": "mlo",
    "app.kubernetes.io/instance": "x",
    "app.kubernetes.io/component": "interactive",
    "app.kubernetes.io/managed-by": "mlo-submit",
    "mlo-submit/user": "jdoe",
}

ENVIRON = [
    {"name": "HOME", "value": "/home/jdoe"},
    {"name": "NB_USER", "value": "jdoe"},
    {"name": "NB_UID", "value": "123456"},
    {"name": "NB_GROUP", "value": "MLO-unit"},
    {"name": "NB_GID", "value": "83070"},
    {"name": "WORKING_DIR", "value": "/mloscratch/homes/jdoe"},
    {"name": "SCRATCH_HOME", "value": "/mloscratch/homes/jdoe"},
    {"name": "SCRATCH_HOME_ROOT", "value": "/mloscratch/homes"},
    {"name": "EPFML_LDAP", "value": "jdoe"},
    {"name": "HF_HOME", "value": "/mloscratch/hf_cache"},
    {"name": "UV_PYTHON_VERSION", "value": "3.11"},
    {"name": "TZ", "value": "Europe/Zurich"},
    {"name": "GIT_CONFIG_GLOBAL", "value": "/mloscratch/homes/jdoe/.gitconfig"},
    {"name": "UV_CACHE_DIR", "value": "/mloscratch/homes/jdoe/.cache/uv"},
    {"name": "UV_PYTHON_INSTALL_DIR", "value": "/mloscratch/homes/jdoe/.uv"},
]


def test_a_pod_that_waits_as_a_whole_manifest(config: Config) -> None:
    assert render(from_flags(config, Flags(name="x"), NOW)) == {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": "x",
            "namespace": NAMESPACE,
            "labels": LABELS,
            "annotations": {"mlo-submit/submission": '{"name": "x"}'},
        },
        "spec": {
            "completionMode": "Indexed",
            "completions": 1,
            "backoffLimitPerIndex": 0,
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [137]}},
                ]
            },
            "template": {
                "metadata": {"labels": LABELS},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "securityContext": {"runAsUser": 123456, "runAsGroup": 83070},
                    "containers": [
                        {
                            "name": "job",
                            "image": "registry.example.org/mlo/base:1",
                            "args": ["sleep", "43200"],
                            "env": ENVIRON,
                            "resources": {},
                            "securityContext": {"allowPrivilegeEscalation": True},
                            "volumeMounts": [
                                {"name": "scratch", "mountPath": "/mloscratch"},
                                {"name": "secrets", "mountPath": "/run/secrets/mlo", "readOnly": True},
                            ],
                        }
                    ],
                    "volumes": [
                        {"name": "scratch", "persistentVolumeClaim": {"claimName": "mlo-scratch"}},
                        {
                            "name": "secrets",
                            "secret": {
                                "secretName": "jdoe-env",
                                "defaultMode": 0o400,
                                "items": [
                                    {"key": "HF_TOKEN", "path": "HF_TOKEN"},
                                    {"key": "WANDB_API_KEY", "path": "WANDB_API_KEY"},
                                ],
                            },
                        },
                    ],
                },
            },
        },
    }


def test_a_training_job_with_everything(laptop: Machine) -> None:
    config = config_of(
        laptop,
        ENV
        + "MLO_SCHEDULER=kai-scheduler\nMLO_QUEUE=team\nMLO_PRIORITY_CLASS=train\nMLO_NODE_SELECTOR=zone=a\n"
        + "MLO_NODE_TYPE_LABEL=gpu/type\nMLO_IMAGE_PULL_POLICY=Always\nMLO_TTL_AFTER_FINISHED=1d\n",
    )
    flags = Flags(
        name="x",
        train=True,
        line='echo "$(TZ)" $$',
        exp_folder="exp",
        venv=".venv",
        time=7200,
        grace=120,
        gpus=2,
        cpus="8",
        memory="64Gi",
        image="other:2",
        port=8888,
        retries=3,
        secret_name="mine",
        skip_secret_sync=True,
        pvc="data",
        node_types=("h100", "h200"),
        host_ipc=True,
        shm_size="16Gi",
        env={"A": "$(B)"},
        mounts=(Mount(source="extra", target="/extra", read_only=True),),
    )
    manifest = render(from_flags(config, flags, NOW))
    labels = {**LABELS, "app.kubernetes.io/component": "training", "kai.scheduler/queue": "team"}
    assert manifest["metadata"]["labels"] == labels
    assert {key: value for key, value in manifest["spec"].items() if key not in ("template", "podFailurePolicy")} == {
        "completionMode": "Indexed",
        "completions": 1,
        "backoffLimitPerIndex": 3,
        "backoffLimit": 3,
        "activeDeadlineSeconds": 7200,
        "ttlSecondsAfterFinished": 86400,
        "podReplacementPolicy": "Failed",
    }
    assert manifest["spec"]["template"]["metadata"]["labels"] == labels
    assert manifest["spec"]["template"]["spec"] == {
        "restartPolicy": "Never",
        "schedulerName": "kai-scheduler",
        "priorityClassName": "train",
        "terminationGracePeriodSeconds": 120,
        "hostIPC": True,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"runAsUser": 123456, "runAsGroup": 83070},
        "nodeSelector": {"zone": "a"},
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "gpu/type", "operator": "In", "values": ["h100", "h200"]}]}
                    ]
                }
            }
        },
        "containers": [
            {
                "name": "job",
                "image": "other:2",
                "imagePullPolicy": "Always",
                "args": [
                    "/bin/zsh",
                    "-c",
                    "[[ -r ~/.zshrc ]] && builtin source ~/.zshrc\n"
                    "builtin cd -q -- ./exp || exit\n"
                    "builtin source .venv/bin/activate || exit\n"
                    "trap 'exit 143' TERM\n"
                    'eval "shift;$$1"',
                    "mlo",
                    'echo "$$(TZ)" $$$$',
                ],
                "env": [*ENVIRON, {"name": "A", "value": "$$(B)"}],
                "ports": [{"containerPort": 8888}],
                "resources": {
                    "requests": {"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": "2"},
                    "limits": {"memory": "64Gi", "nvidia.com/gpu": "2"},
                },
                "securityContext": {"allowPrivilegeEscalation": True},
                "volumeMounts": [
                    {"name": "scratch", "mountPath": "/mloscratch"},
                    {"name": "secrets", "mountPath": "/run/secrets/mlo", "readOnly": True},
                    {"name": "shm", "mountPath": "/dev/shm"},
                    {"name": "mount-0", "mountPath": "/extra", "readOnly": True},
                ],
            }
        ],
        "volumes": [
            {"name": "scratch", "persistentVolumeClaim": {"claimName": "data"}},
            {
                "name": "secrets",
                "secret": {
                    "secretName": "mine",
                    "defaultMode": 0o400,
                    "items": [
                        {"key": "HF_TOKEN", "path": "HF_TOKEN"},
                        {"key": "WANDB_API_KEY", "path": "WANDB_API_KEY"},
                    ],
                    "optional": True,
                },
            },
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "16Gi"}},
            {"name": "mount-0", "persistentVolumeClaim": {"claimName": "extra"}},
        ],
    }


def pod(config: Config, **flags: Any) -> dict[str, Any]:
    spec: dict[str, Any] = render(from_flags(config, Flags(name="x", **flags), NOW))["spec"]
    return dict(spec["template"]["spec"])


def test_secrets_as_variables(config: Config) -> None:
    """For images without our entrypoint; a variable of --env goes before one of .env."""
    spec = pod(config, secrets="env", env={"WANDB_API_KEY": "mine"})
    assert spec["containers"][0]["env"][len(ENVIRON) :] == [
        {"name": "WANDB_API_KEY", "value": "mine"},
        {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "jdoe-env", "key": "HF_TOKEN"}}},
    ]
    assert [volume["name"] for volume in spec["volumes"]] == ["scratch"]


def test_one_node_type_is_a_selector(config: Config) -> None:
    spec = pod(config, node_types=("h100",))
    assert spec["nodeSelector"] == {"runai/node-pool": "h100"}
    assert "affinity" not in spec


@pytest.mark.parametrize(
    ("settings", "label", "on_pods"),
    [
        ("", "kueue.x-k8s.io/queue-name", False),
        ("MLO_SCHEDULER=runai-scheduler\n", "runai/queue", True),
        ("MLO_SCHEDULER=kai-scheduler\n", "kai.scheduler/queue", True),
        ("MLO_QUEUE_LABEL=own/queue\n", "own/queue", True),
    ],
)
def test_queues(laptop: Machine, settings: str, label: str, on_pods: bool) -> None:
    """Kueue suspends the Job itself; the schedulers are named in its pods, which have their queue's label."""
    manifest = render(from_flags(config_of(laptop, ENV + settings), Flags(queue="q", gpus=1), NOW))
    template = manifest["spec"]["template"]
    assert manifest["metadata"]["labels"][label] == "q"
    assert (label in template["metadata"]["labels"]) == on_pods
    assert template["spec"].get("schedulerName", "") == settings.partition("MLO_SCHEDULER=")[2].strip()
    assert template["spec"]["containers"][0]["resources"]["requests"] == {"nvidia.com/gpu": "1"}
    assert "suspend" not in manifest["spec"]


@pytest.mark.parametrize(
    ("settings", "label", "of_pods"),
    [
        ("", None, "urgent"),
        ("MLO_PRIORITY_CLASS=normal\n", None, "urgent"),
        ("MLO_QUEUE=q\n", "urgent", None),
        ("MLO_QUEUE=q\nMLO_PRIORITY_CLASS=normal\n", "urgent", "normal"),
        ("MLO_QUEUE=q\nMLO_SCHEDULER=kai-scheduler\n", None, "urgent"),
        ("MLO_QUEUE=q\nMLO_SCHEDULER=runai-scheduler\n", None, "urgent"),
    ],
)
def test_priorities(laptop: Machine, settings: str, label: str | None, of_pods: str | None) -> None:
    """Kueue's own class is that of the job in its queue, beside that of its pods; every scheduler reads the pods'."""
    manifest = render(from_flags(config_of(laptop, ENV + settings), Flags(priority="urgent"), NOW))
    assert manifest["metadata"]["labels"].get("kueue.x-k8s.io/priority-class") == label
    assert manifest["spec"]["template"]["spec"].get("priorityClassName") == of_pods
    assert "kueue.x-k8s.io/priority-class" not in manifest["spec"]["template"]["metadata"]["labels"]


def kubelet(text: str, environ: dict[str, str]) -> str:
    """How the kubelet expands args and values (k8s.io/kubernetes, third_party/forked/golang/expansion)."""
    out, at = "", 0
    while at < len(text):
        if text[at] == "$" and at + 1 < len(text):
            if text[at + 1] == "$":
                out, at = out + "$", at + 2
                continue
            end = text.find(")", at)
            if text[at + 1] == "(" and end > 0:
                name = text[at + 2 : end]
                out, at = out + environ.get(name, f"$({name})"), end + 1
                continue
        out, at = out + text[at], at + 1
    return out


@given(st.text(st.sampled_from("$()TZa ")))
def test_the_kubelet_gives_back_what_the_user_typed(text: str) -> None:
    assert kubelet(literal(text), {"TZ": "expanded", "a": "b"}) == text


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(PLAIN)
def test_the_yaml_that_is_shown_is_what_is_sent(value: object) -> None:
    assert pyyaml.safe_load(yaml.dump(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "no",
        "On",
        "null",
        "~",
        "1",
        "1e3",
        "0x1",
        "",
        " ",
        "- a",
        "a: b",
        "a #b",
        "2026-11-24",
        "\x85",
        "\u2028",
        ".inf",
        "=",
    ],
)
def test_what_yaml_would_take_for_something_else_is_quoted(text: str) -> None:
    assert pyyaml.safe_load(yaml.dump({"k": [text]})) == {"k": [text]}


# ---- against an API server


def ok(api: Api) -> None:
    api.answers["GET", CLAIM] = 200, {"kind": "PersistentVolumeClaim"}
    api.answers["POST", SECRETS] = 201, {"kind": "Secret"}
    api.answers["POST", JOBS] = 201, {"kind": "Job"}


RUN = ("run", "--backend", "kubernetes", "-n", "x")


def test_a_submission_sends_what_the_dry_run_shows(api: Api, invoke: Invoke, env_file: Path) -> None:
    ok(api)
    shown = invoke(*RUN, "--dry-run", "--", "python", "train.py")
    assert api.requests == []
    result = invoke(*RUN, "--", "python", "train.py")
    assert result.exit_code == 0, result.output
    assert sorted(api.paths()[:2]) == [("GET", CLAIM), ("GET", SECRET)]
    assert api.paths()[2:] == [("POST", SECRETS), ("POST", JOBS)]
    assert api.requests[3][2] == pyyaml.safe_load(shown.stdout)
    assert result.stdout == "x\n"
    for command in ("shell", "describe", "delete"):
        assert f"mlo-submit --backend kubernetes {command} x" in result.stderr


def stored(config: Config) -> dict[str, Any]:
    found = secret.manifest(secret.from_config(config, None))
    found["metadata"]["resourceVersion"] = "7"
    return found


def test_an_unchanged_secret_is_not_written(api: Api, invoke: Invoke, env_file: Path, config: Config) -> None:
    """Two requests beside the Job itself."""
    ok(api)
    api.answers["GET", SECRET] = 200, stored(config)
    assert invoke(*RUN).exit_code == 0
    assert sorted(api.paths()) == [("GET", CLAIM), ("GET", SECRET), ("POST", JOBS)]


def test_the_secret_can_be_left_alone(api: Api, invoke: Invoke, env_file: Path) -> None:
    ok(api)
    assert invoke(*RUN, "--skip-secret-sync").exit_code == 0
    assert api.paths() == [("GET", CLAIM), ("POST", JOBS)]


def test_a_claim_that_does_not_exist_is_found_before(api: Api, invoke: Invoke, env_file: Path) -> None:
    ok(api)
    del api.answers["GET", CLAIM]
    api.answers["GET", f"/api/v1/namespaces/{NAMESPACE}"] = 200, {}
    api.answers["GET", CLAIMS] = 200, {"items": [{"metadata": {"name": "home"}}, {"metadata": {"name": "data"}}]}
    result = invoke(*RUN)
    assert result.exit_code == 73
    assert "the PVC mlo-scratch does not exist in runai-mlo-jdoe" in result.stderr
    assert "PVCs there: home, data. Set SCRATCH_PVC" in result.stderr
    assert {method for method, _ in api.paths()} == {"GET"}


def test_a_namespace_that_does_not_exist(api: Api, invoke: Invoke, env_file: Path) -> None:
    result = invoke(*RUN)
    assert result.exit_code == 73
    assert "the cluster has no namespace runai-mlo-jdoe. Set K8S_NAMESPACE" in result.stderr
    for argv in (("sync-secret",), (*RUN, "--sync-secret-only")):
        api.answers["POST", SECRETS] = status(404, f'namespaces "{NAMESPACE}" not found')
        result = invoke(*argv)
        assert result.exit_code == 73
        assert "no namespace" in result.stderr


@pytest.mark.parametrize(
    ("queue", "kind", "place"),
    [
        ("", "PriorityClass", "/apis/scheduling.k8s.io/v1/priorityclasses/urgent"),
        ("q", "WorkloadPriorityClass", "/apis/kueue.x-k8s.io/v1beta1/workloadpriorityclasses/urgent"),
    ],
)
def test_a_priority_that_does_not_exist_is_found_before(
    api: Api, invoke: Invoke, env_file: Path, queue: str, kind: str, place: str
) -> None:
    """Whoever may not look, which is most members, may still ask for it."""
    ok(api)
    env_file.write_text(ENV + f"MLO_QUEUE={queue}\n")
    result = invoke(*RUN, "--priority", "urgent")
    assert result.exit_code == 73
    assert f"there is no {kind} urgent" in result.stderr
    assert ("POST", JOBS) not in api.paths()
    for answer in (status(403, "no"), (200, {})):
        api.answers["GET", place] = answer
        assert invoke(*RUN, "--priority", "urgent").exit_code == 0


def test_claims_that_may_not_be_read_are_a_warning(api: Api, invoke: Invoke, env_file: Path) -> None:
    ok(api)
    api.answers["GET", CLAIM] = status(403, "persistentvolumeclaims is forbidden")
    result = invoke(*RUN)
    assert result.exit_code == 0
    assert "whether the PVC mlo-scratch exists was not checked" in result.stderr
    api.answers["GET", SECRET] = status(403, "secrets is forbidden")
    result = invoke(*RUN)
    assert result.exit_code == 77
    assert "not checked" not in result.stderr, "one line is enough"


def test_what_is_not_allowed(api: Api, invoke: Invoke, env_file: Path) -> None:
    ok(api)
    api.answers["POST", JOBS] = status(403, 'User "jdoe" cannot create resource "jobs"')
    result = invoke(*RUN)
    assert result.exit_code == 77
    assert 'the cluster does not allow it: User "jdoe" cannot create resource "jobs"' in result.stderr


def test_a_login_that_the_server_does_not_take(api: Api, invoke: Invoke, env_file: Path) -> None:
    for path in (CLAIM, SECRET):
        api.answers["GET", path] = status(401, "Unauthorized")
    result = invoke(*RUN)
    assert result.exit_code == 77
    assert "you are not logged in to the cluster" in result.stderr


def test_what_the_server_finds_invalid_is_told(api: Api, invoke: Invoke, env_file: Path) -> None:
    ok(api)
    api.answers["POST", JOBS] = status(422, 'Job.batch "x" is invalid: spec.template')
    result = invoke(*RUN)
    assert result.exit_code == 73
    assert 'the Kubernetes API refuses: Job.batch "x" is invalid: spec.template' in result.stderr


@pytest.mark.parametrize("answer", [status(500, "etcd"), status(503, "down"), (200, b"<html>log in</html>")])
def test_a_server_in_trouble(api: Api, invoke: Invoke, env_file: Path, answer: Any) -> None:
    ok(api)
    api.answers["GET", CLAIM] = answer
    result = invoke(*RUN)
    assert result.exit_code == 69
    assert api.url in result.stderr


def job_with(condition: str | None, managed_by: str = "mlo-submit") -> tuple[int, dict[str, Any]]:
    conditions = [{"type": condition, "status": "True"}] if condition else []
    labels = {"app.kubernetes.io/managed-by": managed_by}
    return 200, {"metadata": {"labels": labels}, "status": {"conditions": conditions}}


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (job_with("Complete"), "there is a finished job x already: replace it with --replace"),
        (job_with(None), "there is a job x already in runai-mlo-jdoe: choose another --name"),
        (job_with("Failed", "helm"), "there is a job x already in runai-mlo-jdoe: choose another --name"),
    ],
)
def test_a_name_that_is_taken(api: Api, invoke: Invoke, env_file: Path, found: Any, says: str) -> None:
    ok(api)
    api.answers["POST", JOBS] = status(409, 'jobs.batch "x" already exists', reason="AlreadyExists")
    api.answers["GET", f"{JOBS}/x"] = found
    result = invoke(*RUN)
    assert result.exit_code == 73
    assert says in result.stderr


def test_replace_deletes_a_finished_job_and_waits_for_it(api: Api, invoke: Invoke, env_file: Path) -> None:
    ok(api)
    answers = iter([job_with("Failed"), job_with("Failed"), status(404, "gone")])
    api.answers["GET", f"{JOBS}/x"] = lambda: next(answers)
    api.answers["DELETE", f"{JOBS}/x"] = 200, {}
    result = invoke(*RUN, "--replace")
    assert result.exit_code == 0, result.output
    assert api.paths()[-5:] == [
        ("GET", f"{JOBS}/x"),
        ("DELETE", f"{JOBS}/x"),
        ("GET", f"{JOBS}/x"),
        ("GET", f"{JOBS}/x"),
        ("POST", JOBS),
    ]


def test_replace_is_no_error_when_there_is_none(api: Api, invoke: Invoke, env_file: Path) -> None:
    ok(api)
    assert invoke(*RUN, "--replace").exit_code == 0


@pytest.mark.parametrize(
    ("found", "says"),
    [(job_with(None), "the job x still runs"), (job_with("Failed", "helm"), "was not made by mlo-submit")],
)
def test_replace_leaves_alone_what_runs_and_what_is_not_ours(
    api: Api, invoke: Invoke, env_file: Path, found: Any, says: str
) -> None:
    ok(api)
    api.answers["GET", f"{JOBS}/x"] = found
    result = invoke(*RUN, "--replace")
    assert result.exit_code == 73
    assert says in result.stderr
    assert not {"DELETE"} & {method for method, _ in api.paths()}
    assert ("POST", JOBS) not in api.paths()


def test_nobody_listens(laptop: Machine, invoke: Invoke, env_file: Path) -> None:
    write_kubeconfig(laptop, "http://127.0.0.1:9")
    result = invoke(*RUN)
    assert result.exit_code == 69
    assert "the Kubernetes API at http://127.0.0.1:9 cannot be reached" in result.stderr
    assert "0x" not in result.stderr


@pytest.fixture
def silence() -> Iterator[str]:
    """A server that takes connections, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_server_that_never_answers_is_not_waited_for(
    laptop: Machine, invoke: Invoke, env_file: Path, silence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limits, shortened here, stay under 15 seconds also where the server's name has two addresses."""
    assert 2 * kube.CONNECT_TIMEOUT + kube.READ_TIMEOUT < 15
    monkeypatch.setattr(kube, "READ_TIMEOUT", 0.5)
    write_kubeconfig(laptop, silence)
    began = time.monotonic()
    result = invoke(*RUN)
    assert result.exit_code == 69
    assert "does not answer. Are you on the VPN" in result.stderr
    assert time.monotonic() - began < 5


def test_bytes_that_kubernetes_cannot_carry(invoke: Invoke, env_file: Path) -> None:
    result = invoke(*RUN, "--dry-run", "--", "echo", "\udcff")
    assert result.exit_code == 73
    assert "is not UTF-8" in result.stderr
    assert invoke(*RUN, "--dry-run", "--", "echo", "é").exit_code == 0
