"""What a check is, what it finds, and what all of them look at: each thing is asked for once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mlo_submit import backends, env, envfile, kubeconfig
from mlo_submit.backends import BACKENDS, Name
from mlo_submit.env import Config
from mlo_submit.errors import MloError
from mlo_submit.kube import JSON, Cluster
from mlo_submit.machine import Machine

T = TypeVar("T")

CLUSTERS: frozenset[Name] = frozenset({"runai", "kubernetes"})
EVERYWHERE: frozenset[Name] = frozenset(BACKENDS)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a check found. `ok` is None where it does not apply, or cannot be told; `remedy` is what to do."""

    ok: bool | None
    found: str
    remedy: str = ""


def problem(message: str) -> Finding:
    """A message of ours as what was found, and what to do."""
    found, mark, remedy = message.partition(". ")
    if not mark:
        found, mark, remedy = message.rpartition(": ")
    if not found:
        return Finding(ok=False, found=message)
    return Finding(ok=False, found=found, remedy=remedy[0].upper() + remedy[1:])


class UntoldError(Exception):
    """A check that cannot be made, and why."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """`run` may raise: an MloError is a finding, too. `on` are the backends for which it is made."""

    name: str
    run: Callable[[Context], Finding]
    on: frozenset[Name] = EVERYWHERE


@dataclass(frozen=True, kw_only=True)
class Greeting:
    """The server's first answer: its version, the seconds that it took, and by how many our clock is ahead."""

    version: JSON
    seconds: float
    ahead: float | None


@dataclass(frozen=True, kw_only=True)
class Context:
    """This machine, its .env, and the cluster, each as far as it can be had. `doubts` are of .env's text."""

    machine: Machine
    backend: Name
    path: Path | MloError
    settings: Config | MloError
    doubts: tuple[str, ...]
    connection: Future[Cluster]
    greeting: Future[Greeting]
    nodes: Future[list[JSON]]

    @property
    def config(self) -> Config:
        """The settings.

        Raises:
            UntoldError: there are none that are valid.
        """
        if isinstance(self.settings, MloError):
            raise UntoldError("not looked at: .env comes first")
        return self.settings

    @property
    def cluster(self) -> Cluster:
        """The cluster, logged in.

        Raises:
            UntoldError: it cannot be reached.
        """
        self.greeted  # noqa: B018
        return self.connection.result()

    @property
    def greeted(self) -> Greeting:
        """What the server said first.

        Raises:
            UntoldError: it cannot be reached.
        """
        try:
            return self.greeting.result()
        except MloError:
            raise UntoldError("not looked at: the cluster comes first") from None


def look(machine: Machine, env_file: str | None, backend: str | None) -> Context:
    """Read .env, and begin to reach the cluster where the backend has one."""
    path: Path | MloError
    settings: Config | MloError
    values, doubts = {}, list[str]()
    try:
        path = envfile.find(machine, env_file)
    except MloError as error:
        path = settings = error
    name, _ = backends.choose(backend, None, machine)
    if isinstance(path, Path):
        try:
            file = envfile.read(path, machine.environ)
            values = dict(file.values)
            doubts = [text for text in file.warnings if text != envfile.exposed(path)]
            name, _ = backends.choose(backend, values.get("MLO_BACKEND"), machine)
            settings = env.configure(file, machine, backends.load(name).REQUIRED)
        except MloError as error:
            settings = error
    connection = later(lambda: kubeconfig.connect(machine, values.get("MLO_KUBE_CONTEXT", "")))
    return Context(
        machine=machine,
        backend=name,
        path=path,
        settings=settings,
        doubts=tuple(doubts),
        connection=connection,
        greeting=later(lambda: _greet(connection.result())),
        nodes=later(lambda: list(connection.result().call("GET", "/api/v1/nodes", limit=500)["items"])),
    )


def _greet(cluster: Cluster) -> Greeting:
    from email.utils import parsedate_to_datetime

    began = time.monotonic()
    version, headers = cluster.ask("GET", "/version")
    seconds = time.monotonic() - began
    date = headers.get("Date")
    ahead = time.time() - seconds / 2 - parsedate_to_datetime(date).timestamp() if date else None
    return Greeting(version=version, seconds=seconds, ahead=ahead)


def later(work: Callable[[], T]) -> Future[T]:
    """Do it in a thread that nobody has to wait for, not even at the end."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
