"""Scratch: the directories that a job needs, made on an export where root is nobody."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.container.conftest import MakePod
from tests.container.machine import GID, HOME, SEED_UID, UID, USER
from tests.container.pod import Pod
from tests.container.scratch import Scratch
from tests.container.trees import snapshot


def facts(path: Path) -> tuple[int, int, str]:
    info = path.stat()
    return info.st_uid, info.st_gid, oct(stat.S_IMODE(info.st_mode))


def test_the_seed_user_makes_what_is_missing(pod: Pod, scratch: Scratch) -> None:
    """SCRATCH_HOME, WORKING_DIR and HF_HOME: by the seed user, group NB_GROUP, 770; the user can write in each."""
    env = {"WORKING_DIR": "/mloscratch/work", "HF_HOME": "/mloscratch/shared/hf"}
    pod.script("pwd; for d in . $SCRATCH_HOME $HF_HOME; do touch $d/x; mkdir $d/y; done", env=env)
    for path in (f"homes/{USER}", "work", "shared/hf"):
        assert facts(scratch.backing / path) == (SEED_UID, GID, "0o770"), path


def test_the_umask_is_007(pod: Pod, scratch: Scratch) -> None:
    """For the command and for all that the boot makes: the group may, the world may not."""
    pod.script("umask; touch file; mkdir dir")
    home = scratch.backing / "homes" / USER
    assert facts(home / "file") == (UID, GID, "0o660")
    assert facts(home / "dir") == (UID, GID, "0o770")
    for path in (scratch.backing / "homes").rglob("*"):
        info = path.lstat()
        assert stat.S_ISLNK(info.st_mode) or not info.st_mode & 0o007, path
        assert info.st_gid == GID, path


def test_setgid_is_kept(pod: Pod, scratch: Scratch) -> None:
    """Where it is, on a home and on its parent, it stays, also where the mode has to be mended."""
    scratch.make("homes", SEED_UID, GID, 0o2755)
    home = scratch.make(f"homes/{USER}", SEED_UID, GID, 0o2775)
    work = scratch.make("work", SEED_UID, GID, 0o2750)
    pod.script("touch x", env={"WORKING_DIR": "/mloscratch/work", "HF_HOME": "/mloscratch/homes/hf"})
    assert facts(home) == (SEED_UID, GID, "0o2770")
    assert facts(work) == (SEED_UID, GID, "0o2770")
    assert facts(scratch.backing / "homes/hf") == (SEED_UID, GID, "0o2770")


def test_a_home_of_the_users_own_is_mended_by_the_user(pod: Pod, scratch: Scratch) -> None:
    """The seed user may not; the owner may."""
    home = scratch.make(f"homes/{USER}", UID, GID, 0o755)
    pod.script("touch x")
    assert facts(home) == (UID, GID, "0o770")


def test_a_home_with_another_group_is_mended(pod: Pod, scratch: Scratch) -> None:
    """The user has changed groups, and nothing of the home is lost."""
    home = scratch.make(f"homes/{USER}", SEED_UID, 4000, 0o770)
    scratch.put(f"homes/{USER}/mine", "text", UID, GID)
    pod.script("cat mine; touch x")
    assert facts(home) == (SEED_UID, GID, "0o770")


def test_the_seed_user_has_the_groups_that_the_image_gives_it(pod: Pod, scratch: Scratch) -> None:
    scratch.make("homes", 0, 6000, 0o771)
    pod.write("etc/group", f"{pod.read('etc/group')}keepers:x:6000:mljaggi-admin\n")
    pod.script("touch x")
    assert facts(scratch.backing / "homes" / USER) == (SEED_UID, GID, "0o770")


def test_the_seed_user_has_no_group_of_the_container(pod: Pod, scratch: Scratch) -> None:
    """The user has, and makes what the seed user may not."""
    scratch.make("homes", 0, 6000, 0o771)
    pod.groups = [6000]
    pod.script("touch x")
    assert facts(scratch.backing / "homes" / USER) == (UID, GID, "0o770")


def test_what_is_right_costs_no_write(make_pod: MakePod, start: str, make_scratch: Callable[..., Scratch]) -> None:
    """A second boot, in a new container: at most 30 calls on scratch, none of which changes anything."""
    scratch = make_scratch(timeout=1)
    env = {"HF_HOME": "/mloscratch/hf", "GIT_USER_NAME": "J. Doe", "GIT_USER_EMAIL": "j@doe"}
    make_pod(start, scratch).script("true", env=env)
    before = snapshot(scratch.backing)
    scratch.command("reset")
    make_pod(start, scratch).run("/bin/true", env=env)
    calls = scratch.calls()
    assert snapshot(scratch.backing) == before
    assert calls.changing == 0, calls
    assert calls.total <= 30, calls


@pytest.mark.parametrize("name", ["SCRATCH_HOME", "WORKING_DIR"])
def test_a_directory_that_cannot_be_made_ends_the_boot(pod: Pod, scratch: Scratch, name: str) -> None:
    """Exit 73; the message says which, as whom, why, and what to do; the command never runs elsewhere."""
    scratch.make("locked", 0, 0, 0o755)
    result = pod.run("/bin/echo", "ran", env={name: "/mloscratch/locked/x"}, code=73, expect=["ERROR"])
    assert result.out == b""
    (line,) = [line for line in result.log if "ERROR" in line]
    for part in (
        f"{name}=/mloscratch/locked/x",
        "ermission denied",
        "mljaggi-admin",
        str(SEED_UID),
        "SCRATCH_SEED_USER",
    ):
        assert part in line
    assert "/mloscratch/locked (owner 0:0, mode 755)" in line


def private_home(scratch: Scratch) -> dict[str, str]:
    scratch.make(f"homes/{USER}", 4242, 4242, 0o700)
    return {}


def file_as_home(scratch: Scratch) -> dict[str, str]:
    scratch.put(f"homes/{USER}", "")
    return {}


def file_as_working_dir(scratch: Scratch) -> dict[str, str]:
    scratch.put("file", "")
    return {"WORKING_DIR": "/mloscratch/file"}


def below_a_file(scratch: Scratch) -> dict[str, str]:
    scratch.put("file", "")
    return {"WORKING_DIR": "/mloscratch/file/x"}


def dangling_link(scratch: Scratch) -> dict[str, str]:
    (scratch.backing / "homes" / USER).symlink_to("/nowhere/at/all")
    return {}


def loop(scratch: Scratch) -> dict[str, str]:
    (scratch.backing / "homes" / USER).symlink_to(USER)
    return {}


def long_name(scratch: Scratch) -> dict[str, str]:
    return {"WORKING_DIR": "/mloscratch/homes/" + "x" * 300}


@pytest.mark.parametrize(
    "spoil",
    [private_home, file_as_home, file_as_working_dir, below_a_file, dangling_link, loop, long_name],
    ids=lambda function: function.__name__,
)
def test_what_cannot_be_used_ends_the_boot(
    pod: Pod, scratch: Scratch, spoil: Callable[[Scratch], dict[str, str]]
) -> None:
    """Whatever lies there instead: 73, one message, and the command does not run."""
    result = pod.run("/bin/echo", "ran", env=spoil(scratch), code=73, expect=["ERROR: (SCRATCH_HOME|WORKING_DIR)="])
    assert result.out == b""


def test_no_scratch_at_all(pod: Pod) -> None:
    """The volume was forgotten: the container's own /mloscratch is root's."""
    del pod.mounts[str(pod.scratch.path)]
    pod.path("/mloscratch").mkdir()
    assert pod.run("/bin/echo", "ran", code=73, expect=["ERROR: SCRATCH_HOME="]).out == b""


def test_a_working_directory_that_is_only_readable(pod: Pod, scratch: Scratch) -> None:
    """Somebody else's code, for reading: the job runs there, and nothing is changed."""
    scratch.make("code", 4242, 4242, 0o755)
    assert pod.script("pwd", env={"WORKING_DIR": "/mloscratch/code"}).text == "/mloscratch/code\n"
    assert facts(scratch.backing / "code") == (4242, 4242, "0o755")


def test_without_hf_home_the_job_goes_on(pod: Pod, scratch: Scratch) -> None:
    """A WARNING that names it."""
    scratch.make("locked", 0, 0, 0o755)
    pod.script("true", env={"HF_HOME": "/mloscratch/locked/hf"}, expect=["WARNING.*HF_HOME=/mloscratch/locked/hf"])


def test_a_shared_hf_home_keeps_its_owner(pod: Pod, scratch: Scratch) -> None:
    """Another user made it, with the lab's group: nothing to mend."""
    scratch.make("hf_cache", 4242, GID, 0o2770)
    pod.script("touch $HF_HOME/x; test $HF_HOME = /mloscratch/hf_cache")
    assert facts(scratch.backing / "hf_cache") == (4242, GID, "0o2770")


def test_the_token_of_hugging_face_is_the_users_own(pod: Pod) -> None:
    """HF_TOKEN_PATH lies in SCRATCH_HOME, outside the shared cache, which `hf auth login` would close to others."""
    path = pod.script("mkdir -p $(dirname $HF_TOKEN_PATH); echo t >$HF_TOKEN_PATH; echo $HF_TOKEN_PATH").text.strip()
    assert path.startswith(f"{HOME}/")
    assert not path.startswith("/mloscratch/hf_cache")


def test_variables_that_the_pod_sets_win(pod: Pod) -> None:
    """HF_HOME, HF_TOKEN_PATH, ZDOTDIR, UV_CACHE_DIR... of the pod are the command's."""
    env = {"HF_TOKEN_PATH": "/tmp/t", "UV_CACHE_DIR": "/tmp/uv", "HISTFILE": "/tmp/h", "GIT_CONFIG_GLOBAL": "/tmp/g"}
    assert pod.script("echo $HF_TOKEN_PATH $UV_CACHE_DIR $HISTFILE $GIT_CONFIG_GLOBAL", env=env).text == (
        "/tmp/t /tmp/uv /tmp/h /tmp/g\n"
    )


def test_a_working_directory_outside_scratch(pod: Pod) -> None:
    """A local disk of the node: root made the mount point, the user may write there."""
    pod.path("/local").mkdir()
    pod.path("/local").chmod(0o1777)
    assert pod.script("pwd; stat -c %A .", env={"WORKING_DIR": "/local"}).text == "/local\ndrwxrwxrwt\n"
    assert os.stat(pod.path("/local")).st_mode & 0o7777 == 0o1777


def test_somebody_elses_home_stays_theirs(pod: Pod, scratch: Scratch) -> None:
    """The seed user owns every home: neither a path nor a planted link makes it give one away."""
    scratch.home()
    other = scratch.make("homes/alice", SEED_UID, 9000, 0o2770)
    (scratch.backing / "homes" / USER / "link").symlink_to("../alice")
    for working_dir in ("/mloscratch/homes/alice", f"{HOME}/link"):
        pod.run("/bin/true", env={"WORKING_DIR": working_dir}, code=73, expect=["ERROR.*WORKING_DIR"])
        assert (other.stat().st_gid, other.stat().st_mode & 0o7777) == (9000, 0o2770), working_dir
