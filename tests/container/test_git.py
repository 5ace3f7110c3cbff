"""Git identity."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.container.conftest import MakePod
from tests.container.machine import HOME, USER
from tests.container.pod import Pod
from tests.container.scratch import Scratch

WHO = {"GIT_USER_NAME": "J. Doe", "GIT_USER_EMAIL": "j@doe.org"}
SHOW = "git config --global user.name; git config --global user.email"


@pytest.fixture
def config(scratch: Scratch) -> Path:
    scratch.home()
    return scratch.backing / "homes" / USER / ".gitconfig"


def test_an_identity_is_written_once(pod: Pod, config: Path) -> None:
    """Into GIT_CONFIG_GLOBAL on scratch, and not again at the next boot."""
    assert pod.script(SHOW, env=WHO).text == "J. Doe\nj@doe.org\n"
    before = config.stat()
    assert pod.script(SHOW, env=WHO).text == "J. Doe\nj@doe.org\n"
    assert (config.stat().st_ino, config.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_no_identity_no_file(pod: Pod, config: Path) -> None:
    """Nothing given, nothing written."""
    pod.script("true")
    assert not config.exists()


def test_an_existing_identity_wins(pod: Pod, config: Path, scratch: Scratch) -> None:
    """Each of the two by itself; the rest of the file stays as it is."""
    scratch.put(f"homes/{USER}/.gitconfig", "# mine\n[User]\n\tname = Old Name\n[alias]\n\tst = status\n")
    assert pod.script(SHOW + "; git config --global alias.st", env=WHO).text == "Old Name\nj@doe.org\nstatus\n"
    assert config.read_text().startswith("# mine\n[User]\n\tname = Old Name\n")


def test_an_identity_from_an_include_wins(pod: Pod, config: Path, scratch: Scratch) -> None:
    """The user keeps it in another file: what git says is what counts."""
    scratch.put(f"homes/{USER}/.gitconfig", f"[include]\n\tpath = {HOME}/who\n")
    scratch.put(f"homes/{USER}/who", "[user]\n\tname = Included\n\temail = in@clu.de\n")
    assert pod.script(SHOW.replace("config ", "config --includes "), env=WHO).text == "Included\nin@clu.de\n"


@pytest.mark.parametrize(
    "name",
    ['A "B" C', "back\\slash", "semi;colon # hash", " spaces ", "é ü 漢", "line\nbreak", "[x]", "-n", "=", "x" * 3000],
)
def test_an_odd_name_arrives_as_it_is(pod: Pod, config: Path, name: str) -> None:
    """Or as git itself would keep it."""
    env = {"GIT_USER_NAME": name, "GIT_USER_EMAIL": "-x@y"}
    assert pod.script(SHOW, env=env).text == f"{name}\n-x@y\n"


@pytest.mark.parametrize("broken", ["[user\n", '[user]\n\tname = "unclosed\n', "\0\0\0", "[", "<<<<<<< HEAD\n"])
def test_a_broken_gitconfig_is_a_warning(pod: Pod, config: Path, scratch: Scratch, broken: str) -> None:
    """The file stays as it is for the user to mend, and the job runs."""
    scratch.put(f"homes/{USER}/.gitconfig", broken)
    pod.script("true", env=WHO, expect=[r"WARNING.*\.gitconfig"])
    assert config.read_text() == broken


def test_a_stale_lock_is_a_warning(pod: Pod, config: Path, scratch: Scratch) -> None:
    """A pod that was killed left .gitconfig.lock."""
    scratch.put(f"homes/{USER}/.gitconfig.lock", "")
    pod.script("true", env=WHO, expect=[r"WARNING.*\.gitconfig.*lock"])
    assert not config.exists()


def test_repositories_on_scratch_are_no_dubious_ones(pod: Pod, scratch: Scratch) -> None:
    """The working directory belongs to the seed user, and git works in it; no rule trusts all directories."""
    scratch.make("project", 177449, 83070, 0o770)
    result = pod.script(
        "git init -q . && git status --short && git config --system --list", env={"WORKING_DIR": "/mloscratch/project"}
    )
    assert "safe.directory=/mloscratch/project" in result.text
    assert "safe.directory=*" not in result.text


def test_concurrent_boots_keep_it_whole(scratch: Scratch, make_pod: MakePod, config: Path) -> None:
    """Six pods on one home: the file has the identity once, with at most a WARNING about the lock."""
    for _ in range(3):
        config.unlink(missing_ok=True)
        lives = [make_pod("uid").start("/bin/true", env=WHO) for _ in range(6)]
        for live in lives:
            live.wait(0, expect=None)
        assert config.read_text().split() == ["[user]", "name", "=", "J.", "Doe", "email", "=", "j@doe.org"]
