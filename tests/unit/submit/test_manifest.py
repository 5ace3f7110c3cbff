"""A job as Kubernetes is sent it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from mlo_submit.backends.kubernetes.manifest import render
from mlo_submit.env import Config
from mlo_submit.job import Flags, Mount, from_flags
from mlo_submit.machine import Machine
from tests.unit.submit.conftest import ENV, config_of

NOW = datetime(2026, 11, 24)
NAMESPACE = "runai-mlo-jdoe"

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
    job = from_flags(config, flags, NOW)
    manifest = render(job)
    labels = {**LABELS, "app.kubernetes.io/component": "training", "kai.scheduler/queue": "team"}
    assert manifest["metadata"]["labels"] == labels
    assert {key: value for key, value in manifest["spec"].items() if key not in ("template", "podFailurePolicy")} == {
        "completionMode": "Indexed",
        "completions": 1,
        "backoffLimitPerIndex": 3,
        "backoffLimit": 3,
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
                "args": [*(word.replace("$", "$$") for word in job.argv[:-1]), 'echo "$$(TZ)" $$$$'],
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
