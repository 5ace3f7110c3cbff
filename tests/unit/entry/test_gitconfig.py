"""The git identity: an existing one wins, and nothing is broken."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path

import pytest

from mlo_entry import actions, gitconfig
from mlo_entry.actions import USER
from tests.unit.entry.applied import run, twice


def git(path: Path, key: str) -> str:
    argv = ["git", "config", "--file", str(path), "--includes", "--get", key]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.removesuffix("\n")


def test_git_identity(tmp_path: Path) -> None:
    path = tmp_path / ".gitconfig"
    name = '-J "Doe" \\ # ; ü'
    twice(actions.SetGitIdentity(USER, str(path), name, "j@x"))
    assert (git(path, "user.name"), git(path, "user.email")) == (name, "j@x")
    assert run(actions.SetGitIdentity(USER, str(path), "Other", "o@x")) == (False, "", 0)
    assert git(path, "user.name") == name


@pytest.mark.parametrize(
    "text",
    ["[user] name = own\n", "[user] # x\n\tname = own\n", '[USER]\nName="own"\n'],
)
def test_an_existing_identity_wins(tmp_path: Path, text: str) -> None:
    path = tmp_path / ".gitconfig"
    path.write_text(text)
    assert run(actions.SetGitIdentity(USER, str(path), "Other", "")) == (False, "", 0)
    assert git(path, "user.name") == "own"


def test_a_value_that_goes_on_is_no_identity(tmp_path: Path) -> None:
    path = tmp_path / ".gitconfig"
    path.write_text("[a]\nb = c\\\n[user]\nname = a's\n")
    twice(actions.SetGitIdentity(USER, str(path), "J", ""))
    assert git(path, "user.name") == "J"


def test_an_included_identity_wins(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("[user]\nname = own\n")
    (tmp_path / ".gitconfig").write_text("[include]\npath = other\n")
    assert run(actions.SetGitIdentity(USER, str(tmp_path / ".gitconfig"), "Other", "")) == (False, "", 0)


def test_a_broken_gitconfig_is_told_and_kept(tmp_path: Path) -> None:
    path = tmp_path / ".gitconfig"
    path.write_text("[user\nname=x\n")
    changed, problem, code = run(actions.SetGitIdentity(USER, str(path), "J", "j@x"))
    assert (changed, code) == (False, 0)
    assert "git cannot set user.name" in problem
    assert path.read_text() == "[user\nname=x\n"


def test_a_gitconfig_that_another_pod_replaces_is_read_again(tmp_path: Path) -> None:
    answers: list[bytes | OSError] = [OSError(errno.ESTALE, "stale"), b"", b"[user]\nname = J\n"]

    def read() -> bytes:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    (tmp_path / ".gitconfig.lock").touch()  # held while it is looked at for the second time
    assert gitconfig.set_identity(str(tmp_path / ".gitconfig"), read, "J", "") is False
    assert not answers


def test_a_stale_git_lock_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlo_entry.gitconfig.LOCK_SECONDS", 0.1)
    (tmp_path / ".gitconfig.lock").write_text("")
    problem = run(actions.SetGitIdentity(USER, str(tmp_path / ".gitconfig"), "J", ""))[1]
    assert f"Remove {tmp_path}/.gitconfig.lock if no git runs" in problem
