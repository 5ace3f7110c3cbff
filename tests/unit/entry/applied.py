"""An action made true, and what came of it."""

from __future__ import annotations

from mlo_entry import actions, apply


def run(action: actions.Action, asked: dict[str, str] | None = None) -> tuple[bool, str, int]:
    ((changed, milliseconds, problem, code),) = apply.apply_all([action], asked or {})
    assert milliseconds >= 0
    return changed, problem, code


def twice(action: actions.Action) -> None:
    assert run(action) == (True, "", 0)
    assert run(action) == (False, "", 0)
