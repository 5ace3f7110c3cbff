"""Jobs, pods and events as an API server has them, and where it has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlo_submit.env import Config
from tests.unit.submit.conftest import Api
from tests.unit.submit.test_words import CREATED, ENDED, a_job

NAMESPACE = "runai-mlo-jdoe"
CORE = f"/api/v1/namespaces/{NAMESPACE}"
JOBS, PODS, EVENTS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs", f"{CORE}/pods", f"{CORE}/events"
SECRETS, SERVICES = f"{CORE}/secrets", f"{CORE}/services"
MINE = "app.kubernetes.io/managed-by=mlo-submit,mlo-submit/user=jdoe"

Query = dict[str, str]


def named(config: Config, name: str, created: str = CREATED, *conditions: dict[str, str]) -> dict[str, Any]:
    job = a_job(config, *conditions)
    job["metadata"].update(name=name, uid=name, creationTimestamp=created)
    return job


def pod_for(job: str, pod: dict[str, Any]) -> dict[str, Any]:
    pod["metadata"]["labels"] = {"job-name": job}
    return pod


def recorded(api: Api, path: str, items: Callable[[Query], list[dict[str, Any]]]) -> list[Query]:
    """Answer a list with what a function makes of the query; returns the queries."""
    queries: list[Query] = []

    def answer(query: Query) -> tuple[int, Any]:
        queries.append(query)
        return 200, {"items": items(query)}

    api.answers["GET", path] = answer
    return queries


def event(about: str, kind: str, reason: str, message: str, at: str = ENDED, **more: Any) -> dict[str, Any]:
    return {
        "metadata": {"creationTimestamp": at},
        "involvedObject": {"kind": kind, "name": about, "uid": about},
        "reason": reason,
        "message": message,
        "type": "Normal",
        "lastTimestamp": at,
        **more,
    }
