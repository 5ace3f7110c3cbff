"""The way into the pods of a job: what kubectl does with one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlo_submit.backends.kubernetes import asking, kinds
from mlo_submit.editor import KubernetesContainer
from mlo_submit.env import Config
from mlo_submit.errors import RefusedError
from mlo_submit.kube import Cluster, path
from mlo_submit.workload import LogCommand, LogView, Pod, Workload


@dataclass(frozen=True, kw_only=True)
class Pods:
    """Those of the namespace of .env."""

    config: Config
    cluster: Cluster
    ours: bool = True
    """Whether the container of a pod that is the job is known by its name, or only to kubectl."""

    def log(self, job: Workload, pod: Pod, view: LogView) -> LogCommand:
        """`kubectl logs`, which renews a login and follows a log through its rotation.

        Raises:
            RefusedError: there is no run before that of the pod, or no longer.
        """
        earlier = self._before(job, pod) if view.previous and not pod.restarts else ""
        argv = [*self.kubectl("logs"), earlier or pod.name, *self._in_container(job), "--timestamps"]
        argv += ["--follow"] if view.follow else []
        argv += [f"--since-time={view.since:%Y-%m-%dT%H:%M:%SZ}"] if view.since else []
        argv += [f"--tail={view.tail}"] if view.tail is not None else []
        argv += ["--previous"] if view.previous and not earlier else []
        return LogCommand(argv=tuple(argv), stamped=True)

    def _before(self, job: Workload, pod: Pod) -> str:
        """The pod of the run before: a Job makes a new pod for each try."""
        if earlier := asking.replaced(self.cluster, self.config.namespace, pod.name):
            return earlier
        if not job.restarts:
            raise RefusedError(f"{pod.name} is the first run: there is none before it. Leave out --previous.")
        raise RefusedError(
            f"no run before {pod.name} can be shown: its pod is gone, and its log with it. Leave out --previous."
        )

    def execute(self, job: Workload, pod: Pod, argv: Sequence[str], *, tty: bool) -> list[str]:
        """`kubectl exec`."""
        streams = ["--stdin", *(["--tty"] if tty else [])]
        return [*self.kubectl("exec"), pod.name, *self._in_container(job), *streams, "--", *argv]

    def forward(self, job: Workload, pod: Pod, local: int, remote: int) -> list[str]:
        """`kubectl port-forward`."""
        return [*self.kubectl("port-forward"), "--address=127.0.0.1", f"pod/{pod.name}", f"{local}:{remote}"]

    def address(self, job: Workload, pod: Pod) -> KubernetesContainer:
        """The context, and what the pod says of its container."""
        namespace = self.config.namespace
        found = self.cluster.call("GET", path("pods", namespace, pod.name))["spec"]["containers"]
        container = next((each for each in found if each["name"] == self._container(job)), found[0])
        return KubernetesContainer(
            context=self.cluster.context,
            namespace=namespace,
            pod=pod.name,
            name=container["name"],
            image=container["image"],
        )

    def _container(self, job: Workload) -> str:
        return kinds.made_as(job).CONTAINER if self.ours else ""

    def _in_container(self, job: Workload) -> list[str]:
        return ["--container", self._container(job)] if self.ours else []

    def kubectl(self, verb: str) -> list[str]:
        """The beginning of an argv: `kubectl VERB`, in the namespace."""
        context = ["--context", self.config.kube_context] if self.config.kube_context else []
        return ["kubectl", *context, "--namespace", self.config.namespace, verb]
