"""The wheel and the sdist: what is in them, and that they are made the same anywhere and at any time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCES = ("mlo_submit", "docs", "CHANGELOG.md", ".env.example")
BESIDES = (".gitignore", "LICENSE", "README.md", "pyproject.toml")
METADATA = ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")


def tracked(*paths: str) -> set[str]:
    """What git has, or would have, of these paths."""
    listing = ("git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *paths)
    done = subprocess.run(listing, check=True, capture_output=True, text=True)
    return {name for name in done.stdout.split("\0") if name and (ROOT / name).exists()}


def checkout(directory: Path, *, umask: int, time: int) -> Path:
    """A copy of the checkout: its files with other modes and times, and beside them what must not be packed."""
    for name in tracked("."):
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target, follow_symlinks=False)
        if not target.is_symlink():
            target.chmod((0o777 if os.access(target, os.X_OK) else 0o666) & ~umask)
            os.utime(target, (time, time))
    for name in (".env", "mlo_submit/.env", "mlo_submit/__pycache__/cli.cpython-310.pyc"):
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text("HF_TOKEN=hf_secret\n")
    return directory


def build(target: str, source: Path, directory: Path, *, umask: int) -> Path:
    """The one file that hatchling makes there."""
    command = (sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(directory))
    subprocess.run(command, check=True, cwd=source, umask=umask, capture_output=True)
    (found,) = directory.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return found


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    first = checkout(tmp_path_factory.mktemp("one"), umask=0o022, time=1_000_000_000)
    second = checkout(tmp_path_factory.mktemp("two") / "deeper", umask=0o077, time=1_700_000_000)
    return first, second


@pytest.fixture(scope="module")
def wheel(places: tuple[Path, Path]) -> Path:
    return build("wheel", places[0], places[0] / "out", umask=0o022)


@pytest.fixture(scope="module")
def sdist(places: tuple[Path, Path]) -> Path:
    return build("sdist", places[0], places[0] / "out", umask=0o022)


def test_the_wheel_is_mlo_submit_its_example_and_its_licence_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = next(name for name in names if name.endswith("/METADATA"))
        told = Parser().parsestr(archive.read(metadata).decode())
        example = archive.read("mlo_submit/env.example").decode()
    information = metadata.rpartition("/")[0]
    assert set(names) == tracked("mlo_submit") | {f"{information}/{name}" for name in METADATA}
    assert example == (ROOT / ".env.example").read_text()
    assert (told["License-Expression"], told["Requires-Python"]) == ("MIT", ">=3.10")


def test_the_sdist_is_what_the_wheel_is_made_of_and_the_documentation(sdist: Path) -> None:
    top = sdist.name.removesuffix(".tar.gz")
    with tarfile.open(sdist) as archive:
        names = set(archive.getnames())
    assert names == {f"{top}/{name}" for name in (*tracked(*SOURCES), *BESIDES, "PKG-INFO")}


def test_both_are_the_same_bytes_at_another_time_in_another_place_under_another_umask(
    places: tuple[Path, Path], wheel: Path, sdist: Path
) -> None:
    other = places[1] / "out"
    assert build("wheel", places[1], other, umask=0o077).read_bytes() == wheel.read_bytes()
    assert build("sdist", places[1], other, umask=0o077).read_bytes() == sdist.read_bytes()


def test_the_wheel_of_the_sdist_is_the_same_bytes(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path)  # noqa: S202  # our own
    (source,) = tmp_path.iterdir()
    assert build("wheel", source, tmp_path / "out", umask=0o022).read_bytes() == wheel.read_bytes()
