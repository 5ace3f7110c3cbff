"""How long `mlo-submit list` takes with thousands of jobs, beside `kubectl get jobs`: `tests/bench/list.py [ROUNDS]`.

The jobs lie in a real control plane (tests/cluster), finished but for one in fifty, each with its pod: nothing runs.
Whole processes are measured, in one run, turn about, and the medians are compared. Fails above the limit.
Needs root, and MLO_IMAGE as tests/cluster/run.sh has it; filling takes 2.5 minutes.

On 2 processors: kubectl get jobs 2.1 s, with -o json 6.9 s; mlo-submit list 1.7 s (ratio 0.80).
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from mlo_submit import labels  # noqa: E402
from mlo_submit.backends.kubernetes.manifest import render  # noqa: E402
from mlo_submit.env import configure  # noqa: E402
from mlo_submit.envfile import parse  # noqa: E402
from mlo_submit.job import Flags, from_flags  # noqa: E402
from mlo_submit.machine import Machine  # noqa: E402
from tests.cluster.cluster import cluster  # noqa: E402

JOBS = 5000
LIMIT = 1.2
NAMESPACE = "runai-lab"
ENV = f"""\
LDAP_USERNAME=jdoe
LDAP_UID=123456
LDAP_GROUPNAME=MLO-unit
LDAP_GID=83070
K8S_NAMESPACE={NAMESPACE}
RUNAI_IMAGE=registry.example.org/mlo/base:1
RUNAI_SECRET_NAME=jdoe-env
SCRATCH_PVC=mlo-scratch
HF_TOKEN=x
MLO_BACKEND=kubernetes
"""
COMMAND = ("python", "train.py", "--config", "configs/pretrain/small.yaml", "--lr", "3e-4", "--seed", "0")
BEGAN, ENDED = "2026-11-24T08:00:00Z", "2026-11-24T09:30:00Z"


def main() -> int:
    """Fill the cluster, measure, print a table, and return 1 when the limit is passed."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 11
    with cluster(os.environ["MLO_IMAGE"]) as run, tempfile.TemporaryDirectory() as directory:
        fill(run / "admin.kubeconfig")
        (Path(directory) / ".env").write_text(ENV)
        (Path(directory) / ".env").chmod(0o600)
        selected = ["get", "jobs", f"--namespace={NAMESPACE}", f"--selector={labels.mine('jdoe')}"]
        # As an installed console script starts it.
        entry = [sys.executable, "-c", "import sys; from mlo_submit.cli import main; sys.exit(main())"]
        subjects = {
            "kubectl get jobs": ["kubectl", *selected],
            "kubectl get jobs -o json": ["kubectl", *selected, "--output=json"],
            "mlo-submit list": [*entry, "list"],
            "mlo-submit list --json": [*entry, "list", "--json"],
        }
        environ = {
            "HOME": directory,
            "KUBECONFIG": str(run / "member.kubeconfig"),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PYTHONPYCACHEPREFIX": f"{directory}/pycache",
        }
        times: dict[str, list[float]] = {name: [] for name in subjects}
        for number in range(rounds + 1):
            for name, argv in subjects.items():
                began = time.perf_counter()
                done = subprocess.run(argv, env=environ, cwd=directory, capture_output=True, check=False)
                if number:  # the first round writes byte code, and fills the caches of kubectl and of the server
                    times[name].append(time.perf_counter() - began)
                if done.returncode or len(done.stdout.splitlines()) < JOBS:
                    sys.stderr.write(done.stderr.decode())
                    return 1
    floor = statistics.median(times["kubectl get jobs"])
    print(f"{JOBS} jobs{'':20}{'median':>10}{'least':>10}{'ratio':>8}   ({rounds} rounds, {os.cpu_count()} processors)")
    for name, taken in times.items():
        median = statistics.median(taken)
        print(f"{name:30}{median * 1000:7.0f} ms{min(taken) * 1000:7.0f} ms{median / floor:8.2f}")
    return int(statistics.median(times["mlo-submit list"]) > LIMIT * floor)


def fill(kubeconfig: Path) -> None:
    """Create the jobs, and the pod of each, in the state that they would have come to."""
    config = json.loads(kubeconfig.read_text())
    server = config["clusters"][0]["cluster"]["server"].removeprefix("https://")
    trust = ssl.create_default_context(cafile=kubeconfig.with_name("tls.crt"))
    headers = {"Authorization": f"Bearer {config['users'][0]['user']['token']}"}
    here = threading.local()

    def send(verb: str, path: str, body: dict[str, Any]) -> None:
        if not hasattr(here, "connection"):
            here.connection = http.client.HTTPSConnection(server, context=trust)
        kind = "application/merge-patch+json" if verb == "PATCH" else "application/json"
        here.connection.request(verb, path, json.dumps(body), {**headers, "Content-Type": kind})
        answer = here.connection.getresponse()
        if answer.status >= 300:
            raise RuntimeError(f"{verb} {path}: {answer.read().decode()}")
        answer.read()

    machine = Machine(environ={}, home=Path("/"), cwd=Path("/"), uid=0, has_gpu=False)
    env = configure(parse(ENV, {}, Path(".env")), machine, ())

    def create(number: int) -> None:
        name = f"train-{number:05}"
        flags = Flags(name=name, train=True, gpus=1 + number % 8, memory="64Gi", argv=COMMAND, env={"RUN": name})
        manifest = render(from_flags(env, flags, datetime(2026, 11, 24)))
        manifest["spec"]["managedBy"] = "example.org/nobody"  # the Job controller leaves its status to us
        template = manifest["spec"]["template"]
        template["spec"]["schedulerName"] = "nobody"
        own = {"job-name": name, "batch.kubernetes.io/job-name": name}
        metadata = {"name": f"{name}-abcde", "labels": {**template["metadata"]["labels"], **own}}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        job, phase, container = outcome(number)
        status = {"name": "job", "image": "", "imageID": "", "ready": False, "restartCount": 0, "state": container}
        jobs, pods = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs", f"/api/v1/namespaces/{NAMESPACE}/pods"
        send("POST", jobs, manifest)
        send("PATCH", f"{jobs}/{name}/status", {"status": job})
        send("POST", pods, pod)
        send("PATCH", f"{pods}/{metadata['name']}/status", {"status": {"phase": phase, "containerStatuses": [status]}})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(create, range(JOBS)))


def outcome(number: int) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """The status of a Job, the phase of its pod, and the state of its container."""
    terminated = {"startedAt": BEGAN, "finishedAt": ENDED}
    if number % 50 == 0:
        return {"startTime": BEGAN, "active": 1, "ready": 1}, "Running", {"running": {"startedAt": BEGAN}}
    if number % 10 == 0:
        failed = {"startTime": BEGAN, "failed": 1, "conditions": conditions("FailureTarget", "Failed")}
        return failed, "Failed", {"terminated": {**terminated, "exitCode": 1, "reason": "Error"}}
    done = {"startTime": BEGAN, "completionTime": ENDED, "succeeded": 1}
    done["conditions"] = conditions("SuccessCriteriaMet", "Complete")
    return done, "Succeeded", {"terminated": {**terminated, "exitCode": 0, "reason": "Completed"}}


def conditions(*types: str) -> list[dict[str, str]]:
    """The conditions of a Job that has ended."""
    return [{"type": kind, "status": "True", "lastTransitionTime": ENDED, "lastProbeTime": ENDED} for kind in types]


if __name__ == "__main__":
    sys.exit(main())
