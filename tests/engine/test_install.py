"""mlo-submit where nothing of ours is: in a fresh Debian, from the wheel, by pip and by uv, on old and new Pythons."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import zlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENV = """\
LDAP_USERNAME=jdoe
LDAP_UID=123456
LDAP_GROUPNAME=lab
LDAP_GID=83070
RUNAI_IMAGE=registry.example.org/mlo/base:1
K8S_NAMESPACE=runai-mlo-jdoe
RUNAI_SECRET_NAME=jdoe-env
SCRATCH_PVC=mlo-scratch
"""
INSTALL = {
    "pip": """
        "$PYTHON" -m venv ~/venv
        export PIP_DISABLE_PIP_VERSION_CHECK=1
        if [ ! -d "$WHEELS" ]; then
            ~/venv/bin/pip download -q --dest "$WHEELS.$$" --constraint /in/pins.txt /in/*.whl
            mv "$WHEELS.$$" "$WHEELS"
        fi
        ~/venv/bin/pip install -q --no-compile --no-index --find-links "$WHEELS" /in/*.whl
        ~/venv/bin/pip check
        PATH=$HOME/venv/bin:$PATH
    """,
    "uv": """
        uv tool install -q --python "$PYTHON" --constraints /in/requirements.lock /in/*.whl
        uv pip check -q --python ~/.local/share/uv/tools/mlo
        PATH=$HOME/.local/bin:$PATH
    """,
}
USE = """
    cd ~
    "$PYTHON" -c 'import sys; print("python", *sys.version_info[:2])'
    mlo-submit --version
    mlo-submit --help | grep -x 'NAME'
    mlo-submit run --help | grep -x 'EXAMPLES'
    cp /in/env .env && chmod 600 .env
    mlo-submit run --dry-run --backend kubernetes -n first -g 1 -- python train.py | grep 'name: first'
    code=0; mlo-submit --backend docker doctor || code=$?
    echo "doctor ended with $code"
    rm .env
    printf 'jdoe\\n123456\\n\\n\\n\\n\\n' | mlo-submit init && grep -x 'LDAP_USERNAME=jdoe' .env
"""


def prefix(python: str) -> Path:
    """Where this machine has that interpreter, if it does."""
    ask = (f"python{python}", "-c", "import sys; print(sys.base_prefix)")
    if shutil.which(ask[0]):
        done = subprocess.run(ask, capture_output=True, text=True, env={**os.environ, "PYENV_VERSION": python})
        if done.returncode == 0:
            return Path(done.stdout.strip())
    pytest.skip(f"no Python {python} on this machine, and no Debian at hand has it")


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the containers are given: the wheel, the pins, and a .env."""
    directory = tmp_path_factory.mktemp("given")
    build = ("uv", "build", "-q", "--wheel", "--build-constraints", ROOT / "requirements.lock", "-o", directory, ROOT)
    subprocess.run(build, check=True)
    shutil.copy(ROOT / "requirements.lock", directory)
    lock = (ROOT / "requirements.lock").read_text()
    (directory / "pins.txt").write_text(re.sub(r" \\\n\s+--hash=\S+", "", lock))  # pip takes no hashes as constraints
    (directory / "env").write_text(ENV)
    return directory


@pytest.mark.parametrize("installer", list(INSTALL))
@pytest.mark.parametrize(
    ("python", "suite"),
    [
        ("3.10", "bookworm"),
        ("3.13", "trixie"),
        pytest.param("3.14", "forky", marks=pytest.mark.skipif("MLO_NEWEST" not in os.environ, reason="MLO_NEWEST=1")),
    ],
    ids=lambda value: value,
)
def test_the_wheel_installs_in_a_fresh_debian_and_works(given: Path, python: str, suite: str, installer: str) -> None:
    making = (ROOT / "tests/engine/clean.sh", suite)
    image = subprocess.run(making, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlo/install"
    cache.mkdir(parents=True, exist_ok=True)
    uv = Path(shutil.which("uv") or pytest.skip("no uv"))
    interpreter = "/usr/bin/python3"
    mounts = [f"{given}:/in:ro", f"{cache}:/cache", f"{uv}:/usr/local/bin/uv:ro"]
    bundle = Path(os.environ.get("SSL_CERT_FILE") or "/etc/ssl/certs/ca-certificates.crt")
    if bundle.exists():
        mounts.append(f"{bundle.resolve()}:/etc/ssl/certs/ca-certificates.crt:ro")
    if python == "3.10":
        place = prefix(python)
        mounts.append(f"{place}:{place}:ro")
        interpreter = f"{place}/bin/python3.10"
    variables = {
        "HOME": "/tmp/home",
        "PYTHON": interpreter,
        "WHEELS": f"/cache/wheels-{python}-{zlib.crc32((given / 'pins.txt').read_bytes()):08x}",
        "UV_CACHE_DIR": "/cache/uv",
        "UV_LINK_MODE": "copy",
        "UV_PYTHON_DOWNLOADS": "never",
        "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
        "PIP_CERT": "/etc/ssl/certs/ca-certificates.crt",
    }
    options = [word for mount in mounts for word in ("--volume", mount)]
    options += [word for name, value in variables.items() for word in ("--env", f"{name}={value}")]
    script = f"set -euo pipefail; mkdir -p ~; {INSTALL[installer]}{USE}"
    run = (
        "run",
        "--rm",
        "--network=host",
        f"--user={os.getuid()}:{os.getgid()}",
        *options,
        image,
        "bash",
        "-c",
        script,
    )
    done = subprocess.run((os.environ.get("DOCKER", "docker"), *run), capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "python " + python.replace(".", " ") in done.stdout, said
    assert "doctor ended with 1" in done.stdout, "no engine answers in there"
    assert "Traceback" not in said, said
