"""Requests and time for arrays of 1, 100 and 1,000 tasks, beside `kubectl`: `tests/bench/many.py [ROUNDS]`.

Then the same for a list of 5,000 jobs (tests/bench/list.py fills it in 2.5 minutes). All of it in a real control plane
(tests/cluster), where no pod has a place: an array is launched where a quota allows no pod, and shown where all of its
pods wait. Whole processes are timed, turn about, and their medians shown; the requests are counted by a proxy, in a run
of its own. Fails where a command needs more requests for 1,000 tasks than for one.
Needs root, and MLO_IMAGE as tests/cluster/run.sh has it. The figures of a run are in docs/arrays.md.
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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench import list as listing  # noqa: E402
from tests.cluster.cluster import cluster  # noqa: E402
from tests.cluster.lab import until  # noqa: E402

SIZES = (1, 100, 1000)
SHUT = "launches"
"""A namespace in which no pod is made."""
OBJECTS: list[dict[str, Any]] = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SHUT}},
    {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none", "namespace": SHUT},
        "spec": {"hard": {"pods": "0"}},
    },
    {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "mlo-scratch", "namespace": SHUT},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    },
]

Row = tuple[int, float]
"""How many requests, and how many seconds."""


def main() -> int:
    """Measure, print a table, and return 1 where more tasks need more requests."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    found: dict[str, list[Row]] = {}
    with cluster(os.environ["MLO_IMAGE"]) as run, tempfile.TemporaryDirectory() as directory:
        bench = Bench(run, Path(directory), rounds)
        for tasks in SIZES:
            for name, row in {**bench.launches(tasks), **bench.looks(tasks)}.items():
                found.setdefault(name, []).append(row)
        listing.fill(run / "admin.kubeconfig")
        jobs = bench.jobs()
    print(f"{rounds} rounds, {os.cpu_count()} processors{'':10}" + "".join(f"{size:>17,}" for size in SIZES))
    for name, rows in found.items():
        print(f"{name:40}" + "".join(map(shown, rows)))
    print(f"{listing.JOBS:,} jobs")
    for name, row in jobs.items():
        print(f"{name:40}{shown(row)}")
    return int(any(rows[-1][0] > rows[0][0] for name, rows in found.items() if name.startswith("mlo-submit")))


def shown(row: Row) -> str:
    return f"{row[0]:4} in {row[1] * 1000:5.0f} ms"


class Bench:
    """Commands that are timed, and whose requests are counted, in a cluster that is there."""

    def __init__(self, run: Path, directory: Path, rounds: int) -> None:
        self._run, self._directory, self._rounds = run, directory, rounds
        self._number = 0
        (directory / ".env").write_text(f"{listing.ENV}MLO_SCHEDULER=nobody\n")
        (directory / ".env").chmod(0o600)
        shut = (directory / ".env").read_text().replace(f"K8S_NAMESPACE={listing.NAMESPACE}", f"K8S_NAMESPACE={SHUT}")
        (directory / "shut.env").write_text(shut)
        (directory / "shut.env").chmod(0o600)
        for manifest in OBJECTS:
            self._kubectl("create", "--filename=-", stdin=json.dumps(manifest))
        # The first time, its Secret is made, and their byte code written.
        self._submit("run", "-n", "first", "--array", "0", "--", "true", env_file="shut.env")

    def launches(self, tasks: int) -> dict[str, Row]:
        """An array is launched."""
        launch = ("run", "--array", f"0-{tasks - 1}", "--", "true")
        manifest = self._directory / "job.json"

        def ours() -> list[str]:
            self._number += 1
            return self._ours("--env-file", "shut.env", *launch[:1], "--name", f"a-{self._number}", *launch[1:])

        def theirs() -> list[str]:
            self._number += 1
            preview = self._submit("run", "-n", f"b-{self._number}", "--dry-run", *launch[1:], env_file="shut.env")
            manifest.write_text(preview)
            return ["kubectl", "create", f"--filename={manifest}"]

        return self._measure({"mlo-submit run --array": ours, "kubectl create": theirs})

    def looks(self, tasks: int) -> dict[str, Row]:
        """An array with all of its pods is looked at."""
        self._submit("run", "--name", "sweep", "--array", f"0-{tasks - 1}", "--", "true")
        until(lambda: self._active() == tasks, "all pods are made", 300)
        commands = {
            "mlo-submit list": lambda: self._ours("list"),
            "mlo-submit describe": lambda: self._ours("describe", "sweep"),
            "mlo-submit logs --index": lambda: self._ours("logs", "sweep", "--index", str(tasks - 1)),
            "kubectl describe job": lambda: ["kubectl", "describe", "job", "sweep"],
            "kubectl get pods": lambda: ["kubectl", "get", "pods", "--selector=job-name=sweep"],
        }
        found = self._measure(commands)
        self._kubectl("delete", "job", "sweep", f"--namespace={listing.NAMESPACE}", "--cascade=foreground")
        return found

    def jobs(self) -> dict[str, Row]:
        """All jobs are listed."""
        return self._measure(
            {
                "mlo-submit list": lambda: self._ours("list"),
                "mlo-submit list --json": lambda: self._ours("list", "--json"),
                "kubectl get jobs": lambda: ["kubectl", "get", "jobs"],
                "kubectl get jobs -o json": lambda: ["kubectl", "get", "jobs", "--output=json"],
            }
        )

    def _active(self) -> int:
        status = self._kubectl("get", "job", "sweep", f"--namespace={listing.NAMESPACE}", "--output=json")
        return int(json.loads(status)["status"].get("active", 0))

    def _measure(self, commands: Mapping[str, Any]) -> dict[str, Row]:
        """Each command's requests, and the median of its times."""
        times: dict[str, list[float]] = {name: [] for name in commands}
        for number in range(self._rounds + 1):
            for name, command in commands.items():
                argv = command()
                began = time.perf_counter()
                self._do(argv)
                if number:  # the first fills caches
                    times[name].append(time.perf_counter() - began)
        requests = {}
        with counted(self._run / "admin.kubeconfig", self._directory) as (kubeconfig, seen):
            for name, command in commands.items():
                self._do(command(), kubeconfig)  # kubectl asks a server that it does not know what it has
                seen.clear()
                self._do(command(), kubeconfig)
                requests[name] = len(seen)
        return {name: (requests[name], statistics.median(times[name])) for name in commands}

    def _ours(self, *words: str) -> list[str]:
        # As an installed console script starts it.
        return [sys.executable, "-c", "import sys; from mlo_submit.cli import main; sys.exit(main())", *words]

    def _submit(self, *words: str, env_file: str = ".env") -> str:
        return self._do(self._ours("--env-file", env_file, *words))

    def _kubectl(self, *words: str, stdin: str = "") -> str:
        return self._do(["kubectl", *words], stdin=stdin)

    def _do(self, argv: Sequence[str], kubeconfig: Path | None = None, stdin: str = "") -> str:
        environ = {
            "HOME": str(self._directory),
            "KUBECONFIG": str(kubeconfig or self._run / "admin.kubeconfig"),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PYTHONPYCACHEPREFIX": f"{self._directory}/pycache",
        }
        done = subprocess.run(argv, env=environ, cwd=self._directory, input=stdin, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(argv)}: {done.stderr}")
        return done.stdout


@contextmanager
def counted(admin: Path, directory: Path) -> Iterator[tuple[Path, list[str]]]:
    """A proxy before the API server. Yields the kubeconfig that names it, and the requests that it has passed on."""
    content = admin.read_text()
    server = json.loads(content)["clusters"][0]["cluster"]["server"]
    trust = ssl.create_default_context(cafile=admin.with_name("tls.crt"))
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            seen.append(f"{self.command} {self.path}")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            connection = http.client.HTTPSConnection(server.removeprefix("https://"), context=trust)
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            found = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(found)))
            self.end_headers()
            self.wfile.write(found)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on

        def log_message(self, format: str, *args: Any) -> None:
            pass

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    proxy.daemon_threads = True
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(admin.with_name("tls.crt"), admin.with_name("tls.key"))
    proxy.socket = tls.wrap_socket(proxy.socket, server_side=True)
    threading.Thread(target=proxy.serve_forever, args=(0.01,), daemon=True).start()
    kubeconfig = directory / "counted.kubeconfig"
    kubeconfig.write_text(content.replace(server, f"https://127.0.0.1:{proxy.server_address[1]}"))
    yield kubeconfig, seen
    proxy.shutdown()
    proxy.server_close()


if __name__ == "__main__":
    sys.exit(main())
