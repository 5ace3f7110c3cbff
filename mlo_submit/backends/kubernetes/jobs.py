"""The Jobs of a namespace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlo_submit import kube, labels
from mlo_submit.backends.kubernetes import words
from mlo_submit.backends.kubernetes.manifest import CONTAINER
from mlo_submit.editor import KubernetesContainer
from mlo_submit.env import Config
from mlo_submit.errors import RefusedError
from mlo_submit.kube import JSON, ApiRefusal, Cluster, path
from mlo_submit.machine import Machine
from mlo_submit.workload import Event, Leftover, LogCommand, LogView, Pod, Workload, parse_time


def connect(config: Config, machine: Machine) -> Jobs:
    """Reach the namespace of .env."""
    return Jobs(config=config, machine=machine, cluster=kube.connect(machine, config.kube_context))


@dataclass(frozen=True, kw_only=True)
class Jobs:
    """See `mlo_submit.backends.Jobs`."""

    config: Config
    machine: Machine
    cluster: Cluster
    container: str = CONTAINER
    """The container of a pod that is the job; empty where only kubectl knows which one it is."""

    @property
    def user(self) -> str:
        """The label of my jobs."""
        return labels.user(self.config.username)

    def all(self, *, everybody: bool = False) -> list[Workload]:
        """The Jobs that mlo-submit made, with their pods: two requests."""
        selector = labels.mine(None if everybody else self.user)
        namespace = self.config.namespace
        jobs = self.cluster.call("GET", path("jobs", namespace), labelSelector=selector)
        pods = self.cluster.call("GET", path("pods", namespace), labelSelector=selector)
        of: dict[str, list[JSON]] = {}
        for pod in pods["items"]:
            of.setdefault(pod["metadata"]["labels"].get("job-name", ""), []).append(pod)
        found = [words.workload(job, of.get(job["metadata"]["name"], [])) for job in jobs["items"]]
        return sorted(found, key=lambda job: (job.created, job.name), reverse=True)

    def find(self, name: str) -> Workload:
        """The Job of that name, with its pods."""
        namespace = self.config.namespace
        try:
            job = self.cluster.call("GET", path("jobs", namespace, name))
        except ApiRefusal as error:
            if error.status == 404:
                raise RefusedError(f"there is no job {name} in {namespace}: `mlo-submit list` shows yours.") from None
            raise
        selector = f"job-name={name}"
        pods = self.cluster.call("GET", path("pods", namespace), labelSelector=selector)["items"]
        return words.workload(job, pods)

    def events(self, job: Workload) -> list[Event]:
        """The events of the Job and of its pods."""
        names = {job.name, *(pod.name for pod in job.pods)}
        listed = self.cluster.call("GET", path("events", self.config.namespace))["items"]
        found = []
        for item in listed:
            at = parse_time(item.get("lastTimestamp") or item.get("eventTime") or item["metadata"]["creationTimestamp"])
            if item["involvedObject"].get("name") in names and at:
                found.append(Event(at=at, text=item.get("message", ""), warning=item.get("type") == "Warning"))
        return sorted(found, key=lambda event: event.at)

    def log(self, job: Workload, pod: Pod, view: LogView) -> LogCommand:
        """`kubectl logs`, which renews a login and follows a log through its rotation."""
        argv = [*self.kubectl("logs"), pod.name, *self._container(), "--timestamps"]
        argv += ["--follow"] if view.follow else []
        argv += [f"--since-time={view.since:%Y-%m-%dT%H:%M:%SZ}"] if view.since else []
        argv += [f"--tail={view.tail}"] if view.tail is not None else []
        argv += ["--previous"] if view.previous else []
        return LogCommand(argv=tuple(argv), stamped=True)

    def execute(self, job: Workload, pod: Pod, argv: Sequence[str], *, tty: bool) -> list[str]:
        """`kubectl exec`."""
        streams = ["--stdin", *(["--tty"] if tty else [])]
        return [*self.kubectl("exec"), pod.name, *self._container(), *streams, "--", *argv]

    def forward(self, job: Workload, pod: Pod, local: int, remote: int) -> list[str]:
        """`kubectl port-forward`."""
        return [*self.kubectl("port-forward"), "--address=127.0.0.1", f"pod/{pod.name}", f"{local}:{remote}"]

    def address(self, job: Workload, pod: Pod) -> KubernetesContainer:
        """The context, and what the pod says of its container."""
        namespace = self.config.namespace
        found = self.cluster.call("GET", path("pods", namespace, pod.name))["spec"]["containers"]
        container = next((each for each in found if each["name"] == self.container), found[0])
        return KubernetesContainer(
            context=self.cluster.context,
            namespace=namespace,
            pod=pod.name,
            name=container["name"],
            image=container["image"],
        )

    def _container(self) -> list[str]:
        return ["--container", self.container] if self.container else []

    def kubectl(self, verb: str) -> list[str]:
        """The beginning of an argv: `kubectl VERB`, in the namespace."""
        context = ["--context", self.config.kube_context] if self.config.kube_context else []
        return ["kubectl", *context, "--namespace", self.config.namespace, verb]

    def delete(self, job: Workload, *, now: bool) -> None:
        """Delete the Job in the foreground: it goes after its pods."""
        if now:
            self.kill(job)
        self._gone("jobs", job.name, propagationPolicy="Foreground")

    def kill(self, job: Workload) -> None:
        """End the pods of the job without their grace period."""
        for pod in job.pods:
            self._gone("pods", pod.name, gracePeriodSeconds=0)

    def _gone(self, kind: str, name: str, **options: str | int) -> None:
        try:
            self.cluster.call("DELETE", path(kind, self.config.namespace, name), **options)
        except ApiRefusal as error:
            if error.status != 404:
                raise

    def stop(self, job: Workload) -> None:
        """Suspend the Job."""
        self._patch(job, suspend=True, stopped="true")

    def resume(self, job: Workload) -> None:
        """Take the suspension back."""
        self._patch(job, suspend=False, stopped=None)

    def _patch(self, job: Workload, *, suspend: bool, stopped: str | None) -> None:
        patch = {"metadata": {"annotations": {words.STOPPED: stopped}}, "spec": {"suspend": suspend}}
        self.cluster.call("PATCH", path("jobs", self.config.namespace, job.name), patch)

    def leftovers(self, gone: Sequence[str]) -> list[Leftover]:
        """Nothing yet."""
        return []

    def remove(self, leftover: Leftover) -> None:
        """Nothing yet."""
