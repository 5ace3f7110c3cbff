"""`mlo-submit doctor` on this machine: a situation, and the line and the remedy that it gives."""

from __future__ import annotations

import base64
import json
import os
import pwd
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlo_submit import checks
from mlo_submit.checks import local
from mlo_submit.checks.context import Check, Context, Finding, UntoldError, look
from mlo_submit.machine import Machine
from tests.unit.submit.conftest import ENV, Fake, Invoke
from tests.unit.submit.doctor import examine


def test_without_env_the_rest_is_not_looked_at(invoke: Invoke, laptop: Machine) -> None:
    result = invoke("--backend", "docker", "doctor")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].startswith("\u2717 .env             there is no .env, neither ")
    assert lines[1].startswith("                   \u2192 `mlo-submit init` writes one")
    assert "\u2013 settings         there is none" in lines
    assert result.stderr == "Backend: docker.\nchecking\n"


@pytest.mark.parametrize(("mode", "ok"), [(0o600, True), (0o400, True), (0o640, False), (0o604, False)])
def test_env_is_for_its_owner_alone(env_file: Path, invoke: Invoke, mode: int, ok: bool) -> None:
    env_file.chmod(mode)
    item = examine(invoke)["privacy of .env"]
    assert (item["ok"], item["remedy"]) == (ok, "" if ok else f"chmod 600 {env_file}")


@pytest.mark.parametrize(
    ("tracked", "ignored", "ok", "found"),
    [(0, 1, False, "git tracks .env"), (1, 1, False, "git does not ignore .env"), (1, 0, True, "ignores .env")],
)
def test_git_never_gets_env(
    env_file: Path, invoke: Invoke, fake: Callable[[str], Fake], tracked: int, ignored: int, ok: bool, found: str
) -> None:
    git = fake("git")
    git.reply("-C", str(env_file.parent), "ls-files", code=tracked)
    git.reply("-C", str(env_file.parent), "check-ignore", code=ignored)
    item = examine(invoke)["git"]
    assert item["ok"] is ok
    assert found in item["found"]
    assert ok or item["remedy"]


PUBLIC = "ssh-ed25519 AAAAC3Nza"


@pytest.mark.parametrize(
    ("public", "code", "ok", "found"),
    [
        (f"{PUBLIC} jdoe@laptop", 0, True, "without a passphrase, and the public key is its own"),
        ("", 0, True, "without a passphrase"),
        ("ssh-ed25519 BBBB", 0, False, "SSH_PUBLIC_KEY belongs to another key"),
        ("", 1, False, "ssh-keygen cannot read it"),
    ],
)
def test_the_ssh_key_is_whole_and_has_its_own_public_key(
    env_file: Path, invoke: Invoke, fake: Callable[[str], Fake], public: str, code: int, ok: bool, found: str
) -> None:
    private = base64.b64encode(b"-----BEGIN PRIVATE KEY-----\nhidden\n").decode()
    env_file.write_text(f"{ENV}SSH_PRIVATE_KEY_B64={private}\nSSH_PUBLIC_KEY='{public}'\n")
    keygen = fake("ssh-keygen")
    keygen.reply("-y", "-P", "", "-f", code=code, out=f"{PUBLIC} \n")
    item = examine(invoke)["SSH key"]
    assert (item["ok"], item["found"]) == (ok, found)
    (words,) = keygen.calls
    assert not Path(words[-1]).exists(), "no copy of the key stays"


@pytest.mark.parametrize(
    ("uid", "gid", "in_passwd", "ok", "found"),
    [
        (123456, 83070, False, True, "jdoe is 123456:83070 on this machine, too"),
        (1000, 1000, False, False, "LDAP_UID=123456, and here jdoe is 1000"),
        (123456, 1, False, False, "LDAP_GID=83070, and here the group of jdoe is 1"),
        (1000, 1000, True, None, "an account of this machine alone"),
    ],
)
def test_the_account_is_the_one_that_this_machine_knows(
    env_file: Path,
    invoke: Invoke,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    uid: int,
    gid: int,
    in_passwd: bool,
    ok: bool | None,
    found: str,
) -> None:
    passwd = tmp_path / "passwd"
    passwd.write_text("root:x:0:0::/:\n" + ("jdoe:x:1000:1000::/:\n" if in_passwd else ""))
    monkeypatch.setattr(local, "PASSWD", passwd)
    monkeypatch.setattr(pwd, "getpwnam", lambda name: SimpleNamespace(pw_uid=uid, pw_gid=gid))
    item = examine(invoke)["account"]
    assert item["ok"] is ok, item
    assert found in item["found"]


@pytest.mark.parametrize(
    ("code", "out", "err", "ok", "found"),
    [
        (0, "", "", True, "login lets you in, and has the store and the scratch"),
        (0, "rsync\n/store\n", "", False, "login has no rsync, no /store"),
        (255, "", "jdoe@login: Permission denied (password).\n", None, "asks for a password"),
        (255, "", "Host key verification failed.\n", False, "no way in to login: Host key verification failed."),
    ],
)
def test_the_login_host(
    env_file: Path, invoke: Invoke, fake: Callable[[str], Fake], code: int, out: str, err: str, ok: bool, found: str
) -> None:
    env_file.write_text(ENV + "ARCHIVE_HOST=login\nARCHIVE_ROOT=/store\nSCRATCH_HOST_ROOT=/s\n")
    fake("ssh").reply("-o", "BatchMode=yes", code=code, out=out, err=err)
    item = examine(invoke)["archive"]
    assert item["ok"] is ok, item
    assert found in item["found"]
    assert ok is not False or item["remedy"]


def docker(fake: Callable[[str], Fake]) -> Fake:
    made = fake("docker")
    made.reply(code=1, err="Error response from daemon: No such image")
    made.reply("version", out="28.0 20.10\n")
    made.reply("ps")
    made.reply("info", out=json.dumps({"Runtimes": {"runc": {}}}))
    return made


def test_docker_where_all_is_well(env_file: Path, invoke: Invoke, fake: Callable[[str], Fake]) -> None:
    docker(fake).reply("image", "inspect")
    found = examine(invoke, "docker")
    assert {name for name, item in found.items() if item["ok"] is None} == {
        *("git", "account", "SSH key", "archive", "GPUs")
    }
    assert found["engine"]["found"] == "client 28.0, engine 20.10"
    assert "login" not in found, "no cluster is asked"


def test_docker_without_an_engine(env_file: Path, invoke: Invoke, fake: Callable[[str], Fake]) -> None:
    docker(fake).reply(code=1, err="Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?")
    found = examine(invoke, "docker")
    assert [name for name, item in found.items() if item["ok"] is False] == ["engine"]
    assert "sudo systemctl start docker" in found["engine"]["remedy"]


@pytest.mark.parametrize(
    ("policy", "here", "manifest", "ok", "found"),
    [
        ("Never", 1, 0, False, "is not on this machine, and is never pulled"),
        ("", 1, 0, True, "the registry has it"),
        ("", 1, 1, False, "cannot be pulled: no such manifest"),
        ("Always", 0, 1, False, "cannot be pulled"),
        ("", 0, 1, True, "is on this machine"),
    ],
)
def test_docker_can_have_the_image(
    env_file: Path,
    invoke: Invoke,
    fake: Callable[[str], Fake],
    policy: str,
    here: int,
    manifest: int,
    ok: bool,
    found: str,
) -> None:
    env_file.write_text(ENV + f"MLO_IMAGE_PULL_POLICY={policy}\n")
    made = docker(fake)
    made.reply("image", "inspect", code=here)
    made.reply("manifest", "inspect", code=manifest, err="no such manifest")
    item = examine(invoke, "docker")["image"]
    assert item["ok"] is ok
    assert found in item["found"]


@pytest.mark.parametrize(
    ("disk", "found"),
    [
        ({"f_bavail": 1, "f_favail": 10**6}, "4 KiB free"),
        ({"f_bavail": 10**9, "f_favail": 7}, "room for 7 more files"),
    ],
)
def test_a_full_disk(
    env_file: Path,
    invoke: Invoke,
    fake: Callable[[str], Fake],
    monkeypatch: pytest.MonkeyPatch,
    disk: Any,
    found: str,
) -> None:
    docker(fake)
    full = SimpleNamespace(f_frsize=4096, f_files=10**6, **disk)
    monkeypatch.setattr(os, "statvfs", lambda path: full)
    for item in (examine(invoke, "docker")[name] for name in ("local scratch", "state directory")):
        assert item["ok"] is False
        assert found in item["found"]
        assert "Make room" in item["remedy"]


def test_a_gpu_without_its_runtime(laptop: Machine, fake: Callable[[str], Fake], env_file: Path) -> None:
    made = docker(fake)
    context = look(replace(laptop, has_gpu=True), None, "docker")
    finding = checks.docker.gpus(context)
    assert (finding.ok, "Container Toolkit" in finding.remedy) == (False, True)
    made.reply("info", out=json.dumps({"Runtimes": {"runc": {}, "nvidia": {}}}))
    assert checks.docker.gpus(context).ok is True


def test_a_check_that_crashes_or_hangs_is_a_line(
    env_file: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = threading.Event()

    def crash(context: Context) -> Finding:
        raise KeyError("x")

    def hang(context: Context) -> Finding:
        end.wait()
        raise UntoldError("")

    chosen = tuple(Check(name=run.__name__, run=run) for run in (crash, hang, local.file))
    monkeypatch.setattr(checks, "CHECKS", chosen)
    monkeypatch.setattr(checks, "DEADLINE", 0.3)
    result = invoke("--backend", "docker", "doctor")
    end.set()
    assert result.exit_code == 0
    assert [line.split(maxsplit=2)[::2] for line in result.stdout.splitlines()] == [
        ["\u2013", "the check itself failed: KeyError: 'x'"],
        ["\u2013", "no answer within 0.3 seconds"],
        ["\u2713", str(env_file)],
    ]
