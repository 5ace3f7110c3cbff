"""What the tests work with: the lab's cluster, and a member's laptop."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.terminal import Terminal

USER, UID, GROUP, GID = "jdoe", 123456, "MLO-unit", 83070
HOMES = "/mloscratch/homes"
SECONDS = 60  # nothing here takes half of it


def until(condition: Callable[[], Any], what: str, seconds: float = SECONDS) -> Any:
    """Wait for what only the cluster makes true; returns what the condition does."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)
    return found


@dataclass(frozen=True)
class Lab:
    """A namespace of a cluster, seen by a member. `own`: the cluster was made for the tests."""

    kubeconfig: Path
    namespace: str
    image: str
    claim: str
    own: bool

    def as_user(self, user: str) -> Path:
        """The kubeconfig of somebody else, in a cluster of our own: admin, or guest, who has no rights."""
        return self.kubeconfig.with_name(f"{user}.kubeconfig")

    def kubectl(self, *argv: str, stdin: str = "") -> str:
        done = self.try_kubectl(*argv, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(argv)}: {done.stderr}"
        return done.stdout

    def try_kubectl(self, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """What may fail, such as a look at a pod that another has just taken the place of."""
        return subprocess.run(
            ["kubectl", f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}", *argv],  # noqa: S607
            input=stdin,
            capture_output=True,
            text=True,
            timeout=2 * SECONDS,
        )

    def get(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "--output=json"))
        return found

    def pods(self, job: str) -> list[dict[str, Any]]:
        """The pods of a job, oldest first."""
        listed = json.loads(self.kubectl("get", "pods", f"--selector=job-name={job}", "--output=json"))
        return sorted(listed["items"], key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def wait(self, condition: str, *what: str) -> None:
        self.kubectl("wait", f"--for={condition}", f"--timeout={SECONDS}s", *what)

    def wait_for_log(self, job: str, line: str) -> str:
        """Wait until a pod of the job has printed the line; returns that pod's name."""

        def printed() -> str:
            for pod in self.pods(job):
                name = str(pod["metadata"]["name"])
                if pod["status"]["phase"] != "Pending" and line in self.try_kubectl("logs", name).stdout.splitlines():
                    return name
            return ""

        return str(until(printed, f"{job} prints {line!r}"))

    def create(self, manifest: Mapping[str, Any]) -> None:
        self.kubectl("create", "--filename=-", stdin=json.dumps(manifest))

    def create_pod(self, instance: str, role: str = "pod", *, gpus: int = 0, **spec: str) -> str:
        """Create a pod of our image that sleeps as the user, without a boot; returns its name."""
        name = f"{instance}-{role}"
        container = {
            "name": "main",
            "image": self.image,
            "command": ["sleep", "3600"],
            "resources": {"limits": {"nvidia.com/gpu": str(gpus)}} if gpus else {},
            "volumeMounts": [{"name": "scratch", "mountPath": "/mloscratch"}],
        }
        manifest = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"app.kubernetes.io/instance": instance}},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "securityContext": {"runAsUser": UID, "runAsGroup": GID},
                "containers": [container],
                "volumes": [{"name": "scratch", "persistentVolumeClaim": {"claimName": self.claim}}],
                **spec,
            },
        }
        self.create(manifest)
        return name

    def evict(self, pod: str) -> None:
        """What empties a node asks for; returns while the pod has its grace period."""
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/eviction"
        self.kubectl("create", f"--raw={path}", "--filename=-", stdin=json.dumps(eviction))

    def delete(self, *instances: str) -> None:
        """Delete what the tests made for these, without waiting for it."""
        selector = f"--selector=app.kubernetes.io/instance in ({','.join(instances)})"
        self.kubectl("delete", "job,pod,service", selector, "--wait=false", "--grace-period=0", "--force")


@dataclass(frozen=True)
class Laptop:
    """A member's machine: a home, a project with a .env, the installed mlo-submit, and what else is on PATH."""

    lab: Lab
    name: str
    project: Path
    path: tuple[Path, ...]
    variables: dict[str, str]
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def working_dir(self) -> str:
        return f"{HOMES}/{USER}/{self.name}"

    def write_env(self, **changes: str | None) -> None:
        """Write .env: `changes` are further keys, other values, and, with None, keys left out."""
        values = {**self.variables, **changes}
        lines = [f"{key}={value}\n" for key, value in values.items() if value is not None]
        file = self.project / ".env"
        file.write_text("".join(lines))
        file.chmod(0o600)

    def environment(self, kubeconfig: Path | None = None) -> dict[str, str]:
        """What a shell on this laptop gives to its programs."""
        return {
            "PATH": os.pathsep.join(map(str, self.path)),
            "HOME": str(self.project.parent),
            "KUBECONFIG": str(kubeconfig or self.lab.kubeconfig),
            **self.environ,
        }

    def submit(
        self, *argv: str, kubeconfig: Path | None = None, seconds: float = SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run mlo-submit as a shell on this laptop would."""
        return subprocess.run(
            ["mlo-submit", *argv],  # noqa: S607
            cwd=self.project,
            env=self.environment(kubeconfig),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
        )

    @contextmanager
    def start(self, *argv: str, **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
        """The same, while it runs: to its end, but for a test that fails."""
        command = ["mlo-submit", *argv]
        with subprocess.Popen(command, cwd=self.project, env=self.environment(), **streams) as process:
            try:
                yield process
            except BaseException:
                process.kill()
                raise

    def terminal(self, *argv: str, rows: int = 24, columns: int = 80) -> Terminal:
        """The same, on a terminal."""
        env = {**self.environment(), "TERM": "screen-256color"}
        return Terminal(["mlo-submit", *argv], env=env, cwd=self.project, rows=rows, columns=columns)

    def launch(self, *argv: str) -> str:
        """Submit a job that is accepted; returns its name."""
        done = self.submit("run", "--name", self.name, *argv)
        assert done.returncode == 0, done.stderr
        return self.name
