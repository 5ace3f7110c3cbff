"""docker/sbom.sh: the bill of materials tells of the image what is in it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ASK = """
dpkg-query --show --showformat '${Package} ${Version}\\n' zsh sudo python3-psutil
/usr/bin/python3 -c 'import psutil; print("psutil", psutil.__version__)'
uv --version | cut -d ' ' -f 1,2
"""


@pytest.mark.skipif("MLO_SBOM" not in os.environ, reason="takes minutes to build syft: MLO_SBOM=1")
def test_the_bill_has_the_versions_that_the_image_has() -> None:
    image = os.environ["MLO_IMAGE"]
    docker = os.environ.get("DOCKER", "docker")
    run = (docker, "run", "--rm", "--entrypoint=/bin/sh", image, "-c", ASK)
    there = subprocess.run(run, check=True, capture_output=True, text=True).stdout.splitlines()
    bill = subprocess.run((ROOT / "docker/sbom.sh", image), check=True, stdout=subprocess.PIPE).stdout
    told = {f"{package['name']} {package.get('versionInfo')}" for package in json.loads(bill)["packages"]}
    assert len(there) == 5
    assert set(there) <= told
