"""PID 1: exit codes, signals, orphans, the terminal, and how the end of a job is told."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.container.conftest import MakePod
from tests.container.live import Live
from tests.container.machine import MS_BIND, MS_REMOUNT, mount, until
from tests.container.pod import Pod
from tests.container.scratch import Scratch

CHECKPOINT = """
import os, signal, sys, time
def stop(number, frame):
    os.write(1, b"stopping\\n")
    time.sleep(0.5)
    os.write(1, b"checkpoint written\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
os.write(1, b"up\\n")
while True:
    time.sleep(0.05)  # short: a signal just before a sleep does not end it
"""
COUNT = """
import os, signal, sys, time

CACHE_SECONDS = 1
child = os.fork() or os.fork()
got = []
signal.signal(signal.SIGTERM, lambda *_: got.append(1))
os.write(1, b"up\\n")
end = time.monotonic() + 20
while not got and time.monotonic() < end:
    time.sleep(0.01)
time.sleep(0.3)
os.write(1, b"got %d\\n" % len(got))
"""


@pytest.mark.parametrize("code", [0, 1, 2, 77, 126, 127, 128, 255])
def test_exit_codes_pass(make_pod: MakePod, code: int) -> None:
    """As the command gave them."""
    make_pod("uid").run("/bin/sh", "-c", f"exit {code}", code=code)


@pytest.mark.parametrize("name", ["TERM", "KILL", "SEGV", "INT", "HUP", "ABRT", "PIPE", "USR1"])
def test_a_command_that_a_signal_ends(make_pod: MakePod, name: str) -> None:
    """128 + n, and a line that says so."""
    number = getattr(signal, f"SIG{name}")
    result = make_pod("uid").run("/bin/sh", "-c", f"kill -{name} $$", code=128 + number)
    assert any(f"signal {int(number)}" in line for line in result.log)


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "USR1", "USR2", "QUIT", "WINCH", "CONT", "RTMIN"])
def test_signals_reach_the_command(make_pod: MakePod, name: str) -> None:
    """Every one that an engine may send."""
    number = int(getattr(signal, f"SIG{name}"))
    wait = f"signal.pthread_sigmask(0, [{number}]); print('up', flush=True); got = signal.sigwait([{number}])"
    code = f"import signal; {wait}; print('got', int(got))"
    live = make_pod("uid").start("/usr/bin/python3", "-c", code)
    live.stdout.wait_for(b"up")
    live.signal(number)
    assert f"got {number}\n".encode() in live.wait(0).out


def test_each_process_gets_a_stop_once(pod: Pod) -> None:
    """A trainer and its workers: one TERM each, not two."""
    live = pod.start("/usr/bin/python3", "-c", COUNT)
    until(lambda: live.stdout.data.count(b"up") == 3, "three processes")
    live.signal(signal.SIGTERM)
    result = live.wait(0)
    assert result.out.count(b"got 1\n") == 3
    assert result.out.count(b"got") == 3


@pytest.mark.parametrize("shell", ["zsh", "bash", "sh"])
def test_a_checkpoint_is_waited_for(pod: Pod, shell: str) -> None:
    """`zsh -c 'a && python train.py'`: the shell dies of TERM at once, python is given the time that it takes."""
    pod.write("/tmp/train.py", CHECKPOINT)
    live = pod.start(f"/bin/{shell}", "-c", "true && python3 /tmp/train.py; echo ended")
    live.stdout.wait_for(b"up")
    live.signal(signal.SIGTERM)
    assert b"stopping\ncheckpoint written\n" in live.wait().out


def test_a_checkpoint_of_the_command_itself(pod: Pod) -> None:
    """And the exit code is the command's own."""
    live = pod.start("/usr/bin/python3", "-c", CHECKPOINT)
    live.stdout.wait_for(b"up")
    live.signal(signal.SIGTERM)
    assert live.wait(0).out.endswith(b"checkpoint written\n")


def test_a_second_stop_is_passed_on_too(pod: Pod) -> None:
    """An impatient user."""
    code = "import signal\nfor n in 1, 2:\n print('up', n, flush=True); signal.sigwait([15])"
    live = pod.start("/usr/bin/python3", "-c", "import signal; signal.pthread_sigmask(0, [15])\n" + code)
    for number in (1, 2):
        live.stdout.wait_for(f"up {number}".encode())
        live.signal(signal.SIGTERM)
    live.wait(0)


def test_a_time_limit(pod: Pod) -> None:
    """What is left of it by its watcher: 143, whatever the job makes of it. A second TERM, of a cluster that ends all
    ranks when the first is over, does not come in the middle of a checkpoint."""
    pod.write("/tmp/train.py", CHECKPOINT)
    live = pod.start("/bin/sh", "-c", 'sudo -n sh -c ">/run/mlo/over"; exec python3 /tmp/train.py')
    live.stdout.wait_for(b"up")
    live.signal(signal.SIGTERM)
    live.stdout.wait_for(b"stopping")
    live.signal(signal.SIGTERM)
    result = live.wait(143)
    assert result.out.endswith(b"up\nstopping\ncheckpoint written\n")
    assert result.log[-1].endswith("the job ended with exit code 0; its time limit was over")


def test_the_container_ends_with_the_command(pod: Pod) -> None:
    """What it leaves in the background, in its group or not, does not hold it."""
    began = time.monotonic()
    assert pod.script("sleep 100 & setsid sleep 100 & echo done").text == "done\n"
    assert time.monotonic() - began < 5


def test_orphans_are_reaped(pod: Pod) -> None:
    """Many of them, while the command runs: no zombie stays."""
    script = 'for i in $(seq 50); do (sh -c "exit 3" & ) ; done; echo forked; read x'
    live = pod.start("/bin/sh", "-c", script, tty=True)
    live.stdout.wait_for(b"forked")
    until(lambda: len(live.processes()) == 2, "the orphans to be gone")
    live.type(b"\n")
    live.wait(0)


def test_an_orphan_is_not_the_command(pod: Pod) -> None:
    """An orphan's end, also by a signal, is not the job's."""
    assert pod.script("(sh -c 'kill -9 $$' &); sleep 0.2; echo still; exit 4", code=4).text == "still\n"


def test_a_stopped_command_goes_on(pod: Pod) -> None:
    """SIGSTOP and SIGCONT of the command are no end of it."""
    assert pod.script("(sleep 0.1; kill -CONT $$) & kill -STOP $$; echo on").text == "on\n"


def foreground(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().split()[7]


def test_the_job_has_the_terminal(pod: Pod) -> None:
    """Ctrl-C reaches the foreground job, job control works, and the window's size is known."""
    live = pod.start("/bin/bash", "-i", tty=True)

    def in_front(number: int) -> bool:
        found = [pid for pid, argv in live.processes().items() if argv == [b"sleep", str(number).encode()]]
        return bool(found) and Path(f"/proc/{found[0]}/stat").read_text().split()[4] == foreground(found[0])

    live.type(b"sleep 100\n")
    until(lambda: in_front(100), "the sleep to be in front")
    live.type(b"\x03")
    live.type(b"echo code $?\n")
    live.stdout.wait_for(b"code 130")
    live.type(b"sleep 101 &\njobs\nfg\n")
    until(lambda: in_front(101), "the sleep to be in front")
    live.type(b"\x1a")
    live.stdout.wait_for(b"Stopped")
    live.type(b"kill -9 %1\nexit 8\nexit 8\n")
    assert b"no job control" not in live.wait(8).out


def test_ctrl_c_ends_a_plain_command(pod: Pod) -> None:
    """130, as a shell would say."""
    live = pod.start("/bin/sh", "-c", "echo up; exec sleep 100", tty=True)
    live.stdout.wait_for(b"up")
    live.type(b"\x03")
    live.wait(130)


def test_a_terminal_that_hangs_up(pod: Pod) -> None:
    """A window that is closed ends an interactive shell, and the container with it."""
    live = pod.start("/bin/bash", "-c", "echo up; read x; exit 3", tty=True)
    live.stdout.wait_for(b"up")
    live.signal(signal.SIGHUP)
    live.wait(129)


def stop_during_boot(live: Live) -> None:
    began = time.monotonic()
    live.signal(signal.SIGTERM)
    result = live.wait(143, timeout=10)
    assert time.monotonic() - began < 1
    assert b"ran" not in result.out


@pytest.mark.parametrize("operations", [0, 1, 3, 8])
def test_a_stop_during_the_boot_ends_it(pod: Pod, scratch: Scratch, operations: int) -> None:
    """At once, also while scratch does not answer; the command is not started."""
    scratch.command(f"hold {operations}")
    live = pod.start("/bin/echo", "ran")
    until(lambda: scratch.calls().changing > operations, "the boot to be held")
    stop_during_boot(live)


def test_a_stop_at_any_time_ends_it(make_pod: MakePod, start: str) -> None:
    """From python's first moment on, swept over the boot's time: the container never lives on."""
    pod = make_pod(start)
    pod.run("/bin/true")
    for step in range(25):
        live = pod.start("/bin/sleep", "20")
        cmdline = Path(f"/proc/{live.pid}/cmdline")
        until(lambda: cmdline.read_bytes().startswith(b"/opt/mlo"), "python to be PID 1")  # noqa: B023
        time.sleep(step * 0.002)
        live.signal(signal.SIGTERM)
        live.wait(143, timeout=10)


def test_a_stop_during_a_hook_ends_it(pod: Pod) -> None:
    """A hook that takes long."""
    pod.write("/etc/mlo/boot.d/10", "#!/bin/sh\ntouch /tmp/hook\nexec sleep 100\n", 0o755)
    live = pod.start("/bin/echo", "ran")
    until(pod.path("/tmp/hook").exists, "the hook")
    stop_during_boot(live)


def test_a_stop_without_an_account(pod: Pod) -> None:
    """PID 1 is the same where the required variables are missing."""
    live = pod.start("/usr/bin/python3", "-c", CHECKPOINT, env={"NB_USER": None})
    live.stdout.wait_for(b"up")
    live.signal(signal.SIGTERM)
    assert live.wait(0, expect=["WARNING"]).out.endswith(b"checkpoint written\n")


def test_the_end_is_told(pod: Pod) -> None:
    """In one line, and in /dev/termination-log where the runtime has put one."""
    log = pod.directory / "termination-log"
    log.touch()
    pod.mounts[str(log)] = "/dev/termination-log"
    result = pod.run("/bin/sh", "-c", "kill -9 $$", code=137)
    assert any("ended by signal 9" in line for line in result.log)
    assert "ended by signal 9" in log.read_text()
    pod.run("/bin/sh", "-c", "exit 3", code=3)
    assert "exit code 3" in log.read_text()


@pytest.fixture
def memory_cgroup() -> Iterator[Path]:
    """A memory cgroup of 64 MiB."""
    v1 = Path("/sys/fs/cgroup/memory")
    top = v1 if v1.is_dir() else Path("/sys/fs/cgroup")
    mount("", top, "", flags=MS_REMOUNT | MS_BIND)  # an engine mounts it read-only
    group = top / f"mlo-test-{os.getpid()}-{time.monotonic_ns()}"
    try:
        group.mkdir()
        (group / ("memory.limit_in_bytes" if top == v1 else "memory.max")).write_text(str(64 << 20))
    except OSError as error:
        pytest.skip(f"no memory cgroup can be made here: {error}")
    yield group
    until(lambda: not (group / "cgroup.procs").read_text(), "the cgroup to be empty")
    group.rmdir()


@pytest.mark.parametrize("victim", ["command", "worker"])
def test_an_oom_kill_is_named(pod: Pod, memory_cgroup: Path, victim: str) -> None:
    """With the limit: the command itself, or a process of it. The exit code is the same for both."""
    pod.options += ["--cgroup", str(memory_cgroup)]
    pod.mounts[str(memory_cgroup)] = (
        "/sys/fs/cgroup/memory" if Path("/sys/fs/cgroup/memory").is_dir() else "/sys/fs/cgroup"
    )
    eat = ("/usr/bin/python3", "-c", "x = bytearray(200 << 20)")
    if victim == "command":
        result = pod.run(*eat, code=137)
        assert any("signal 9" in line and "out of memory" in line and "64 MiB" in line for line in result.log)
    else:
        result = pod.run("/bin/sh", "-c", '"$@"; exit 5', "sh", *eat, code=137)
        assert any("exit code 5" in line and "out of memory" in line for line in result.log)


def test_another_init_as_root(make_pod: MakePod) -> None:
    """Under `docker --init`: a root start boots as a child, and its exit code and signals pass."""
    pod = make_pod("root")
    pod.run("-c", "/usr/local/bin/mlo-entry sh -c 'id -u; exit 3'; exit $?", entry="/bin/sh", code=3)
    live = pod.start("-c", "/usr/local/bin/mlo-entry sleep 100 & trap 'kill $!' TERM; wait; wait $!", entry="/bin/sh")
    live.stderr.wait_for(b"ready")
    live.signal(signal.SIGTERM)
    live.wait(143)


def test_another_init_as_a_bare_uid(make_pod: MakePod) -> None:
    """It cannot, and says why: 71."""
    pod = make_pod("uid")
    pod.run("-c", "/usr/local/bin/mlo-entry id; exit $?", entry="/bin/sh", code=71, expect=["ERROR.*PID 1"])
