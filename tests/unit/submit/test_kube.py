"""Logging in: what the client would skip over in silence."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlo_submit import kubeconfig
from mlo_submit.machine import Machine
from tests.unit.submit.conftest import Api, Fake, Invoke, write_kubeconfig

SYNC = ("sync-secret",)


def exec_user(command: str, **more: Any) -> dict[str, Any]:
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": command,
            "args": ["get-token"],
            "interactiveMode": "Never",
            **more,
        }
    }


def jwt(expires: float) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": expires}).encode()).decode().rstrip("=")
    return f"e30.{claims}.sig"


def oidc_user(**config: str) -> dict[str, Any]:
    return {"auth-provider": {"name": "oidc", "config": {"idp-issuer-url": "https://idp", **config}}}


def test_no_kubeconfig(invoke: Invoke, env_file: Path) -> None:
    result = invoke(*SYNC)
    assert result.exit_code == 69
    assert "there is no kubeconfig" in result.stderr


@pytest.mark.parametrize("text", ["", "{", "[]", "a: b", "current-context: x\ncontexts: []\nusers: []\nclusters: []\n"])
def test_a_kubeconfig_that_cannot_be_used(invoke: Invoke, env_file: Path, laptop: Machine, text: str) -> None:
    (laptop.home / ".kube").mkdir()
    (laptop.home / ".kube/config").write_text(text)
    result = invoke(*SYNC)
    assert result.exit_code == 69, result.output
    assert ".kube/config" in result.stderr


def test_kubeconfig_names_several_files_of_which_some_exist(
    api: Api, invoke: Invoke, env_file: Path, laptop: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = laptop.home / "elsewhere"
    (laptop.home / ".kube/config").rename(moved)
    monkeypatch.setenv("KUBECONFIG", f"{laptop.home}/none:{moved}")
    api.answers["POST", "/api/v1/namespaces/runai-mlo-jdoe/secrets"] = 201, {}
    assert invoke(*SYNC).exit_code == 0


def test_a_context_of_ones_choice(api: Api, invoke: Invoke, env_file: Path) -> None:
    env_file.write_text(env_file.read_text() + "MLO_KUBE_CONTEXT=other\n")
    result = invoke(*SYNC)
    assert result.exit_code == 69
    assert "other" in result.stderr


@pytest.mark.parametrize("command", ["kubelogin", "./kubelogin"])
def test_a_login_plugin_that_is_missing(
    api: Api, invoke: Invoke, env_file: Path, laptop: Machine, command: str
) -> None:
    """The client would go on as system:anonymous."""
    write_kubeconfig(laptop, api.url, exec_user(command, installHint="see the wiki"))
    result = invoke(*SYNC)
    assert result.exit_code == 77
    assert f"logs in through `{command}`, which is not on PATH: see the wiki" in result.stderr
    assert api.requests == []


def test_a_login_plugin_that_fails(
    api: Api, invoke: Invoke, env_file: Path, laptop: Machine, fake: Callable[[str], Fake]
) -> None:
    fake("kubelogin").reply(code=1, err="the refresh token expired\n")
    write_kubeconfig(laptop, api.url, exec_user("kubelogin"))
    result = invoke(*SYNC)
    assert result.exit_code == 77
    assert "the refresh token expired" in result.stderr
    assert "Log in with `kubelogin get-token`" in result.stderr
    assert api.requests == []


def test_a_login_plugin_that_works(
    api: Api, invoke: Invoke, env_file: Path, laptop: Machine, fake: Callable[[str], Fake]
) -> None:
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "t"},
    }
    fake("kubelogin").reply(out=json.dumps(credential))
    write_kubeconfig(laptop, api.url, exec_user("kubelogin"))
    api.answers["POST", "/api/v1/namespaces/runai-mlo-jdoe/secrets"] = 201, {}
    result = invoke(*SYNC)
    assert result.exit_code == 0, result.output


def test_an_oidc_login_that_was_never_made(api: Api, invoke: Invoke, env_file: Path, laptop: Machine) -> None:
    write_kubeconfig(laptop, api.url, oidc_user())
    result = invoke(*SYNC)
    assert result.exit_code == 77
    assert "you are not logged in to lab. Log in with `runai login`" in result.stderr


def test_an_oidc_login_that_expired(api: Api, invoke: Invoke, env_file: Path, laptop: Machine) -> None:
    write_kubeconfig(laptop, api.url, oidc_user(**{"id-token": jwt(1700000000), "refresh-token": "r"}))
    result = invoke(*SYNC)
    assert result.exit_code == 77
    assert "your login to lab expired at 2023-11-14 22:13 UTC. Log in with `runai login`" in result.stderr
    assert api.requests == []


def test_kubectl_renews_an_oidc_login_where_it_can(
    api: Api, invoke: Invoke, env_file: Path, laptop: Machine, tmp_path: Path
) -> None:
    path = write_kubeconfig(laptop, api.url, oidc_user(**{"id-token": jwt(1700000000), "refresh-token": "r"}))
    renewed = path.read_text().replace(jwt(1700000000), jwt(time.time() + 3600))
    kubectl = tmp_path / "bin/kubectl"
    kubectl.write_text(
        f"#!/bin/sh\n[ \"$*\" = '--context lab get --raw=/version' ] || exit 9\necho '{renewed}' > {path}\n"
    )
    kubectl.chmod(0o755)
    api.answers["POST", "/api/v1/namespaces/runai-mlo-jdoe/secrets"] = 201, {}
    result = invoke(*SYNC)
    assert result.exit_code == 0, result.output


def test_a_token_that_says_no_expiry_is_the_servers_to_judge() -> None:
    for token in ("", "a", "a.b", "a.!.c", f"a.{base64.urlsafe_b64encode(b'[]').decode()}.c"):
        assert kubeconfig._expiry(token) is None
