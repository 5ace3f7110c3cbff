"""No test here starts a program by accident: PATH is an empty directory, into which a test may put fakes."""

from __future__ import annotations

import json
import os
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from inspect import signature
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import yaml
from click.testing import CliRunner, Result

from mlo_submit import ending
from mlo_submit.backends import kubernetes
from mlo_submit.backends.kubernetes.jobs import Jobs
from mlo_submit.cli import main
from mlo_submit.commands import common
from mlo_submit.env import Config, configure
from mlo_submit.envfile import parse
from mlo_submit.machine import Machine
from tests.unit.submit.shelf import Shelf

ENV = """\
LDAP_USERNAME=jdoe
LDAP_UID=123456
LDAP_GROUPNAME=MLO-unit
LDAP_GID=83070
RUNAI_PROJECT=mlo-jdoe
K8S_NAMESPACE=runai-mlo-jdoe
RUNAI_IMAGE=registry.example.org/mlo/base:1
RUNAI_SECRET_NAME=jdoe-env
SCRATCH_PVC=mlo-scratch
HF_TOKEN=hf_hidden
WANDB_API_KEY=wandb_hidden
TZ=Europe/Zurich
"""


@pytest.fixture(autouse=True)
def laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A laptop with nothing on it: an empty home, an empty PATH, an empty working directory."""
    for name in os.environ:
        if name.startswith(("XDG_", "MLO_", "KUBE", "DOCKER")):
            monkeypatch.delenv(name)
    for name in ("home", "bin", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.chdir(tmp_path / "work")
    return Machine(
        environ={"HOME": str(tmp_path / "home"), "PATH": str(tmp_path / "bin")},
        home=tmp_path / "home",
        cwd=tmp_path / "work",
        uid=1000,
        has_gpu=False,
    )


def config_of(machine: Machine, text: str = ENV, *required: str) -> Config:
    return configure(parse(text, {}, Path(".env")), machine, required)


@pytest.fixture
def config(laptop: Machine) -> Config:
    return config_of(laptop)


@pytest.fixture
def env_file(laptop: Machine) -> Path:
    path = laptop.cwd / ".env"
    path.write_text(ENV)
    path.chmod(0o600)
    return path


class Fake:
    """A program on PATH that records its argv, and answers as told: the first reply whose words it was given."""

    def __init__(self, directory: Path, name: str) -> None:
        self._log = directory / f".{name}.argv"
        self._replies = directory / f".{name}.replies"
        self._replies.write_text("[]")
        script = f"""\
            #!{sys.executable} -IS
            import json, os, sys
            with open({str(self._log)!r}, "a") as log:
                log.write(json.dumps([sys.argv[1:], dict(os.environ)]) + "\\n")
            for words, code, out, err in json.load(open({str(self._replies)!r})):
                if sys.argv[1:][:len(words)] == words:
                    sys.stdout.write(out), sys.stderr.write(err), sys.exit(code)
            """
        path = directory / name
        path.write_text(textwrap.dedent(script))
        path.chmod(0o755)

    def reply(self, *words: str, code: int = 0, out: str = "", err: str = "") -> None:
        """Answer an argv that starts with these words. A later reply goes before an earlier one."""
        replies = json.loads(self._replies.read_text())
        self._replies.write_text(json.dumps([[words, code, out, err], *replies]))

    @property
    def calls(self) -> list[list[str]]:
        """The argv of each call, without the program's name."""
        return [json.loads(line)[0] for line in self._log.read_text().splitlines()] if self._log.exists() else []

    @property
    def environs(self) -> list[dict[str, str]]:
        return [json.loads(line)[1] for line in self._log.read_text().splitlines()] if self._log.exists() else []


@pytest.fixture
def fake(tmp_path: Path) -> Callable[[str], Fake]:
    """Puts a program on the otherwise empty PATH."""
    return lambda name: Fake(tmp_path / "bin", name)


Invoke = Callable[..., Result]


@pytest.fixture
def invoke() -> Invoke:
    """Calls `mlo-submit`; what it prints must never hold a secret of ENV."""

    def call(*argv: str, **kwargs: Any) -> Result:
        result = CliRunner().invoke(main, argv, prog_name="mlo-submit", **kwargs)
        assert "hidden" not in result.output, "a secret is shown"
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


@dataclass
class Api:
    """An API server in this process: `answers` maps (method, path) to (status, body), else 404.

    An answer may be a function, also one that takes the query of the request.
    """

    url: str
    answers: dict[tuple[str, str], Any] = field(default_factory=dict)
    requests: list[tuple[str, str, Any]] = field(default_factory=list)

    def paths(self) -> list[tuple[str, str]]:
        return [(method, path) for method, path, _ in self.requests]


def status(code: int, message: str, **details: Any) -> tuple[int, dict[str, Any]]:
    return code, {"kind": "Status", "status": "Failure", "message": message, "code": code, **details}


@contextmanager
def serve() -> Iterator[Api]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path, _, asked = self.path.partition("?")
            query = dict(parse_qsl(asked))
            here.requests.append((self.command, path, json.loads(body) if body else None))
            answer = here.answers.get((self.command, path), status(404, f"{path} not found"))
            if callable(answer):
                answer = answer(query) if signature(answer).parameters else answer()
            code, found = answer
            raw = found if isinstance(found, bytes) else json.dumps(found).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    here = Api(url=f"http://127.0.0.1:{server.server_address[1]}")
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield here
    server.shutdown()
    server.server_close()


@pytest.fixture
def api(laptop: Machine) -> Iterator[Api]:
    """An API server, and the kubeconfig that names it."""
    with serve() as here:
        write_kubeconfig(laptop, here.url)
        yield here


def write_kubeconfig(machine: Machine, server: str, user: dict[str, Any] | None = None) -> Path:
    path = machine.home / ".kube/config"
    path.parent.mkdir(exist_ok=True)
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "contexts": [{"name": "lab", "context": {"cluster": "c", "user": "u", "namespace": "runai-mlo-jdoe"}}],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "t"} if user is None else user}],
    }
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """The jobs that every command reaches, whichever backend is chosen."""
    made = Shelf()
    monkeypatch.setattr(common, "reach", lambda _: common.Reached(name="docker", jobs=made, config=None, machine=None))  # type: ignore[arg-type]
    monkeypatch.setattr(ending, "LOOK", 0.001)
    return made


@pytest.fixture
def jobs(api: Api, laptop: Machine, config: Config) -> Jobs:
    """Those of an API server that has none."""
    for kind in ("pods", "events"):
        api.answers["GET", f"/api/v1/namespaces/{config.namespace}/{kind}"] = 200, {"items": []}
    api.answers["GET", f"/apis/batch/v1/namespaces/{config.namespace}/jobs"] = 200, {"items": []}
    return kubernetes.connect(config, laptop)
