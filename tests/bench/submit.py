"""How long `mlo-submit` takes to answer, beside what its two libraries take: `tests/bench/submit.py [ROUNDS]`.

Everything is measured in one run, turn about, and the medians are compared. Fails above the limits.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENV = """\
LDAP_USERNAME=jdoe
LDAP_UID=123456
LDAP_GROUPNAME=MLO-unit
LDAP_GID=83070
K8S_NAMESPACE=runai-mlo-jdoe
RUNAI_IMAGE=registry.example.org/mlo/base:1
RUNAI_SECRET_NAME=jdoe-env
SCRATCH_PVC=mlo-scratch
HF_TOKEN=x
"""
FLOOR = "python -c 'import click, dotenv'"
LIMITS = {
    "mlo-submit --help": 1.4,
    "dry run: docker": 1.7,
    "dry run: kubernetes": 1.7,
    "dry run: runai": 1.7,
}


def main() -> int:
    """Measure, print a table, and return 1 when a limit is passed."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 31
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / ".env").write_text(ENV)
        (Path(directory) / ".env").chmod(0o600)
        # As an installed console script starts it.
        entry = [sys.executable, "-c", "import sys; from mlo_submit.cli import main; sys.exit(main())"]
        dry = [*entry, "run", "--dry-run", "-n", "x", "-g", "1", "--backend"]
        subjects = {
            FLOOR: [sys.executable, "-c", "import click, dotenv"],
            "mlo-submit --help": [*entry, "--help"],
            "dry run: docker": [*dry, "docker", "--", "python", "train.py"],
            "dry run: kubernetes": [*dry, "kubernetes", "--", "python", "train.py"],
            "dry run: runai": [*dry, "runai", "--", "python", "train.py"],
        }
        environ = {
            "HOME": directory,
            "PATH": "",
            "PYTHONPATH": str(ROOT),
            "PYTHONPYCACHEPREFIX": f"{directory}/pycache",
        }
        times: dict[str, list[float]] = {name: [] for name in subjects}
        for number in range(rounds + 1):
            for name, argv in subjects.items():
                began = time.perf_counter()
                done = subprocess.run(argv, env=environ, cwd=directory, capture_output=True, check=False)
                if number:  # the first round writes the byte code
                    times[name].append(time.perf_counter() - began)
                if done.returncode:
                    sys.stderr.write(done.stderr.decode())
                    return 1
    floor = statistics.median(times[FLOOR])
    print(
        f"{'':34}{'median':>10}{'least':>10}{'ratio':>8}{'limit':>7}   ({rounds} rounds, {os.cpu_count()} processors)"
    )
    failed = 0
    for name, taken in times.items():
        ratio, limit = statistics.median(taken) / floor, LIMITS.get(name)
        print(
            f"{name:34}{statistics.median(taken) * 1000:7.1f} ms{min(taken) * 1000:7.1f} ms{ratio:8.2f}"
            + (f"{limit:7.1f}" if limit else "")
        )
        failed |= limit is not None and ratio > limit
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
