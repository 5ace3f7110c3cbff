"""What can go wrong with a job before it does: `CHECKS`, in the order in which they are told.

All run at the same time. A check is a small function of what is known (`Context`) to a `Finding`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import TimeoutError as Late
from typing import Final

from mlo_submit.backends import Name
from mlo_submit.checks import cluster, docker, local, places
from mlo_submit.checks.context import CLUSTERS, Check, Context, Finding, UntoldError, later, problem
from mlo_submit.errors import MloError
from mlo_submit.kube import Denied

DEADLINE = 13.0  # seconds for all of them: as long as a server may take to say nothing, and a little more

DOCKER: Final[frozenset[Name]] = frozenset({"docker"})
KUBERNETES: Final[frozenset[Name]] = frozenset({"kubernetes"})
RUNAI: Final[frozenset[Name]] = frozenset({"runai"})

CHECKS: Final[tuple[Check, ...]] = (
    Check(name=".env", run=local.file),
    Check(name="privacy of .env", run=local.privacy),
    Check(name="git", run=local.ignored),
    Check(name="settings", run=local.settings),
    Check(name="account", run=local.account),
    Check(name="time zone", run=local.timezone),
    Check(name="SSH key", run=local.key),
    Check(name="archive", run=local.archive),
    Check(name="login", run=cluster.login, on=CLUSTERS),
    Check(name="server", run=cluster.server, on=CLUSTERS),
    Check(name="clock", run=cluster.clock, on=CLUSTERS),
    Check(name="kubectl", run=cluster.kubectl, on=CLUSTERS),
    Check(name="runai", run=cluster.runai, on=RUNAI),
    Check(name="namespace", run=cluster.namespace, on=CLUSTERS),
    Check(name="rights", run=cluster.rights, on=CLUSTERS),
    Check(name="volume claim", run=cluster.claim, on=CLUSTERS),
    Check(name="Secret", run=cluster.secret, on=CLUSTERS),
    Check(name="image", run=places.image, on=CLUSTERS),
    Check(name="GPUs", run=places.gpus, on=CLUSTERS),
    Check(name="kind", run=cluster.kind, on=KUBERNETES),
    Check(name="queue", run=cluster.queue, on=KUBERNETES),
    Check(name="priority class", run=cluster.priority, on=KUBERNETES),
    Check(name="engine", run=docker.engine, on=DOCKER),
    Check(name="GPUs", run=docker.gpus, on=DOCKER),
    Check(name="image", run=docker.image, on=DOCKER),
    Check(name="local scratch", run=docker.scratch, on=DOCKER),
    Check(name="state directory", run=docker.state, on=DOCKER),
    Check(name="jobs", run=places.jobs),
    Check(name="home on scratch", run=places.home, on=CLUSTERS),
)


def examine(context: Context) -> Iterator[tuple[Check, Finding]]:
    """Run the checks of the backend, and give each as soon as it and those before it are done."""
    began = time.monotonic()
    chosen = [check for check in CHECKS if context.backend in check.on]
    running = [(check, later(lambda check=check: check.run(context))) for check in chosen]  # type: ignore[misc]
    for check, future in running:
        try:
            finding = future.result(timeout=max(0.0, began + DEADLINE - time.monotonic()))
        except UntoldError as error:
            finding = Finding(ok=None, found=str(error))
        except Denied as error:
            finding = Finding(ok=None, found="not for you to see") if error.status == 403 else problem(error.message)
        except MloError as error:
            finding = problem(error.message)
        except Late:
            finding = Finding(ok=None, found=f"no answer within {DEADLINE:g} seconds")
        except Exception as error:
            finding = Finding(ok=None, found=f"the check itself failed: {type(error).__name__}: {error}")
        yield check, finding
