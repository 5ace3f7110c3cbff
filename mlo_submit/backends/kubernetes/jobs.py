"""The Jobs of a namespace."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

from mlo_submit import kubeconfig, labels, tasks
from mlo_submit.backends.kubernetes import admission, arrays, asking, events, kinds, leftovers, words
from mlo_submit.backends.kubernetes.asking import everything, no_collection, together
from mlo_submit.backends.kubernetes.kinds import JOB, Kind
from mlo_submit.backends.kubernetes.manifest import KUEUE_LABEL, QUEUE_LABELS
from mlo_submit.backends.kubernetes.pods import Pods
from mlo_submit.env import Config
from mlo_submit.errors import RefusedError
from mlo_submit.kube import JSON, path
from mlo_submit.machine import Machine
from mlo_submit.queues import Queues
from mlo_submit.workload import Event, Leftover, Pod, Workload

FEW = 500  # jobs that succeeded: their pods are worth a request
SOME = 100  # pods that tell why arrays wait


def connect(config: Config, machine: Machine) -> Jobs:
    """Reach the namespace of .env."""
    return Jobs(config=config, cluster=kubeconfig.connect(machine, config.kube_context))


@dataclass(frozen=True, kw_only=True)
class Jobs(Pods):
    """See `mlo_submit.backends.Jobs`."""

    @property
    def user(self) -> str:
        """The label of my jobs."""
        return labels.user(self.config.username)

    def all(self, *, everybody: bool = False) -> list[Workload]:
        """The Jobs that mlo-submit made, and their pods: two requests at once.

        The pods of jobs that succeeded tell little and are many: they are asked for where there are not too many.
        """
        selector = f"{labels.mine(None if everybody else self.user)},{labels.BACKEND}!=runai"
        with no_collection():
            found = self._all(selector)
        return sorted(found, key=lambda job: (job.created, job.name), reverse=True)

    def _all(self, selector: str) -> list[Workload]:
        of_jobs = f"{selector},!{labels.ARRAY}"
        jobs, pods, others = together(
            lambda: self._list("jobs", labelSelector=selector),
            lambda: self._list("pods", labelSelector=of_jobs, fieldSelector="status.phase!=Succeeded"),
            lambda: asking.others(self.cluster),
        )
        found = [*((JOB, job) for job in jobs), *self._of(others, labelSelector=selector)]
        ended = (words.finished(kind.as_job(job)) for kind, job in found if not arrays.tasks(job))
        if 0 < sum(each.get("type") == "Complete" for each in ended) <= FEW:
            done = self._list("pods", labelSelector=of_jobs, fieldSelector="status.phase=Succeeded")
            pods = [*{pod["metadata"]["uid"]: pod for pod in (*pods, *done)}.values()]  # one may just have succeeded
        if any(map(arrays.waits, jobs)):
            pods += self._waiting(selector)
        return self._workloads(found, pods)

    def _waiting(self, selector: str) -> list[JSON]:
        """Pods of arrays that wait: some of them, since one tells for all of its array."""
        query = {"labelSelector": f"{selector},{labels.ARRAY}", "fieldSelector": "status.phase=Pending"}
        return list(self.cluster.call("GET", path("pods", self.config.namespace), limit=SOME, **query)["items"])

    def find(self, name: str, index: int | None = None) -> Workload:
        """The Job of that name, with its pods: two requests at once. Of an array with those of one task, or with some
        that wait: one request more.
        """
        mine = kinds.selector(JOB, name)
        job, pods = together(
            lambda: self._read(JOB, name), lambda: self._list("pods", labelSelector=f"{mine},!{labels.ARRAY}")
        )
        kind = JOB
        if not job:
            kind, job, pods = self._another(name)
        if not job:
            raise RefusedError(f"there is no job {name} in {self.config.namespace}: `mlo-submit list` shows yours.")
        if (job["metadata"].get("labels") or {}).get(labels.MANAGED_BY) != labels.OURS:
            raise RefusedError(
                f"the job {name} in {self.config.namespace} was not made by mlo-submit, which leaves it alone."
            )
        if index is not None:
            return self._task(job, index)
        return self._workloads([(kind, job)], self._waiting(mine) if arrays.waits(job) else pods)[0]

    def _another(self, name: str) -> tuple[Kind, JSON, list[JSON]]:
        """What has that name and is no Job, and its pods."""
        for kind in asking.others(self.cluster):
            if job := self._read(kind, name):
                return kind, job, self._list("pods", labelSelector=kinds.selector(kind, name))
        return JOB, {}, []

    def _task(self, job: JSON, index: int) -> Workload:
        whole = words.workload(job, ())
        tasks.check(whole, index)
        assert whole.tasks  # noqa: S101  # for the type checker
        place = whole.tasks.array.indices.index(index)
        pods = self._list("pods", labelSelector=f"{kinds.selector(JOB, whole.name)},{arrays.RANK}={place}")
        own, its = arrays.alone(job, pods, whole.tasks, index)
        (found,) = self._workloads([(JOB, own)], its)
        if not its and found.state == "Pending" and whole.state == "Running":
            found = replace(found, reason="it waits for its turn")
        return replace(found, index=index)

    def failures(self, job: Workload) -> list[Pod]:
        """One request, for however many."""
        if not job.tasks or not job.tasks.failed:
            return []
        query = {"labelSelector": kinds.selector(JOB, job.name), "fieldSelector": "status.phase=Failed"}
        pods = self._list("pods", **query)
        return arrays.last_of_each([words.pod_of(pod) for pod in sorted(pods, key=words.age)], job.tasks)

    def _workloads(self, jobs: Sequence[tuple[Kind, JSON]], pods: Iterable[JSON]) -> list[Workload]:
        """Jobs with their pods, and the warnings of those that only warnings explain."""
        of = kinds.by_owner(pods)
        found = [(kind, job, of.get((kind.PLURAL, job["metadata"]["name"]), [])) for kind, job in jobs]
        asks = dict.fromkeys(ask for each in found if (ask := kinds.puzzling(*each)))
        told = [
            event for about, reason in asks for event in self._events(f"involvedObject.kind={about},reason={reason}")
        ]
        warnings = kinds.warnings(told)
        queued = [own for kind, job in jobs if words.queued(own := kind.as_job(job))]
        waits = admission.waits(self.cluster, self.config.namespace, queued) if queued else {}
        return [
            kinds.workload(kind, job, its, warnings, waits.get(job["metadata"].get("uid", "")))
            for kind, job, its in found
        ]

    def queues(self) -> Queues:
        """What Kueue tells of the LocalQueues of the namespace."""
        if self.config.scheduler in QUEUE_LABELS:
            return Queues(note=f"{self.config.scheduler} does not tell here what waits in its queues.")
        return admission.queues(self.cluster, self.config.namespace, self._queued)

    def _queued(self) -> list[JSON]:
        """My jobs that Kueue knows."""
        selector = f"{labels.mine(self.user)},{KUEUE_LABEL}"
        jobs, others = together(lambda: self._list("jobs", labelSelector=selector), lambda: asking.others(self.cluster))
        return [*jobs, *(job for _, job in self._of(others, labelSelector=selector))]

    def _read(self, kind: Kind, name: str) -> JSON:
        return self.cluster.read(kinds.path(kind, self.config.namespace, name))

    def _of(self, others: Iterable[Kind], **query: str) -> list[tuple[Kind, JSON]]:
        return asking.objects(self.cluster, self.config.namespace, others, **query)

    def _list(self, kind: str, **query: str) -> list[JSON]:
        return everything(self.cluster, path(kind, self.config.namespace), **query)

    def _events(self, selector: str) -> list[JSON]:
        return self._list("events", fieldSelector=selector)

    def events(self, job: Workload) -> list[Event]:
        """The events of the Job, and of all pods that it has or had: those that the cluster still knows."""
        kind = kinds.made_as(job)
        raw, pods, *of_job = together(
            lambda: self._read(kind, job.name),
            lambda: self._list("pods", labelSelector=f"{kinds.selector(kind, job.name)},!{labels.ARRAY}"),
            *(partial(self._events, f"involvedObject.name={name}") for name in kinds.makers(kind, job.name)),
        )
        of_all = list(chain(*of_job))
        known = [words.pod_of(pod) for pod in pods] or job.pods
        gone = [] if job.tasks or job.index is not None else events.pods_of(job, of_all)  # of an array too many
        names = dict.fromkeys([*(pod.name for pod in known), *gone])
        of_pods = together(*(partial(self._events, f"involvedObject.name={name}") for name in names))
        return events.timeline(
            job, kind.as_job(raw) if raw else {}, known, [*kinds.told(kind, of_all), *chain(*of_pods)]
        )

    def delete(self, job: Workload, *, now: bool) -> None:
        """Delete the Job in the foreground: it goes after its pods. Gone already is as good."""
        place = kinds.path(kinds.made_as(job), self.config.namespace, job.name)
        asking.delete(self.cluster, place, propagationPolicy="Foreground")
        if now:  # after the Job, which would replace them
            self.kill(job)

    def kill(self, job: Workload) -> None:
        """End the pods of the job without their grace period."""
        if job.tasks:
            every = path("pods", self.config.namespace)
            self.cluster.call("DELETE", every, labelSelector=kinds.selector(JOB, job.name), gracePeriodSeconds=0)
        for pod in job.pods:
            asking.delete(self.cluster, path("pods", self.config.namespace, pod.name), gracePeriodSeconds=0)

    def stop(self, job: Workload) -> None:
        """Suspend the Job: Kubernetes deletes its pods, and keeps the Job. Its time limit starts anew when it goes on.

        Raises:
            RefusedError: it has ended, or Kueue decides when it runs.
        """
        self._suspend(job, stopped="true")

    def resume(self, job: Workload) -> None:
        """Take the suspension back. Raises as `stop` does."""
        self._suspend(job, stopped=None)

    def _suspend(self, job: Workload, stopped: str | None) -> None:
        kind = kinds.made_as(job)
        found = self._read(kind, job.name)
        if not found or words.finished(kind.as_job(found)):
            raise RefusedError(f"the job {job.name} has ended: `mlo-submit rerun {job.name}` launches it again.")
        if queue := (found["metadata"].get("labels") or {}).get(KUEUE_LABEL):
            raise RefusedError(
                f"the job {job.name} is in the queue {queue} of Kueue, which decides alone when it runs, and undoes "
                f"a stop. End it with `mlo-submit delete {job.name}`, and launch it again when it may go on."
            )
        patch = {
            "metadata": {"annotations": {words.STOPPED: stopped}},
            "spec": kind.suspension(stopped is not None),
        }
        self.cluster.call("PATCH", kinds.path(kind, self.config.namespace, job.name), patch)

    def leftovers(self, gone: Sequence[str]) -> list[Leftover]:
        """Secrets and Services that mlo-submit made for me, and that no Job or pod of anybody's uses.

        What run:ai has set aside is neither, and is not seen.
        """
        mine = labels.mine(self.user)
        secrets, services, jobs, pods, others = together(
            lambda: self._list("secrets", labelSelector=mine),
            lambda: self._list("services", labelSelector=mine),
            lambda: self._list("jobs"),
            lambda: self._list("pods"),
            lambda: asking.others(self.cluster),
        )
        jobs += (kind.as_job(job) for kind, job in self._of(others))
        return leftovers.unused(secrets=secrets, services=services, jobs=jobs, pods=pods, gone=gone)

    def remove(self, leftover: Leftover) -> None:
        """Delete a Secret or a Service."""
        asking.delete(self.cluster, path(f"{leftover.kind.lower()}s", self.config.namespace, leftover.name))
