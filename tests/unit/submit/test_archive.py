from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlo_submit import archive
from mlo_submit.env import Config
from tests.unit.submit.conftest import ENV, Fake, Invoke

SETTINGS = "ARCHIVE_HOST=login.example.org\nARCHIVE_ROOT=/store/lab\nSCRATCH_HOST_ROOT=/mnt/scratch\n"


@pytest.fixture
def lab(config: Config) -> Config:
    return replace(config, archive_host="login", archive_root="/store/lab", scratch_host_root="/mnt/scratch")


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("run1", "./run1"),
        ("./a//b/", "./a/b"),
        ("/mloscratch/homes/jdoe/a b/-x", "./a b/-x"),
        ("//mloscratch/homes/jdoe/run1", "./run1"),
        ("-x", "./-x"),
        ("~", "./~"),
        (".", "./"),
        ("/mloscratch/homes/jdoe/", "./"),
    ],
)
def test_a_path_of_a_pod_has_its_place_on_the_host(lab: Config, path: str, found: str) -> None:
    there = archive.route(lab, [path, path], restore=False)
    assert (there.source, there.target, there.paths) == ("/mnt/scratch/homes/jdoe", "/store/lab/jdoe", (found,))
    back = archive.route(lab, [path], restore=True)
    assert (back.source, back.target, back.paths) == (there.target, there.source, there.paths)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "..",
        "a/../../b",
        "/mloscratch/homes/jdoe2",
        "/mloscratch/homes",
        "/etc",
        "/",
        "a\nb",
        "/mloscratch/homes/jdoe/..",
    ],
)
def test_a_path_outside_of_the_users_scratch_is_a_usage_error(invoke: Invoke, env_file: Path, path: str) -> None:
    env_file.write_text(ENV + SETTINGS)
    result = invoke("archive", "--", path)
    assert result.exit_code == 2
    assert (
        "is no path to archive" in result.output
        or "is not in your scratch home /mloscratch/homes/jdoe" in result.output
    )


@given(st.text(max_size=20))
def test_no_path_leaves_the_users_scratch(path: str) -> None:
    try:
        found = archive._below("/s/jdoe", path)
    except ValueError:
        return
    assert found.startswith("./")
    assert ".." not in found.split("/")


def test_a_scratch_home_elsewhere_has_no_place_on_the_host(lab: Config) -> None:
    with pytest.raises(
        ValueError, match=r"/other/jdoe \(SCRATCH_HOME_ROOT\) is not below SCRATCH_MOUNT_PATH=/mloscratch"
    ):
        archive.route(replace(lab, home_root="/other"), ["run"], restore=False)


def test_every_directory_on_the_way_is_looked_at_once() -> None:
    assert archive.above(["./a/b", "./a/c", "./"]) == ("./a", "./a/b", "./a/c", "./")


NUMBERS = """
Number of files: 3 (reg: 2, dir: 1)
Number of created files: 0
Total file size: 1536 bytes
Total transferred file size: 0 bytes
"""


def test_a_verification_without_a_difference() -> None:
    assert archive.verified(NUMBERS) == archive.Verified(files=2, size=1536, differences=())
    assert archive.verified(NUMBERS.replace(" (reg: 2, dir: 1)", "")).files == 0, "directories alone"


def test_differences_are_in_words() -> None:
    lines = ">f+++++++++ a b\n>fcs....... run/x\n.f...p..... m\ncLc.t...... l -> new\nhf          h => x\n"
    assert archive.verified(lines + NUMBERS).differences == (
        "a b: missing",
        "run/x: content, size",
        "m: mode",
        "l -> new: content, time",
        "h => x: link",
    )


@pytest.mark.parametrize("text", ["", "rsync: unknown option\n", "\nNumber of files: x"])
def test_what_is_no_verification_is_not_taken_for_one(text: str) -> None:
    with pytest.raises(ValueError, match="rsync tells no numbers"):
        archive.verified(text)


def test_missing_settings_come_in_one_error(invoke: Invoke, env_file: Path) -> None:
    env_file.write_text(ENV + "ARCHIVE_HOST=-oProxyCommand=x\nARCHIVE_ROOT=\n")
    result = invoke("archive", "run")
    assert result.exit_code == 64
    assert "has 3 problems" in result.output
    assert "line 13: ARCHIVE_HOST=-oProxyCommand=x is no host" in result.output
    assert "line 14: ARCHIVE_ROOT is empty: the directory of the long-term store there" in result.output
    assert "SCRATCH_HOST_ROOT is missing: where the scratch" in result.output


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["--move", "--restore", "run"], "--move and --restore exclude each other"),
        (["--move", "."], "your home itself cannot be moved away"),
    ],
)
def test_what_would_lose_data_is_refused(invoke: Invoke, env_file: Path, argv: list[str], reason: str) -> None:
    env_file.write_text(ENV + SETTINGS)
    result = invoke("archive", *argv)
    assert result.exit_code == 2
    assert reason in result.output


def test_without_a_terminal_ssh_asks_nothing(invoke: Invoke, env_file: Path, fake: Callable[[str], Fake]) -> None:
    """No host check is weakened; a host that does not let us in is one clear line."""
    env_file.write_text(ENV + SETTINGS)
    ssh = fake("ssh")
    ssh.reply(code=255, err="Permission denied (publickey).\n")
    result = invoke("archive", "run")
    assert result.exit_code == 69
    assert "ssh does not get in to login.example.org (ARCHIVE_HOST)" in result.output
    (words,) = ssh.calls
    assert "BatchMode=yes" in words
    assert words[-2:] == ["--", "login.example.org"]
    assert not [word for word in words if "HostKey" in word or "KnownHosts" in word]
