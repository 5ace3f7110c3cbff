"""What jobs leave behind in the cluster."""

from __future__ import annotations

from mlo_submit.backends.kubernetes.jobs import Jobs
from mlo_submit.env import Config
from mlo_submit.workload import Leftover
from tests.unit.submit.conftest import Api
from tests.unit.submit.kubejobs import (
    JOBS,
    MINE,
    PODS,
    SECRETS,
    SERVICES,
    named,
    pod_for,
    recorded,
)
from tests.unit.submit.test_words import RUNS, a_pod


def test_leftovers(api: Api, jobs: Jobs, config: Config) -> None:
    """What any Job or pod in the namespace refers to is in use, in whatever way and whoever's it is."""
    secrets = ("jdoe-env", "of-a-pod", "of-another-job", "unused")
    asked = recorded(api, SECRETS, lambda _: [{"metadata": {"name": name}} for name in secrets])
    services = [{"metadata": {"name": f"{job}-ranks", "labels": {"app.kubernetes.io/instance": job}}} for job in "xy"]
    asked_services = recorded(api, SERVICES, lambda _: services)
    other = named(config, "y")
    other["spec"]["template"]["spec"]["volumes"] = [{"secret": {"secretName": "of-another-job"}}]
    everybodys = recorded(api, JOBS, lambda _: [named(config, "x"), other])
    bare = {"metadata": {}, "spec": {"containers": [{"envFrom": [{"secretRef": {"name": "of-a-pod"}}]}]}}
    own = pod_for("x", a_pod("Running", state=RUNS))
    own["spec"]["volumes"] = [{"secret": {"secretName": "jdoe-env"}}]
    api.answers["GET", PODS] = 200, {"items": [bare, own]}
    assert jobs.leftovers([]) == [Leftover(kind="Secret", name="unused")]
    assert jobs.leftovers(["x"]) == [
        Leftover(kind="Secret", name="jdoe-env"),
        Leftover(kind="Secret", name="unused"),
        Leftover(kind="Service", name="x-ranks"),
    ]
    assert asked[0]["labelSelector"] == asked_services[0]["labelSelector"] == MINE
    assert "labelSelector" not in everybodys[0]


def test_a_leftover_is_removed(api: Api, jobs: Jobs) -> None:
    api.answers["DELETE", f"{SECRETS}/unused"] = 200, {}
    jobs.remove(Leftover(kind="Secret", name="unused"))
    jobs.remove(Leftover(kind="Service", name="gone-already"))
    assert api.paths() == [("DELETE", f"{SECRETS}/unused"), ("DELETE", f"{SERVICES}/gone-already")]
