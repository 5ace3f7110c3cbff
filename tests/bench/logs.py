"""How long after it was printed a line is shown by `mlo-submit logs -f`: median and maximum of 200 lines.

    tests/bench/logs.py docker
    tests/cluster/run.sh --shell tests/bench/logs.py kubernetes

MLO_IMAGE names the image. Fails when a line takes longer than 300 ms. The job prints the time; its clock is ours.
"""

from __future__ import annotations

import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIMIT = 0.3  # seconds
LINES = 200
JOB = f"""
import time
time.sleep(3)  # until it is followed
for number in range({LINES}):
    print("at", time.time(), flush=True)
    time.sleep(0.03 + 0.001 * (number % 40))
"""
ENV = """\
LDAP_USERNAME=jdoe
LDAP_UID=123456
LDAP_GROUPNAME=MLO-unit
LDAP_GID=83070
K8S_NAMESPACE=runai-lab
RUNAI_SECRET_NAME=bench-logs
SCRATCH_PVC=mlo-scratch
"""


def main() -> int:
    """Measure, print a line, and return 1 when the limit is passed."""
    backend, name = sys.argv[1], f"bench-logs-{secrets.token_hex(3)}"
    with tempfile.TemporaryDirectory() as directory:
        env_file = Path(directory) / ".env"
        env_file.write_text(f"{ENV}RUNAI_IMAGE={os.environ['MLO_IMAGE']}\n")
        env_file.chmod(0o600)
        environ = {**os.environ, "HOME": directory, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}

        def submit(*argv: str) -> subprocess.Popen[str]:
            command = [sys.executable, "-m", "mlo_submit", "--backend", backend, *argv]
            return subprocess.Popen(command, env=environ, cwd=directory, stdout=subprocess.PIPE, text=True)

        with submit("run", "--name", name, "--train", "--", "python3", "-c", JOB) as launch:
            launch.communicate()
        taken = []
        with submit("logs", "-f", name) as follow:
            for line in follow.stdout or ():
                if line.startswith("at "):
                    taken.append(time.time() - float(line.split()[1]))
        with submit("delete", "--yes", name) as deletion:
            deletion.communicate()
    print(
        f"{backend}: {len(taken)} lines, shown after {statistics.median(taken) * 1000:.1f} ms (median), "
        f"{max(taken) * 1000:.1f} ms (maximum)"
    )
    return int(len(taken) != LINES or max(taken) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
