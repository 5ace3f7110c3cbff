"""`mlo-task` in pods that nobody tells which task of an array they are, on an export where root is nobody."""

from __future__ import annotations

import signal

from tests.container.conftest import MakePod
from tests.container.machine import GID, UID, USER
from tests.container.scratch import Scratch
from tests.container.test_scratch import facts

CACHE_SECONDS = 1
ARRAY = {"MLO_ARRAY": "7-8", "MLO_ARRAY_ID": "x-1"}
TELL = "echo task $MLO_ARRAY_INDEX of $SLURM_ARRAY_TASK_COUNT"
CHECKPOINT = """
import os, signal, time
signal.signal(signal.SIGTERM, lambda *_: os.write(1, b"stopping\\n"))
os.write(1, b"up\\n")
while not os.path.exists("go"):
    time.sleep(0.05)
"""


def test_pods_share_the_tasks_out(make_pod: MakePod, scratch: Scratch) -> None:
    """As the user, whoever they start as; what a pod that was killed leaves, the next one has."""
    first = make_pod("uid").start("mlo-task", "sh", "-c", f"{TELL}; exec sleep 60", env=ARRAY)
    first.stdout.wait_for(b"task 7 of 2\n")
    other = make_pod("root").run("mlo-task", "sh", "-c", TELL, env=ARRAY)
    assert other.text == "task 8 of 2\n"
    assert "[mlo] this is task 8 of 7-8" in other.log
    late = make_pod("uid").start("mlo-task", "sh", "-c", TELL, env=ARRAY)
    late.stderr.wait_for(b"no task is free: 1 of 2 run elsewhere")
    first.kill()
    assert late.wait(0).text == "task 7 of 2\n"
    claims = scratch.backing / f"homes/{USER}/.mlo/arrays/x-1"
    assert {facts(claim) for claim in claims.iterdir()} == {(UID, GID, "0o660")}
    assert "nothing is left to do" in make_pod("uid").run("mlo-task", "false", env=ARRAY).log[-2]


def test_a_stopped_task_is_free_when_its_last_process_has_ended(make_pod: MakePod, scratch: Scratch) -> None:
    """The shell dies of the stop at once; its child still writes a checkpoint."""
    env = {**ARRAY, "MLO_ARRAY": "0"}
    stopped = make_pod("uid").start("mlo-task", "zsh", "-c", f"python3 -c '{CHECKPOINT}' && true", env=env)
    stopped.stdout.wait_for(b"up\n")
    stopped.signal(signal.SIGTERM)
    stopped.stdout.wait_for(b"stopping\n")
    late = make_pod("uid").start("mlo-task", "sh", "-c", TELL, env=env)
    late.stderr.wait_for(b"no task is free: 1 of 1 run elsewhere")
    assert late.stdout.data == b""
    (scratch.backing / f"homes/{USER}/go").touch()
    assert stopped.wait(128 + signal.SIGTERM)
    assert late.wait(0).text == "task 0 of 1\n"
