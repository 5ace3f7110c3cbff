"""The workloads of a run:ai project: run:ai says which there are, and Kubernetes, where it can be reached, the rest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone

from mlo_submit import kube, kubeconfig, labels, process, shell
from mlo_submit.backends.kubernetes import jobs as kubernetes
from mlo_submit.backends.kubernetes.asking import together
from mlo_submit.backends.runai import cli, listing, words
from mlo_submit.backends.runai.cli import Group, Version
from mlo_submit.backends.runai.listing import Listed
from mlo_submit.editor import KubernetesContainer
from mlo_submit.env import Config
from mlo_submit.errors import RefusedError, UnavailableError, warn
from mlo_submit.kube import JSON
from mlo_submit.machine import Machine
from mlo_submit.queues import Queues
from mlo_submit.workload import Event, Leftover, LogCommand, LogView, Pod, Workload


def connect(config: Config, machine: Machine) -> Jobs:
    """Reach the project of .env, and its namespace where a kubeconfig has a context."""
    installed = cli.version(machine, config)
    below = None
    if kubeconfig.has_context(machine):
        cluster = kubeconfig.connect(machine, config.kube_context)
        below = kubernetes.Jobs(config=config, cluster=cluster, ours=False)
    return Jobs(config=config, machine=machine, version=installed, below=below)


@dataclass(frozen=True, kw_only=True)
class Jobs:
    """See `mlo_submit.backends.Jobs`. `below` are the pods' namespace."""

    config: Config
    machine: Machine
    version: Version
    below: kubernetes.Jobs | None
    groups: dict[str, Group] = field(default_factory=dict)
    """The kind of each job that was seen, which version 2 must be told."""
    seen: dict[str, datetime] = field(default_factory=dict)
    """When each of them was created, as far as it was told at first."""

    @property
    def user(self) -> str:
        """The label of my jobs."""
        return labels.user(self.config.username)

    def all(self, *, everybody: bool = False) -> list[Workload]:
        """What run:ai lists, and what it does not list though it has pods of ours."""
        pods, listed = together(lambda: self._pods(labels.mine(None)), self._listed)
        found = [self._workload(name, listed.get(name), pods.get(name, [])) for name in {**listed, **pods}]
        chosen = [job for job in found if everybody or job.user == self.user]
        return sorted(chosen, key=lambda job: (job.created, job.name), reverse=True)

    def find(self, name: str, index: int | None = None) -> Workload:
        """The workload of that name, listed by run:ai or not."""
        job = self._find(name)
        if index is not None:
            raise RefusedError(
                f"which pod of {name} is task {index}, run:ai does not tell. The first words of a task in its log do: "
                f"look there without --index, and choose the pod by --worker."
            )
        return job

    def failures(self, job: Workload) -> list[Pod]:
        """Not told: a pod alone knows which task it is."""
        return []

    def _find(self, name: str) -> Workload:
        listed = self._listed().get(name)
        pods = self._pods(f"{labels.INSTANCE}={name}").get(name, [])
        if listed or pods:
            return self._workload(name, listed, pods, ask=True)
        raise RefusedError(
            f"there is no job {name} in the project {self.config.project}: `mlo-submit list` shows yours."
        )

    def _listed(self) -> dict[str, Listed]:
        argv = ["list", "jobs"] if self.version == "v1" else ["workload", "list", "--json"]
        text = cli.ask(self.machine, ["runai", *argv, "--project", self.config.project], self.config)
        read = listing.from_table if self.version == "v1" else listing.from_json
        try:
            rows = read(text, datetime.now(timezone.utc))
        except ValueError as error:
            raise UnavailableError(
                f"`runai {shell.join(argv)}` prints what cannot be read: {error}. "
                "Does MLO_RUNAI_VERSION name the version that is installed?"
            ) from None
        found = {row.name: row for row in rows if row.status.lower() not in words.GONE}
        self.groups.update({name: row.group for name, row in found.items()})
        return found

    def _pods(self, selector: str) -> dict[str, list[JSON]]:
        """The pods of our jobs, by job."""
        found: dict[str, list[JSON]] = {}
        if self.below:
            cluster = self.below.cluster
            selector += f",{labels.BACKEND}=runai"
            listed = cluster.call("GET", kube.path("pods", self.config.namespace), labelSelector=selector)
            for pod in listed["items"]:
                found.setdefault(pod["metadata"]["labels"][labels.INSTANCE], []).append(pod)
        return found

    def _workload(self, name: str, listed: Listed | None, pods: list[JSON], *, ask: bool = False) -> Workload:
        account, project = self.config.username, self.config.project
        if listed:
            job = words.workload(listed, pods=pods, detail=None, account=account, project=project)
            if ask and not job.submission:
                detail = self._describe(job)
                job = words.workload(listed, pods=pods, detail=detail, account=account, project=project)
        else:
            job = words.unlisted(name, pods, account=account, project=project)
        # The time of a job's creation tells it from a later one of its name, and must not change while one looks on.
        before = self.seen.get(name, job.created)
        self.seen[name] = before if words.same(before, job, listed) else job.created
        return replace(job, created=self.seen[name])

    def _describe(self, job: Workload) -> object:
        return cli.describe(self.machine, self.version, job.name, self.config, self._group(job))

    def _group(self, job: Workload) -> Group:
        return self.groups.get(job.name, cli.WORKSPACE if job.kind == "interactive" else cli.TRAINING)

    def events(self, job: Workload) -> list[Event]:
        """Those of the job and its pods."""
        return self.below.events(job) if self.below else words.events(self._describe(job))

    def log(self, job: Workload, pod: Pod, view: LogView) -> LogCommand:
        """`kubectl logs`, or `runai logs`, of which version 2 has no times."""
        if below := self._below(job, pod):
            return below.log(job, pod, view)
        argv = self._command("logs", job)
        argv += ["-f"] if view.follow else []
        argv += ["--pod", pod.name] if pod.name != job.name else []
        argv += ["-t", str(view.tail)] if view.tail is not None else []
        if self.version == "v1":
            if view.previous:
                raise self._needs_kubeconfig("the log before the last restart")
            argv += ["--since-time", f"{view.since:%Y-%m-%dT%H:%M:%SZ}"] if view.since else []
            return LogCommand(argv=(*argv, "--timestamps"), stamped=True)
        argv += ["--previous"] if view.previous else []
        if view.since:
            ago = datetime.now(timezone.utc) - view.since
            argv += ["--since", f"{max(1, math.ceil(ago.total_seconds()))}s"]
        return LogCommand(argv=tuple(argv), stamped=False)

    def execute(self, job: Workload, pod: Pod, argv: Sequence[str], *, tty: bool) -> list[str]:
        """`kubectl exec`, or `runai exec`, on whose way only plain words are safe."""
        if below := self._below(job, pod):
            return below.execute(job, pod, argv, tty=tty)
        plain = all(shell.quote(word) == word for word in argv)
        where = []
        if self.version == "v2" and pod.name != job.name:
            where = ["--pod", pod.name]
        elif pod.rank:
            raise self._needs_kubeconfig("a command in a pod other than the first")
        streams = ["-i", *(["-t"] if tty else [])]
        return [*self._command("exec", job), *streams, *where, "--", *(argv if plain else shell.one_word(argv))]

    def forward(self, job: Workload, pod: Pod, local: int, remote: int) -> list[str]:
        """`kubectl port-forward`, or that of version 2, which chooses the pod itself."""
        if below := self._below(job, pod):
            return below.forward(job, pod, local, remote)
        if self.version == "v1" or pod.rank:
            raise self._needs_kubeconfig("a port of this pod")
        return [*self._command("port-forward", job), "--port", f"{local}:{remote}", "--address", "localhost"]

    def address(self, job: Workload, pod: Pod) -> KubernetesContainer:
        """As the Kubernetes backend has it."""
        if below := self._below(job, pod):
            return below.address(job, pod)
        raise self._needs_kubeconfig("an editor the pod")

    def _below(self, job: Workload, pod: Pod) -> kubernetes.Jobs | None:
        """Where kubectl finds the pod; None where it cannot, or where the pod's name is not known."""
        return self.below if pod.name != job.name else None

    def _needs_kubeconfig(self, what: str) -> RefusedError:
        return RefusedError(
            f"version {self.version[1]} of run:ai's command line cannot give {what}: get the kubeconfig of your "
            "cluster, through which kubectl can."
        )

    def delete(self, job: Workload, *, now: bool) -> None:
        """`runai delete`; what run:ai does not know of is deleted as what made its pods."""
        result = process.run(self.machine, self._command("delete", job), timeout=cli.ANSWER)
        if cli.missing(result) and self.below:
            self._delete_maker(job, self.below)
        elif result.code and not cli.missing(result):
            raise cli.refusal(result, self.config)
        if not now:
            return
        if self.below:
            self.below.kill(job)
        else:
            warn(f"{job.name} has its grace period: to end it at once takes the kubeconfig of your cluster.")

    def _delete_maker(self, job: Workload, below: kubernetes.Jobs) -> None:
        pods = self._pods(f"{labels.INSTANCE}={job.name}").get(job.name, [])
        for kind, name in words.makers(pods):
            argv = [*below.kubectl("delete"), kind, name, "--ignore-not-found", "--wait=false"]
            done = process.run(self.machine, argv, timeout=cli.ANSWER)
            if done.code:
                raise RefusedError(
                    f"run:ai does not know {job.name}, and `{shell.join(argv)}` fails: {done.stderr.strip()}"
                )

    def stop(self, job: Workload) -> None:
        """`runai suspend`."""
        cli.ask(self.machine, self._command("suspend", job), self.config)

    def resume(self, job: Workload) -> None:
        """`runai resume`."""
        cli.ask(self.machine, self._command("resume", job), self.config)

    def _command(self, verb: str, job: Workload) -> list[str]:
        return cli.command(self.version, verb, job.name, self.config.project, self._group(job))

    def queues(self) -> Queues:
        """Run:ai tells only its web page."""
        return Queues(
            note=f"run:ai does not tell its queue here: its web page shows the quota of the project "
            f"{self.config.project}, what is used of it, and what waits."
        )

    def leftovers(self, gone: Sequence[str]) -> list[Leftover]:
        """What no Job or pod uses, as long as every job that may go on has pods, which tell what it uses."""
        if not self.below:
            return []
        for job in self.all(everybody=True):
            waits = job.state in ("Pending", "Preempted", "Stopped")
            if waits and job.name not in gone and not any(pod.name != job.name for pod in job.pods):
                return []
        return self.below.leftovers(gone)

    def remove(self, leftover: Leftover) -> None:
        """Delete a Secret."""
        if self.below:
            self.below.remove(leftover)
