"""Plans the boot, and carries it out: each run of actions by the one who is to do them."""

from __future__ import annotations

import time

from . import accounts, report
from .actions import ROOT, SEED, USER, ShareDir
from .apply import apply_all
from .become import run_as
from .errors import BootError
from .host import Identity
from .record import Record
from .steps import STEPS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .actions import Action
    from .host import Host
    from .settings import Settings

    Json = report.Json


class Planned(Record):
    """An action with the step that asks for it."""

    step: str
    action: Action


class Failed(BootError):
    """An action without which the boot cannot go on."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Result(Record):
    """What a boot did: milliseconds and changes of each step, and every warning."""

    steps: list[Json]
    warnings: list[str]
    milliseconds: float


def plan(settings: Settings, host: Host) -> list[Planned]:
    """All that the boot will do, in order."""
    return [Planned(name, action) for name, step in STEPS for action in step(settings, host)]


def identities(settings: Settings, host: Host) -> tuple[dict[str, Identity], list[str]]:
    """Who the actors are, and what is wrong with them.

    The seed user acts with the group of the user: what it makes belongs to that group, whatever the server does with
    supplementary ones.
    """
    user = Identity(settings.uid, settings.gid, host.groups)
    found = accounts.find(host.passwd, host.group, settings.seed_user)
    if settings.seed_user == settings.user:
        return {USER: user, SEED: user}, []
    if not found:
        problem = (
            f"SCRATCH_SEED_USER={settings.seed_user} is no account of this image: {settings.user} makes the directories"
        )
        return {USER: user, SEED: user}, [problem]
    return {USER: user, SEED: Identity(found[0], settings.gid, found[1])}, []


def carry_out(planned: list[Planned], actors: dict[str, Identity], warn: Callable[[str], None]) -> Result:
    """Make everything true, in order. Each warning is told to `warn` at once.

    Raises:
        BootError: the boot cannot go on.
    """
    start = time.perf_counter()
    steps: dict[str, dict[str, Json]] = {}
    warnings: list[str] = []
    troubles: dict[str, str] = {}
    for batch in _batches(planned):
        actions = [each.action for each in batch]
        actor = actions[0].actor
        if actor == ROOT:
            outcomes = apply_all(actions, troubles)
        else:
            outcomes = run_as(actors[actor], lambda actions=actions: apply_all(actions, troubles))  # type: ignore[misc]
        for each, (changed, milliseconds, problem, code) in zip(batch, outcomes, strict=False):
            step = steps.setdefault(each.step, {"step": each.step, "ms": 0.0, "changed": []})
            step["ms"] = round(step["ms"] + milliseconds, 3)  # type: ignore[operator]
            if changed:
                step["changed"].append(_short(each.action))  # type: ignore[union-attr]
            if code:
                raise Failed(problem, code)
            if problem and type(each.action) is ShareDir:
                troubles[each.action.path] = problem  # for the UseDir to come
            elif problem:
                warnings.append(problem)
                warn(problem)
    return Result(list(steps.values()), warnings, (time.perf_counter() - start) * 1000)


def _batches(planned: list[Planned]) -> list[list[Planned]]:
    """Runs of actions with the same actor: a child is forked for each."""
    batches: list[list[Planned]] = []
    for each in planned:
        if batches and batches[-1][0].action.actor == each.action.actor:
            batches[-1].append(each)
        else:
            batches.append([each])
    return batches


def _short(action: Action) -> str:
    return f"{type(action).__name__} {getattr(action, 'path', '')}".rstrip()
