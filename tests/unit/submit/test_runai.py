from __future__ import annotations

import base64
import shlex
from dataclasses import replace
from datetime import datetime

from mlo_submit.backends.runai.cli import V1, Cli
from mlo_submit.backends.runai.command import MANY, render
from mlo_submit.backends.runai.words import pack
from mlo_submit.env import Config
from mlo_submit.job import Flags, Job, Mount, from_flags
from mlo_submit.machine import Machine
from mlo_submit.submission import encode
from tests.unit.submit.conftest import ENV, config_of

NOW = datetime(2026, 11, 24)

ENVIRON = {
    "HOME": "/home/jdoe",
    "NB_USER": "jdoe",
    "NB_UID": "123456",
    "NB_GROUP": "MLO-unit",
    "NB_GID": "83070",
    "WORKING_DIR": "/mloscratch/homes/jdoe",
    "SCRATCH_HOME": "/mloscratch/homes/jdoe",
    "SCRATCH_HOME_ROOT": "/mloscratch/homes",
    "EPFML_LDAP": "jdoe",
    "HF_HOME": "/mloscratch/hf_cache",
    "UV_PYTHON_VERSION": "3.11",
    "TZ": "Europe/Zurich",
    "GIT_CONFIG_GLOBAL": "/mloscratch/homes/jdoe/.gitconfig",
    "UV_CACHE_DIR": "/mloscratch/homes/jdoe/.cache/uv",
    "UV_PYTHON_INSTALL_DIR": "/mloscratch/homes/jdoe/.uv",
}

EVERYTHING = Flags(
    name="x",
    train=True,
    argv=("python", "train.py"),
    cpus="8",
    memory="64G",
    gpus=2,
    retries=3,
    port=8888,
    host_ipc=True,
    large_shm=True,
    node_types=("h100", "default"),
    env={"A": "$(B) c"},
    mounts=(Mount(source="extra", target="/extra"),),
)


def flat(flag: str, environ: dict[str, str]) -> list[str]:
    return [word for key, value in environ.items() for word in (flag, f"{key}={value}")]


def words(text: str) -> list[str]:
    return text.split()


def marks(job: Job) -> list[str]:
    """Our labels, and the submission."""
    kind = "training" if job.training else "interactive"
    labels = f"app.kubernetes.io/name=mlo app.kubernetes.io/instance=x app.kubernetes.io/component={kind}"
    labels += " app.kubernetes.io/managed-by=mlo-submit mlo-submit/user=jdoe mlo-submit/backend=runai"
    argv = [part for label in labels.split() for part in ("--label", label)]
    return [*argv, "--annotation", f"mlo-submit/submission={pack(encode(job.flags))}"]


def word(argv: list[str]) -> str:
    script = argv[-1]
    return base64.b64decode(script.removeprefix("source <(base64 -d <<<").removesuffix(")")).decode()


SLEEP = ["--", "/bin/zsh", "-c", "source <(base64 -d <<<ZXhlYyBzbGVlcCA0MzIwMA==)"]

V1_HEAD = "--project mlo-jdoe --image registry.example.org/mlo/base:1 --gpu"
IDENTITY = "--run-as-uid 123456 --run-as-gid 83070"
V1_MIDDLE = "--image-pull-policy Always --allow-privilege-escalation true"
SECRETS = ["HF_TOKEN=SECRET:jdoe-env,HF_TOKEN", "WANDB_API_KEY=SECRET:jdoe-env,WANDB_API_KEY"]


def test_v1_a_pod_that_waits(config: Config) -> None:
    job = from_flags(config, Flags(name="x"), NOW)
    assert render(job, V1) == [
        *words(f"runai submit --name x {V1_HEAD} 0 {IDENTITY} --pvc mlo-scratch:/mloscratch {V1_MIDDLE}"),
        *(*marks(job), "--interactive"),
        *flat("--environment", ENVIRON),
        *(part for item in SECRETS for part in ("--environment", item)),
        *SLEEP,
    ]


def test_v1_a_training_job_with_everything(config: Config) -> None:
    job = from_flags(config, EVERYTHING, NOW)
    argv = render(job, V1)
    assert argv[:-4] == [
        *words(f"runai submit --name x {V1_HEAD} 2 {IDENTITY}"),
        *words(f"--pvc mlo-scratch:/mloscratch --pvc extra:/extra {V1_MIDDLE}"),
        *marks(job),
        *words("--cpu 8 --memory 64G --backoff-limit 3 --port 8888 --host-ipc --large-shm --node-pools h100,default"),
        *flat("--environment", {**ENVIRON, "A": "$$(B) c"}),
        *(part for item in SECRETS for part in ("--environment", item)),
    ]
    assert shlex.split(word(argv))[-2:] == ["python", "train.py"]


def test_v1_many_pods(laptop: Machine) -> None:
    job = from_flags(config_of(laptop), Flags(name="x", workers=3), NOW)
    argv = render(job, V1)
    assert argv[:3] == ["runai", "submit-dist", "pytorch"]
    extras = "--workers 3 --annotation k8s.v1.cni.cncf.io/networks=kube-system/roce --extended-resource rdma/rdma=1"
    assert extras in shlex.join(argv)
    assert "--backoff-limit" in argv
    assert "--interactive" not in argv


ARRAY = Flags(name="x", array="1,3,5-7%2", argv=("train",), retries=4)


def test_an_array_is_one_submission_of_many_pods(config: Config) -> None:
    """Each finds its task by a claim, among those of this submission. Version 2 takes arrays where its help says so."""
    job = from_flags(config, ARRAY, NOW)
    environ = {**ENVIRON, "MLO_ARRAY": "1,3,5-7", "MLO_ARRAY_ID": "x-20261124-000000-000000"}
    for cli, flag, most in ((V1, "--environment", "4"), (replace(NEW, flags=NEW.flags | MANY), "-e", "4")):
        argv = render(job, cli)
        assert f"--backoff-limit {most} --completions 5 --parallelism 2" in shlex.join(argv)
        first = argv.index(flag)
        assert argv[first : first + 2 * len(environ)] == flat(flag, environ)
        assert "mlo-submit/array=task" in argv
        assert shlex.split(word(argv))[:3] == ["exec", "mlo-task", "/bin/zsh"]
    later = from_flags(config, ARRAY, datetime(2026, 11, 24, microsecond=1))
    assert "MLO_ARRAY_ID=x-20261124-000000-000001" in render(later, V1)
    together = render(from_flags(config, Flags(array="0-3", argv=("train",)), NOW), V1)
    assert "--completions 4 --parallelism 4" in shlex.join(together)


def test_a_submission_too_long_for_a_word_is_left_out(config: Config) -> None:
    """Base64 makes it longer than Kubernetes' annotation has it."""
    job = from_flags(config, Flags(name="x", argv=("echo", "x" * 100_000)), NOW)
    assert encode(job.flags)
    assert "--annotation" not in render(job, V1)


def test_v1_interactive_on_borrowed_nodes_is_preemptible(config: Config) -> None:
    assert "--preemptible" in render(from_flags(config, Flags(node_types=("h200",)), NOW), V1)
    assert "--preemptible" not in render(from_flags(config, Flags(node_types=("v100",)), NOW), V1)


def test_which_nodes_are_borrowed_is_the_labs_to_say(laptop: Machine) -> None:
    for said, node_type, borrowed in (("a, b", "b", True), ("a,b", "h100", False), ("", "h100", False)):
        config = config_of(laptop, f"{ENV}MLO_PREEMPTIBLE_NODE_TYPES={said}\n")
        assert from_flags(config, Flags(node_types=(node_type,)), NOW).preemptible is borrowed


OLD = Cli(version="v2", flags=frozenset({"--environment", "--preemptible"}))
NEW = Cli(version="v2", flags=frozenset({"--environment-variable", "--env-secret", "--preemptibility"}))


def test_v2_a_pod_that_waits(config: Config) -> None:
    job = from_flags(config, Flags(name="x", node_types=("h100",), grace=300), NOW)
    head = [
        *words("runai workspace submit x --project mlo-jdoe --image registry.example.org/mlo/base:1"),
        *words(f"--gpu-devices-request 0 {IDENTITY} --existing-pvc claimname=mlo-scratch,path=/mloscratch"),
        *words("--image-pull-policy Always --allow-privilege-escalation"),
        *marks(job),
        *words("--termination-grace-period 300s --node-pools h100"),
    ]
    assert render(job, NEW) == [
        *head,
        *("--preemptibility", "preemptible"),
        *flat("-e", ENVIRON),
        *("--env-secret", "HF_TOKEN=jdoe-env,key=HF_TOKEN", "--env-secret", "WANDB_API_KEY=jdoe-env,key=WANDB_API_KEY"),
        *SLEEP,
    ]
    assert render(job, OLD) == [
        *head,
        "--preemptible",
        *flat("-e", ENVIRON),
        *(part for item in SECRETS for part in ("-e", item)),
        *SLEEP,
    ]


def test_v2_a_training_job_with_everything(config: Config) -> None:
    job = from_flags(config, EVERYTHING, NOW)
    argv = render(job, NEW)
    assert argv[: argv.index("-e")] == [
        *words("runai training submit x --project mlo-jdoe --image registry.example.org/mlo/base:1"),
        *words(f"--gpu-devices-request 2 {IDENTITY} --existing-pvc claimname=mlo-scratch,path=/mloscratch"),
        *words("--existing-pvc claimname=extra,path=/extra --image-pull-policy Always --allow-privilege-escalation"),
        *marks(job),
        *words("--cpu-core-request 8 --cpu-memory-request 64G"),
        *words("--backoff-limit 3 --external-url container=8888 --host-ipc --large-shm --node-pools h100"),
        *("--node-pools", "default"),
    ]
    assert render(from_flags(config, Flags(workers=1), NOW), NEW)[:4] == [
        "runai",
        "training",
        "pytorch",
        "submit",
    ]


def test_a_variable_of_env_goes_before_a_secret(config: Config) -> None:
    for cli in (V1, OLD, NEW):
        argv = render(from_flags(config, Flags(env={"HF_TOKEN": "mine"}), NOW), cli)
        assert [item for item in argv if item.startswith("HF_TOKEN=")] == ["HF_TOKEN=mine"]
