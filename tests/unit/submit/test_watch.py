"""`list --watch` on a terminal."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mlo_submit.backends.kubernetes.manifest import render
from mlo_submit.env import Config
from mlo_submit.job import Flags, from_flags
from mlo_submit.machine import Machine
from tests.screen import Screen
from tests.unit.submit.conftest import Api, status
from tests.unit.submit.workloads import NOW, ago

ROOT = Path(__file__).parents[3]
JOBS = "/apis/batch/v1/namespaces/runai-mlo-jdoe/jobs"
BESIDE = ("/api/v1/namespaces/runai-mlo-jdoe/pods", "/api/v1/namespaces/runai-mlo-jdoe/events")


def serve(api: Api, config: Config, *names: str) -> None:
    """Jobs that have just been created."""
    items = []
    for name in names:
        job = render(from_flags(config, Flags(name=name), NOW))
        job["metadata"] |= {"creationTimestamp": f"{ago(minutes=3):%Y-%m-%dT%H:%M:%SZ}", "uid": name}
        items.append(job)
    api.answers |= {("GET", JOBS): (200, {"items": items}), **{("GET", path): (200, {"items": []}) for path in BESIDE}}


@pytest.fixture
def watch(laptop: Machine, env_file: Path) -> Callable[..., Screen]:
    def start(**size: int) -> Screen:
        environ = {**laptop.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
        impatient = "from mlo_submit import cli, live; live.PERIOD = 0.1; cli.main()"
        argv = [sys.executable, "-c", impatient, "--backend", "kubernetes", "list", "--watch"]
        return Screen(argv, env=environ, cwd=env_file.parent, **size)

    return start


def test_watch_follows_jobs_and_the_terminals_size_until_q(
    watch: Callable[..., Screen], api: Api, config: Config
) -> None:
    serve(api, config, "first")
    with watch(columns=120) as screen:
        screen.wait_for(r"^1 job .*\n\nNAME .*\nfirst .* its pod is not made yet")
        serve(api, config, "first", *(f"more-{number}" for number in range(30)))
        screen.wait_for("more-20")
        assert len(screen.frame) == 24
        screen.resize(10, 40)
        screen.wait_for(r"\A31 jobs.*\n(.{0,40}\n){8}…\Z")
        screen.type("q")
        assert (screen.wait(), screen.restored()) == (0, True)
        assert b"\x1b[2J" not in screen.seen, "a screen that is erased before it is drawn flickers"


@pytest.mark.parametrize("how", ["Ctrl-C", "TERM"])
def test_watch_gives_the_terminal_back_however_it_ends(
    watch: Callable[..., Screen], api: Api, config: Config, how: str
) -> None:
    serve(api, config, "first")
    with watch() as screen:
        screen.wait_for("first")
        if how == "Ctrl-C":
            screen.type("\x03")
        else:
            os.kill(screen.pid, signal.SIGTERM)
        assert (screen.wait(), screen.restored()) == ({"Ctrl-C": 130, "TERM": 143}[how], True)
        assert b"Traceback" not in screen.seen


def test_watch_gives_the_terminal_back_while_it_is_suspended(
    watch: Callable[..., Screen], api: Api, config: Config
) -> None:
    serve(api, config, "first")
    with watch() as screen:
        screen.wait_for("first")
        screen.type("\x1a")
        os.waitid(os.P_PID, screen.pid, os.WSTOPPED)
        screen.drain()
        assert screen.restored()
        os.kill(screen.pid, signal.SIGCONT)
        serve(api, config, "second")
        screen.wait_for("second")
        screen.type("q")
        assert (screen.wait(), screen.restored()) == (0, True)


def test_watch_tells_of_an_interruption_in_one_line_and_goes_on(
    watch: Callable[..., Screen], api: Api, config: Config
) -> None:
    serve(api, config, "first")
    with watch(columns=200) as screen:
        screen.wait_for("first")
        api.answers[("GET", JOBS)] = status(500, "etcd is away")
        screen.wait_for(r"^1 job  no answer, .*etcd is away.*\n\nNAME .*\nfirst ")
        serve(api, config, "second")
        screen.wait_for(r"^1 job  \d\d:\d\d:\d\d .*\n\nNAME .*\nsecond ")
        screen.type("q")
        assert (screen.wait(), screen.restored()) == (0, True)


def test_watch_without_an_answer_at_first_is_an_error(watch: Callable[..., Screen], api: Api) -> None:
    api.answers[("GET", JOBS)] = status(403, "not yours")
    with watch() as screen:
        assert screen.wait() == 77
        assert b"\x1b[?1049h" not in screen.seen
        assert b"not yours" in screen.seen
