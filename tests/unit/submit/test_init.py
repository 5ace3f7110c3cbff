from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlo_submit import env, envfile
from mlo_submit.backends import kubernetes
from mlo_submit.commands import init
from mlo_submit.machine import Machine
from tests.unit.submit.conftest import Invoke, write_kubeconfig

ANSWERS = "jdoe\n123456\n\n\nJ. O'Doe\nj@example.org\n"


def test_it_asks_and_writes_a_file_that_works(invoke: Invoke, laptop: Machine) -> None:
    result = invoke("init", input=ANSWERS)
    assert result.exit_code == 0, result.output
    path = laptop.cwd / ".env"
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(item.name for item in laptop.cwd.iterdir()) == [".env"]
    config = env.configure(envfile.read(path, {}), laptop, kubernetes.REQUIRED)
    assert (config.username, config.uid, config.group, config.gid) == ("jdoe", 123456, "MLO-unit", 83070)
    assert (config.project, config.namespace) == ("mlo-jdoe", "runai-mlo-jdoe")
    assert (config.secret_name, config.working_dir) == ("runai-mlo-jdoe-env", "/mloscratch/homes/jdoe")
    assert config.values["GIT_USER_NAME"] == "J. O'Doe"
    assert invoke("run", "--dry-run", "--backend", "kubernetes").exit_code == 0


def test_an_existing_file_is_kept(invoke: Invoke, env_file: Path) -> None:
    before = env_file.read_text()
    result = invoke("init", input=ANSWERS)
    assert result.exit_code == 64
    assert "exists: edit it, or write it anew with --force" in result.stderr
    assert env_file.read_text() == before
    assert invoke("init", "--force", input=ANSWERS).exit_code == 0


def test_an_answer_that_cannot_be_writes_nothing(invoke: Invoke, laptop: Machine) -> None:
    result = invoke("init", input="root\n0\n\n\n\n\n")
    assert result.exit_code == 64
    assert not (laptop.cwd / ".env").exists()


def test_what_can_be_guessed_is_offered(invoke: Invoke, laptop: Machine, tmp_path: Path) -> None:
    write_kubeconfig(laptop, "http://127.0.0.1:9")
    git = tmp_path / "bin/git"
    git.write_text('#!/bin/sh\ncase "$*" in *user.name) echo "J Doe";; *user.email) echo j@x;; *) exit 1;; esac\n')
    git.chmod(0o755)
    guesses = init.guesses(replace(laptop, uid=os.getuid()))
    assert guesses["K8S_NAMESPACE"] == "runai-mlo-jdoe"
    assert guesses["RUNAI_PROJECT"] == "mlo-jdoe"
    assert (guesses["GIT_USER_NAME"], guesses["GIT_USER_EMAIL"]) == ("J Doe", "j@x")
    result = invoke("init", input="jdoe\n1\n\n\n\n\n")
    assert "Your namespace [runai-mlo-jdoe]" in result.stderr


def test_what_this_machine_cannot_tell_is_asked(laptop: Machine) -> None:
    """An id without an account, and a kubeconfig that is no text."""
    write_kubeconfig(laptop, "http://127.0.0.1:9").write_bytes(b"\xff\xfe")
    assert init.guesses(replace(laptop, uid=4294967000)) == {"LDAP_UID": "4294967000"}


def test_another_place(invoke: Invoke, tmp_path: Path) -> None:
    path = tmp_path / "new/dir/.env"
    assert invoke("--env-file", str(path), "init", input=ANSWERS).exit_code == 0
    assert path.is_file()


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\r\n"), min_size=1))
def test_any_answer_comes_back(text: str) -> None:
    filled = init.fill("# GIT_USER_NAME: a comment\nGIT_USER_NAME=\nZ=1\n", {"GIT_USER_NAME": text, "NEW": text})
    file = envfile.parse(filled, {}, Path(".env"))
    assert (dict(file.values), file.problems) == ({"GIT_USER_NAME": text, "Z": "1", "NEW": text}, ())


GIT = next((path for path in ("/usr/bin/git", "/usr/local/bin/git") if Path(path).exists()), "")


@pytest.mark.skipif(not GIT, reason="no git on this machine")
def test_git_ignores_it(invoke: Invoke, laptop: Machine, tmp_path: Path) -> None:
    (tmp_path / "bin/git").symlink_to(GIT)
    subprocess.run([GIT, "init", "-q", str(laptop.cwd)], check=True)
    (laptop.cwd / ".gitignore").write_text("*.pyc")
    result = invoke("init", input=ANSWERS)
    assert result.exit_code == 0, result.output
    assert (laptop.cwd / ".gitignore").read_text() == "*.pyc\n/.env\n"
    assert "now names it" in result.stderr
    assert invoke("init", "--force", input=ANSWERS).exit_code == 0
    assert (laptop.cwd / ".gitignore").read_text() == "*.pyc\n/.env\n"
