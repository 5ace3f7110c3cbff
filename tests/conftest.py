"""Under CI=true a skipped test fails the run unless allowed-skips.txt lists it: CI has all that a test can need."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_ALLOWED = Path(__file__).with_name("allowed-skips.txt")


class SkipGuard:
    """Collects the skips that nobody allowed, and fails the run for them."""

    def __init__(self, allowed: frozenset[str]) -> None:
        self._allowed = allowed
        self._refused: dict[str, None] = {}

    def _see(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        expected_failure = hasattr(report, "wasxfail")
        if report.skipped and not expected_failure and report.nodeid not in self._allowed:
            self._refused[report.nodeid] = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._see(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._see(report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._refused and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._refused:
            terminalreporter.section("skipped under CI=true", red=True)
            for nodeid in self._refused:
                terminalreporter.line(nodeid)
            terminalreporter.line(f"Make them run, or list them in {_ALLOWED.name} with the reason.")


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("CI") == "true":
        lines = _ALLOWED.read_text().splitlines()
        allowed = frozenset(line for line in lines if line and not line.startswith("#"))
        config.pluginmanager.register(SkipGuard(allowed), "skip-guard")
