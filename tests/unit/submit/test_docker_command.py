"""A job as a docker command."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from mlo_submit.backends.docker.command import render
from mlo_submit.env import Config
from mlo_submit.job import Flags, Mount, from_flags
from mlo_submit.machine import Machine
from tests.unit.submit.conftest import ENV, config_of

NOW = datetime(2026, 11, 24)

HEAD = [
    *("docker", "run", "--detach", "--name", "x", "--hostname", "x", "--user", "123456:83070"),
    *("--label", "app.kubernetes.io/name=mlo"),
    *("--label", "app.kubernetes.io/instance=x"),
    *("--label", "app.kubernetes.io/component=interactive"),
    *("--label", "app.kubernetes.io/managed-by=mlo-submit"),
    *("--label", "mlo-submit/user=jdoe"),
    *("--label", 'mlo-submit/submission={"name": "x"}'),
    *("--env", "HOME=/home/jdoe"),
    *("--env", "NB_USER=jdoe"),
    *("--env", "NB_UID=123456"),
    *("--env", "NB_GROUP=MLO-unit"),
    *("--env", "NB_GID=83070"),
    *("--env", "WORKING_DIR=/mloscratch/homes/jdoe"),
    *("--env", "SCRATCH_HOME=/mloscratch/homes/jdoe"),
    *("--env", "SCRATCH_HOME_ROOT=/mloscratch/homes"),
    *("--env", "EPFML_LDAP=jdoe"),
    *("--env", "HF_HOME=/mloscratch/hf_cache"),
    *("--env", "UV_PYTHON_VERSION=3.11"),
    *("--env", "TZ=Europe/Zurich"),
    *("--env", "GIT_CONFIG_GLOBAL=/mloscratch/homes/jdoe/.gitconfig"),
    *("--env", "UV_CACHE_DIR=/mloscratch/homes/jdoe/.cache/uv"),
    *("--env", "UV_PYTHON_INSTALL_DIR=/mloscratch/homes/jdoe/.uv"),
]


def test_a_pod_that_waits_as_a_whole_argv(laptop: Machine, config: Config) -> None:
    assert render(from_flags(config, Flags(name="x"), NOW), Path("/secrets/x")) == [
        *HEAD,
        *("--env", "SCRATCH_SEED_USER=jdoe"),
        *("--mount", f"type=bind,source={laptop.home}/.local/share/mlo/scratch,target=/mloscratch"),
        *("--mount", "type=bind,source=/secrets/x,target=/run/secrets/mlo,readonly"),
        *("--stop-timeout", "30"),
        *("registry.example.org/mlo/base:1", "sleep", "43200"),
    ]


def test_a_training_job_with_everything(laptop: Machine) -> None:
    config = config_of(
        laptop, ENV + "SCRATCH_SEED_USER=seed\nMLO_LOCAL_SCRATCH=/srv/a,b\nMLO_IMAGE_PULL_POLICY=Never\n"
    )
    flags = Flags(
        name="x",
        train=True,
        argv=("a", "b c"),
        time=60,
        grace=5,
        gpus=2,
        cpus="1500m",
        memory="64G",
        port=8888,
        retries=3,
        secrets="env",
        host_ipc=True,
        shm_size="1Gi",
        env={"A": "1", "HF_TOKEN": "mine"},
        mounts=(Mount(source="/data", target="/data", read_only=True),),
    )
    job = from_flags(config, flags, NOW)
    argv = render(job, None)
    assert argv[len(HEAD) :] == [
        *("--env", "SCRATCH_SEED_USER=seed", "--env", "A=1", "--env", "HF_TOKEN=mine", "--env", "WANDB_API_KEY"),
        *("--mount", 'type=bind,"source=/srv/a,b",target=/mloscratch'),
        *("--mount", "type=bind,source=/data,target=/data,readonly"),
        *("--restart", "on-failure:3", "--stop-timeout", "5", "--gpus", "2", "--cpus", "1.5"),
        *("--memory", "64000000000b", "--shm-size", "1073741824b", "--ipc", "host"),
        *("--publish", "127.0.0.1:8888:8888", "--pull", "never"),
        *("registry.example.org/mlo/base:1", *job.argv),
    ]
