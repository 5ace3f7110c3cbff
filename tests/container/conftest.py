"""Fixtures: one export, and pods on it in both starts."""

from __future__ import annotations

import itertools
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.container.machine import RIG, mount, unmount
from tests.container.pod import Pod
from tests.container.scratch import Scratch
from tests.container.trees import grow_tree

MakePod = Callable[..., Pod]
MakeScratch = Callable[..., Scratch]
_numbers = itertools.count()


@pytest.fixture(scope="session")
def rig_directory() -> Iterator[Path]:
    """Where the tests' disks are: in memory, so that hundreds of boots leave nothing and wait for nothing."""
    if os.geteuid() != 0:
        pytest.exit("these tests run as root in a container of their own: tests/container/run.sh", 2)
    RIG.mkdir(parents=True, exist_ok=True)
    mount("tmpfs", RIG, "tmpfs", "mode=755,size=4g")
    os.umask(0o022)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.RLIM_INFINITY))
    grow_tree(RIG / "oh-my-zsh", files=8, size=20_000)  # a small one: most tests are not about it
    yield RIG
    unmount(RIG)


@pytest.fixture
def directory(rig_directory: Path) -> Path:
    path = rig_directory / str(next(_numbers))
    path.mkdir()
    return path


@pytest.fixture
def make_scratch(directory: Path) -> Iterator[MakeScratch]:
    made: list[Scratch] = []

    def make(timeout: float = 0) -> Scratch:
        made.append(Scratch(directory / f"scratch{len(made)}", timeout))
        return made[-1]

    yield make
    for scratch in made:
        scratch.close()


@pytest.fixture
def scratch(make_scratch: MakeScratch, request: pytest.FixtureRequest) -> Scratch:
    """An export on which each step of each path is checked: nothing is answered from a cache.

    A module for which the calls on scratch are not the point sets CACHE_SECONDS, as an NFS client has it.
    """
    return make_scratch(getattr(request.module, "CACHE_SECONDS", 0))


@pytest.fixture(params=["root", "uid"])
def start(request: pytest.FixtureRequest) -> str:
    """Both ways in which a runtime starts a container."""
    return str(request.param)


@pytest.fixture
def make_pod(directory: Path, scratch: Scratch) -> Iterator[MakePod]:
    made: list[Pod] = []

    def make(start: str = "uid", on: Scratch | None = None) -> Pod:
        made.append(Pod(directory / f"pod{len(made)}", on or scratch, start))
        return made[-1]

    yield make
    for pod in made:
        pod.close()


@pytest.fixture
def pod(make_pod: MakePod, start: str) -> Pod:
    return make_pod(start)
