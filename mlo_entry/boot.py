"""Plans the boot, and carries it out: each run of actions by the one who is to do them."""

from __future__ import annotations

from . import accounts, report
from .actions import ROOT, SEED, USER, ShareDir, UseDir
from .apply import apply_all
from .become import run_as
from .directories import AskSeed
from .errors import BootError
from .host import Identity
from .record import Record
from .steps import STEPS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .actions import Action
    from .apply import Outcome
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


class Progress:
    """What a boot did so far: milliseconds and changes step by step, and the warnings; `warn` is told each at once."""

    def __init__(self, actors: dict[str, Identity], warn: Callable[[str], None]) -> None:
        self.milliseconds: dict[str, float] = {}
        self.changed: dict[str, list[Json]] = {}
        self.warnings: list[str] = []
        self._actors = actors
        self._warn = warn
        self._asked: dict[str, str] = {}

    def carry_out(self, planned: list[Planned]) -> None:
        """Make everything true, in order.

        Raises:
            BootError: the boot cannot go on.
        """
        waiting = list(planned)
        while waiting:
            batch = _leading(waiting)
            outcomes = self._act([each.action for each in batch])
            del waiting[: len(outcomes)]
            for each, (changed, milliseconds, problem, code) in zip(batch, outcomes, strict=False):
                self.milliseconds[each.step] = self.milliseconds.get(each.step, 0.0) + milliseconds
                changes = self.changed.setdefault(each.step, [])
                if changed:
                    changes.append(f"{type(each.action).__name__} {getattr(each.action, 'path', '')}".rstrip())
                if code == AskSeed.exit_code and isinstance(each.action, UseDir):
                    waiting[:0] = [Planned(each.step, each.action.asked_of_seed()), each]
                elif code:
                    raise Failed(problem, code)
                elif type(each.action) is ShareDir:
                    self._asked[each.action.path] = problem
                elif problem:
                    self.warning(problem)

    def warning(self, problem: str) -> None:
        """Something that the job goes on without."""
        self.warnings.append(problem)
        self._warn(problem)

    def steps(self) -> list[Json]:
        """For the report."""
        return [
            {"step": step, "ms": round(milliseconds, 3), "changed": self.changed[step]}
            for step, milliseconds in self.milliseconds.items()
        ]

    def _act(self, actions: list[Action]) -> list[Outcome]:
        actor = actions[0].actor
        if actor == ROOT:
            return apply_all(actions, self._asked)
        return run_as(self._actors[actor], lambda: apply_all(actions, self._asked))


def _leading(planned: list[Planned]) -> list[Planned]:
    """The actions at the head that have the same actor: one child does them all."""
    actor = planned[0].action.actor
    end = next((i for i, each in enumerate(planned) if each.action.actor != actor), len(planned))
    return planned[:end]
