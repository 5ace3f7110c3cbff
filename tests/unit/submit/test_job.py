from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlo_entry import settings
from mlo_submit.env import Config
from mlo_submit.errors import ConfigError
from mlo_submit.job import Flags, container_environ, default_name, from_flags
from mlo_submit.machine import Machine
from tests.unit.submit.conftest import ENV, config_of

NOW = datetime(2026, 11, 24, 9, 5, 7)


def test_the_pod_reads_back_what_the_configuration_says(laptop: Machine) -> None:
    """The contract: the environment of a job is one that a pod boots from, and it gives back the config's values."""
    config = config_of(laptop, ENV + "WORKING_DIR=/mloscratch/homes/jdoe/project\nSCRATCH_SEED_USER=seed\n")
    found = settings.from_environ(container_environ(from_flags(config, Flags(), NOW)))
    assert (found.user, found.uid, found.group, found.gid) == ("jdoe", 123456, "MLO-unit", 83070)
    assert (found.scratch_home_root, found.scratch_home) == ("/mloscratch/homes", "/mloscratch/homes/jdoe")
    assert (found.working_dir, found.hf_home) == ("/mloscratch/homes/jdoe/project", "/mloscratch/hf_cache")
    assert found.seed_user == "seed"
    assert (found.git_config, found.uv_cache, found.uv_python) == (
        "/mloscratch/homes/jdoe/.gitconfig",
        "/mloscratch/homes/jdoe/.cache/uv",
        "/mloscratch/homes/jdoe/.uv",
    )


def test_a_pod_that_may_be_idle_waits_beside_its_watcher(config: Config) -> None:
    job = from_flags(config, Flags(stop_when_idle=7200), NOW)
    assert container_environ(job)["MLO_STOP_WHEN_IDLE"] == "7200"
    *_, script, name, command, seconds = job.argv
    assert "setsid mlo-idle $mlo_group 30 " in script
    assert (name, command, seconds) == ("mlo", "sleep", "43200")


TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0'\\\r$<"), max_size=12)
IDS = st.one_of(st.integers(-1, 2**33).map(str), TEXT)


@given(username=TEXT, uid=IDS, group=TEXT, gid=IDS, root=TEXT.map("/{}".format), seed=TEXT)
def test_what_is_accepted_here_is_accepted_in_the_pod(
    username: str, uid: str, group: str, gid: str, root: str, seed: str, laptop_once: Machine
) -> None:
    values = {
        "LDAP_USERNAME": username,
        "LDAP_UID": uid,
        "LDAP_GROUPNAME": group,
        "LDAP_GID": gid,
        "SCRATCH_HOME_ROOT": root,
        "SCRATCH_SEED_USER": seed,
        "RUNAI_PROJECT": "p",
    }
    try:
        config = config_of(laptop_once, "".join(f"{key}='{value}'\n" for key, value in values.items()))
    except ConfigError:
        return
    found = settings.from_environ(container_environ(from_flags(config, Flags(), NOW)))
    assert (found.user, found.uid, found.group, found.gid) == (username, int(uid), group, int(gid))


@pytest.fixture(scope="module")
def laptop_once(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    home = tmp_path_factory.mktemp("home")
    return Machine(environ={}, home=home, cwd=home, uid=1000, has_gpu=False)


def test_the_literal_environment(config: Config) -> None:
    assert container_environ(from_flags(config, Flags(uid=7, gid=8, env={"A": "1", "TZ": "UTC"}), NOW)) == {
        "HOME": "/home/jdoe",
        "NB_USER": "jdoe",
        "NB_UID": "7",
        "NB_GROUP": "MLO-unit",
        "NB_GID": "8",
        "WORKING_DIR": "/mloscratch/homes/jdoe",
        "SCRATCH_HOME": "/mloscratch/homes/jdoe",
        "SCRATCH_HOME_ROOT": "/mloscratch/homes",
        "EPFML_LDAP": "jdoe",
        "HF_HOME": "/mloscratch/hf_cache",
        "UV_PYTHON_VERSION": "3.11",
        "TZ": "UTC",
        "GIT_CONFIG_GLOBAL": "/mloscratch/homes/jdoe/.gitconfig",
        "UV_CACHE_DIR": "/mloscratch/homes/jdoe/.cache/uv",
        "UV_PYTHON_INSTALL_DIR": "/mloscratch/homes/jdoe/.uv",
        "A": "1",
    }


@pytest.mark.parametrize(
    ("username", "name"),
    [("jdoe", "jdoe-20261124-090507"), ("J.Doe_x-", "j-doe-x-20261124-090507"), ("_", "job-20261124-090507")],
)
def test_a_job_without_a_name_gets_one(username: str, name: str) -> None:
    assert default_name(username, NOW) == name


def test_kinds(config: Config) -> None:
    def job(**flags: object) -> tuple[bool, bool]:
        made = from_flags(config, Flags(**flags), NOW)  # type: ignore[arg-type]
        return made.training, made.preemptible

    assert job() == (False, False)
    assert job(node_types=("h100",)) == (False, True)
    assert job(node_types=("v100", "h200")) == (False, True)
    assert job(node_types=("h100",), train=True) == (True, False)
    assert job(workers=1) == (True, False)


def test_without_a_command_the_pod_waits(config: Config) -> None:
    assert from_flags(config, Flags(), NOW).argv == ("sleep", "43200")
    assert from_flags(config, Flags(time=60), NOW).argv == ("sleep", "60")


def test_a_job_ends_itself_when_its_time_is_over(config: Config) -> None:
    """On every backend, and so it counts from the start of the command. What waits without one knows how long."""
    job = from_flags(config, Flags(time=60, grace=5, argv=("a",)), NOW)
    assert "mlo-limit 60 $mlo_group 5 " in job.argv[2]
    assert "mlo-limit" not in replace(job, time=None).argv[2]
    assert "mlo-limit" not in from_flags(config, Flags(time=60, stop_when_idle=7), NOW).argv[2]


def test_no_secret_is_in_what_is_printed(config: Config) -> None:
    assert "hidden" not in repr(from_flags(config, Flags(), NOW))
