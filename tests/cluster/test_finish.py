"""Jobs that are ended, cleaned up after, and launched again, as a member does it from a laptop."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable

import pytest

from mlo_submit import labels
from tests.cluster.jobs import TRAINING
from tests.cluster.lab import Lab, Laptop, until


def there(lab: Lab, kind: str, name: str) -> bool:
    return bool(lab.kubectl("get", kind, name, "--ignore-not-found", "--output=name"))


@pytest.fixture
def of_eve(laptop: Laptop, lab: Lab) -> str:
    """A job of another user, which has succeeded. Its tests may clean up whatever is jdoe's, and must not elsewhere."""
    if not lab.own:
        pytest.skip("deletes every finished job of its user")
    job = f"{laptop.name}-again"
    assert laptop.submit("run", "--name", job, "--train", "--", "true").returncode == 0
    lab.wait("condition=Complete", f"job/{job}")
    lab.kubectl("label", "job", job, f"{labels.USER}=eve", "--overwrite")
    return job


def test_deletion_is_asked_for_and_tells_of_the_checkpoint(
    laptop: Laptop, lab: Lab, scratch: Callable[[str], str]
) -> None:
    job = laptop.launch("--grace", "50s", *TRAINING)
    lab.wait_for_log(job, "started")
    with laptop.terminal("delete", job, columns=120) as terminal:
        assert f"{job} is running." in terminal.expect("Delete this? [y/N]: ")
        terminal.type("y\n")
        terminal.expect(f"{job} is stopping: ")
        terminal.expect(" of 50 s, it may write a checkpoint")
        terminal.expect(f"{job} is deleted.")
        assert terminal.wait() == 0
        assert terminal.restored()
    assert not there(lab, "job", job)
    assert scratch(f"{laptop.working_dir}/checkpoint") == "trained"


def test_ctrl_c_ends_the_wait_and_not_the_deletion(laptop: Laptop, lab: Lab, scratch: Callable[[str], str]) -> None:
    job = laptop.launch(*TRAINING)
    lab.wait_for_log(job, "started")
    with laptop.start("delete", "--yes", job, stderr=subprocess.PIPE) as waits:
        assert waits.stderr
        assert b"may write a checkpoint" in waits.stderr.readline()
        waits.send_signal(signal.SIGINT)
        told = waits.stderr.read().decode()
    assert (waits.returncode, told) == (130, "\nThe deletion goes on: `mlo-submit list` shows it.\n")
    until(lambda: not there(lab, "job", job), "the job is gone")
    assert scratch(f"{laptop.working_dir}/checkpoint") == "trained"


def test_one_wrong_name_deletes_nothing(laptop: Laptop, lab: Lab, of_eve: str) -> None:
    job = laptop.launch("--", "sleep", "600")
    refused = laptop.submit("delete", "--yes", job, "nothing", of_eve)
    assert refused.returncode == 73
    assert "there is no job nothing" in refused.stderr
    assert f"{of_eve} is a job of eve, and is left alone." in refused.stderr
    assert "deletionTimestamp" not in lab.get("job", job)["metadata"]
    assert there(lab, "job", of_eve)


def test_cleanup_frees_what_no_job_uses_any_more(laptop: Laptop, lab: Lab, of_eve: str) -> None:
    """A Secret goes with the last job that uses it, whoever's that is; a dry run says so and changes nothing."""
    job = laptop.launch("--train", "--", "true")
    lab.wait("condition=Complete", f"job/{job}")
    assert f"Secret {laptop.name}," not in laptop.submit("cleanup", "--dry-run").stdout, "eve's job uses it"
    lab.kubectl("delete", "job", of_eve)
    shown = laptop.submit("cleanup", "--dry-run")
    assert f"Secret {laptop.name}, which no job uses any more\n" in shown.stdout
    assert any(line.startswith(f"{job} ") for line in shown.stdout.splitlines())
    assert there(lab, "job", job)
    assert laptop.submit("cleanup").returncode == 2, "there is nobody to ask"
    done = laptop.submit("cleanup", "--yes", "--older-than", "1h")
    assert there(lab, "job", job), done.stderr
    done = laptop.submit("cleanup", "--yes")
    assert done.returncode == 0, done.stderr
    assert f"{job} is deleted.\n" in done.stderr
    assert f"Secret {laptop.name} is deleted.\n" in done.stderr
    assert (there(lab, "job", job), there(lab, "secret", laptop.name)) == (False, False)


def test_cleanup_leaves_jobs_of_others(laptop: Laptop, lab: Lab, of_eve: str) -> None:
    assert laptop.submit("cleanup", "--yes", "--failed").returncode == 0
    assert there(lab, "job", of_eve)
    assert there(lab, "secret", laptop.name)


def test_job_is_launched_again_with_changes(laptop: Laptop, lab: Lab) -> None:
    job = laptop.launch("--train", "--env", "LR=1", "--env", "SEED=2", "-c", "echo lr $LR seed $SEED; exit 7")
    lab.wait("condition=Failed", f"job/{job}")
    again = laptop.submit("rerun", job, "--name", f"{job}-again", "--env", "LR=3", "--follow")
    assert again.returncode == 7, again.stderr
    assert "\nlr 3 seed 2\n" in again.stdout
    replaced = laptop.submit("rerun", job, "--replace", "--follow", "--", "echo", "replaced")
    assert replaced.returncode == 0, replaced.stderr
    assert "\nreplaced\n" in replaced.stdout
    args = lab.get("job", job)["spec"]["template"]["spec"]["containers"][0]["args"]
    assert args[-2:] == ["echo", "replaced"]
