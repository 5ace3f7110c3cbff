"""Several questions at once, and answers of many pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mlo_submit.kube import JSON, ApiRefusal, Cluster

PAGE = 1000  # objects; more do not come faster


def together(*asks: Callable[[], Any]) -> list[Any]:
    """Ask several things at once. Returns the answers in the order of the questions; raises the first error."""
    from concurrent.futures import ThreadPoolExecutor

    if not asks:
        return []
    with ThreadPoolExecutor(max_workers=min(len(asks), 8)) as pool:
        return list(pool.map(lambda ask: ask(), asks))


def everything(cluster: Cluster, place: str, **query: str) -> list[JSON]:
    """All objects of a list as they were at one moment, page by page."""
    token = ""
    found: list[JSON] = []
    while True:
        try:
            page = cluster.call("GET", place, limit=PAGE, **({"continue": token} if token else {}), **query)
        except ApiRefusal as error:
            if error.status != 410 or not token:
                raise
            # The server no longer knows that moment: all at once, then.
            return list(cluster.call("GET", place, **query)["items"])
        found += page["items"]
        token = page.get("metadata", {}).get("continue", "")
        if not token:
            return found


@contextmanager
def no_collection() -> Iterator[None]:
    """No search for garbage: among thousands of objects that come in a row it would take as long as they do."""
    import gc

    gc.disable()
    try:
        yield
    finally:
        gc.enable()
