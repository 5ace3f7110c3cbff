"""Claims on the tasks of an array, by real processes: each index once, however those that hold it end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from mlo_entry import claims
from tests.unit.entry.tasks import ROOT, run_task, start_task

# Processes that all wait for the end of one pipe, claim, tell their id and index, and hold on until they are killed.
# USR1 ends them as tasks that succeed.
WAVE = """
import os, signal, sys
from mlo_entry import claims
claims.PERIOD = 0.05
directory, tasks, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
wait, go = os.pipe()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
for _ in range(count):
    if not os.fork():
        os.close(go)
        os.read(wait, 1)
        claim = claims.claim(directory, range(tasks), "pod")
        os.write(1, f"{os.getpid()} {claim.index if claim else -1}\\n".encode())
        if claim:
            signal.sigwait({signal.SIGUSR1})
            claim.done()
        os._exit(0)
os.close(go)
for _ in range(count):
    os.wait()
"""


class Wave:
    """Processes that claim at the same moment."""

    def __init__(self, directory: Path, tasks: int, count: int) -> None:
        argv = [sys.executable, "-c", WAVE, str(directory), str(tasks), str(count)]
        environ = {"PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, text=True, start_new_session=True)

    def told(self, count: int) -> dict[int, int]:
        """The index of each of the next `count` processes, by process id, once they have it."""
        assert self.process.stdout
        lines = [self.process.stdout.readline().split() for _ in range(count)]
        return {int(pid): int(index) for pid, index in lines}


@pytest.fixture
def wave(tmp_path: Path) -> Iterator[Callable[[int, int], Wave]]:
    waves: list[Wave] = []

    def start(tasks: int, count: int) -> Wave:
        waves.append(Wave(tmp_path / "claims", tasks, count))
        return waves[-1]

    yield start
    for each in waves:
        os.killpg(each.process.pid, signal.SIGKILL)
        each.process.wait()
        assert each.process.stdout
        each.process.stdout.close()


def test_two_hundred_at_once_have_an_index_each(wave: Callable[[int, int], Wave]) -> None:
    """Those that are killed leave theirs to the next, exactly; what is done nobody has again."""
    first = wave(200, 200).told(200)
    assert sorted(first.values()) == list(range(200))
    pids = list(first)
    killed, succeeded = pids[:60], pids[60:100]
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    second = wave(200, 60)
    again = second.told(60)
    assert sorted(again.values()) == sorted(first[pid] for pid in killed)
    for pid in succeeded:
        os.kill(pid, signal.SIGUSR1)
    third = wave(200, 1)  # it waits: all others are held, or done
    free = next(iter(again))
    os.kill(free, signal.SIGKILL)
    assert list(third.told(1).values()) == [again[free]]


def test_nothing_is_left_once_all_are_done(wave: Callable[[int, int], Wave]) -> None:
    holders = wave(3, 3).told(3)
    late = wave(3, 2)
    for pid in holders:
        os.kill(pid, signal.SIGUSR1)
    assert set(late.told(2).values()) == {-1}


TELL = "echo $MLO_ARRAY_INDEX"


def pod(scratch: Path, array: str = "0-1", submission: str = "x") -> dict[str, str]:
    return {"MLO_ARRAY": array, "SCRATCH_HOME": str(scratch), "MLO_ARRAY_ID": submission}


def index_in(directory: Path, name: str) -> str:
    return (directory / ".mlo/arrays/x" / name).read_text()


@contextmanager
def running(scratch: Path, script: str, array: str = "0-1") -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A task that has begun, and its index."""
    process = start_task("sh", "-c", script, **pod(scratch, array))
    assert process.stdout
    try:
        yield process, process.stdout.readline().strip()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=10)


def test_a_task_that_succeeds_is_done_and_one_that_fails_is_given_back(tmp_path: Path) -> None:
    codes = [run_task("sh", "-c", f"{TELL}; exit $0", code, **pod(tmp_path)) for code in ("0", "7", "0", "0")]
    assert [(done.stdout, done.returncode) for done in codes] == [("0\n", 0), ("1\n", 7), ("1\n", 0), ("", 0)]
    assert "this is task 1 of 0-1" in codes[1].stderr
    assert "nothing is left to do: all 2 tasks of the array are done" in codes[3].stderr
    assert index_in(tmp_path, "1") == f"{os.uname().nodename}\ndone\n"


def test_a_task_begins_before_one_that_failed_is_tried_again(tmp_path: Path) -> None:
    codes = [run_task("sh", "-c", f"{TELL}; exit 1", **pod(tmp_path)).stdout for _ in range(3)]
    assert codes == ["0\n", "1\n", "0\n"]


def test_submissions_of_one_name_do_not_meet(tmp_path: Path) -> None:
    for submission in ("x-1", "x-2"):
        done = run_task("sh", "-c", TELL, **pod(tmp_path, submission=submission))
        assert done.stdout == "0\n"


def test_a_stop_reaches_the_command_once_and_its_code_is_the_tasks(tmp_path: Path) -> None:
    with running(tmp_path, f"trap 'echo stopped; exit 5' TERM; {TELL}; while :; do sleep 0.05; done") as (
        process,
        index,
    ):
        os.killpg(process.pid, signal.SIGTERM)
        assert process.communicate(timeout=10)[0] == "stopped\n"
        assert process.returncode == 5
    with running(tmp_path, f"{TELL}; kill -KILL $$", array=index) as (process, again):
        assert again == index, "it was given back"
        assert process.wait(timeout=10) == 128 + signal.SIGKILL


def test_a_claim_lasts_as_long_as_the_last_process_of_its_task(tmp_path: Path) -> None:
    """A shell dies of a stop at once, while what it started still writes its checkpoint."""
    script = "(trap '' TERM; exec sh -c 'echo $$; exec sleep 60'); :"
    with running(tmp_path, script, array="0") as (process, sleeper):
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(timeout=10) == 128 + signal.SIGTERM
        next_one = start_task("true", **pod(tmp_path, "0"))
        assert next_one.stderr
        assert "no task is free: 1 of 1 run elsewhere" in next_one.stderr.readline()
        os.kill(int(sleeper), signal.SIGKILL)
        assert "this is task 0 of 0" in next_one.stderr.readline()
        assert next_one.wait(timeout=10) == 0
        next_one.communicate()


def test_who_waits_for_a_claim_can_be_stopped(tmp_path: Path) -> None:
    with running(tmp_path, f"{TELL}; sleep 60", array="0"):
        waiting = start_task("true", **pod(tmp_path, "0"))
        assert waiting.stderr
        waiting.stderr.readline()
        began = time.monotonic()
        os.killpg(waiting.pid, signal.SIGTERM)
        waiting.communicate(timeout=10)
        assert waiting.returncode == -signal.SIGTERM
        assert time.monotonic() - began < 1


def test_a_scratch_that_is_full_is_told_and_the_task_has_succeeded(capfd: pytest.CaptureFixture[str]) -> None:
    claims.Claim(7, os.open("/dev/full", os.O_WRONLY)).done()
    assert "WARNING: task 7 is done, but that cannot be kept: No space left on device" in capfd.readouterr().err
