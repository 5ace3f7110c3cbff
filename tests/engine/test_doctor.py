"""`mlo-submit doctor` with a real Docker Engine, and without one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def examine(home: Path, image: str, **changes: str) -> dict[str, dict[str, Any]]:
    (home / ".env").write_text(
        f"LDAP_USERNAME=jdoe\nLDAP_UID=123456\nLDAP_GROUPNAME=lab\nLDAP_GID=83070\nRUNAI_IMAGE={image}\n"
    )
    (home / ".env").chmod(0o600)
    environ = {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    environ |= {name: value for name, value in os.environ.items() if name.startswith("DOCKER_")}
    done = subprocess.run(
        [sys.executable, "-m", "mlo_submit", "--backend", "docker", "doctor", "--json"],
        env={**environ, **changes},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
    )
    found = {item["check"]: item for item in json.loads(done.stdout)}
    assert done.returncode == int(any(item["ok"] is False for item in found.values())), done.stderr
    return found


def wrong(found: dict[str, dict[str, Any]]) -> list[str]:
    return [name for name, item in found.items() if item["ok"] is False]


def test_nothing_is_wrong_where_the_engine_answers(tmp_path: Path) -> None:
    image = os.environ.get("MLO_IMAGE") or pytest.skip("MLO_IMAGE names no image")
    found = examine(tmp_path, image)
    assert wrong(found) == []
    assert found["engine"]["found"].startswith("client ")
    assert found["image"]["found"] == f"{image} is on this machine"
    assert found["jobs"]["ok"] is True


def test_an_image_that_no_registry_has(tmp_path: Path) -> None:
    found = examine(tmp_path, "none.invalid/mlo:1")
    assert wrong(found) in (["image"], []), "a name server that is out of reach tells nothing"
    assert found["image"]["ok"] is not True


def test_without_an_engine_that_alone_is_wrong(tmp_path: Path) -> None:
    found = examine(tmp_path, "mlo:dev", DOCKER_HOST="unix:///nonexistent/docker.sock")
    assert wrong(found) == ["engine"]
    assert "sudo systemctl start docker" in found["engine"]["remedy"]
