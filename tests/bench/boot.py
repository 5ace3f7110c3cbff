"""How fast a pod boots: run by tests/container/run.sh --bench, in the container of the rig.

Everything is measured in turn, round after round, so that a busy machine slows all of it alike; the table has
medians. The floor is what no boot can do without: a python that starts and ends, then sudo and bash. A pod is warm
when its scratch home is complete. Real pods start in a fresh container, so that is what counts; a container that
boots again is shown beside it.
"""

from __future__ import annotations

import argparse
import itertools
import re
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.container.machine import ENTRY, RIG, UID, USER, mount, unmount
from tests.container.pod import Pod
from tests.container.scratch import Scratch
from tests.container.trees import grow_tree

FILES, SIZE = 1096, 7_100_000  # as oh-my-zsh has
STARTS = ("root", "uid")
FLOOR = ["/opt/mlo/bin/python", "-I", "-S", "-c", ""]
SUDO = ["/usr/bin/sudo", "-n", "-u", USER, "--", "/bin/bash", "-c", "exec /bin/true"]
SUDOERS = "Defaults:root !pam_session, !pam_setcred, !use_pty, !fqdn, umask=0007, umask_override\n"
WHO = {"GIT_USER_NAME": "J. Doe", "GIT_USER_EMAIL": "j@doe", "SSH_KNOWN_HOSTS": "host key"}

_numbers = itertools.count()


@contextmanager
def a_scratch(timeout: float = 1) -> Iterator[Scratch]:
    scratch = Scratch(RIG / str(next(_numbers)), timeout)
    try:
        yield scratch
    finally:
        scratch.close()
        shutil.rmtree(scratch.backing.parent, ignore_errors=True)


@contextmanager
def a_pod(scratch: Scratch, start: str) -> Iterator[Pod]:
    pod = Pod(RIG / str(next(_numbers)), scratch, start)
    pod.mounts = {str(scratch.path): "/mloscratch", str(RIG / "tree"): "/docker/.oh-my-zsh"}
    try:
        yield pod
    finally:
        pod.close()


def seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def boot(pod: Pod) -> float:
    return seconds(lambda: pod.run("/bin/true", env=WHO))


def floor(pod: Pod) -> float:
    """python, then sudo and bash, started by a shell in the same kind of pod, whose own time is taken off."""
    run = " && ".join(" ".join(f"'{word}'" for word in words) for words in (FLOOR, SUDO))
    return seconds(lambda: pod.run("-c", run, entry="/bin/sh")) - seconds(lambda: pod.run("-c", ":", entry="/bin/sh"))


def nothing(pod: Pod) -> float:
    """What the rig itself costs."""
    return seconds(lambda: pod.run(entry="/bin/true"))


def warm(rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {}
    with a_scratch() as scratch, a_pod(scratch, "root") as base:
        base.write("/etc/sudoers.d/bench", SUDOERS, 0o440)
        base.add_user(USER, UID, UID)
        base.add_group(USER, UID)
        with a_pod(scratch, "root") as first:
            boot(first)
        for _ in range(rounds):
            idle = nothing(base)
            times.setdefault("floor: python, sudo, bash", []).append(floor(base))
            for start in STARTS:
                with a_pod(scratch, start) as pod:
                    times.setdefault(f"warm, fresh container, {start}", []).append(boot(pod) - idle)
                    times.setdefault(f"warm, same container, {start}", []).append(boot(pod) - idle)
    return times


def first(rounds: int, milliseconds: float) -> dict[str, list[float]]:
    """The first boot on an empty home, and a serial copy of the same tree to the same export."""
    times: dict[str, list[float]] = {}
    for _ in range(rounds):
        for start in STARTS:
            with a_scratch() as scratch, a_pod(scratch, start) as pod:
                scratch.command(f"delay {milliseconds}")
                times.setdefault(f"first, {milliseconds:g} ms, {start}", []).append(boot(pod))
        with a_scratch() as scratch:
            scratch.make("copy", UID, UID, 0o755)
            scratch.command(f"delay {milliseconds}")
            command = ["cp", "-r", str(RIG / "tree"), str(scratch.path / "copy/tree")]
            copy = seconds(lambda: subprocess.run(command, user=UID, group=UID, extra_groups=[], check=True))  # noqa: B023
            times.setdefault(f"cp -r, {milliseconds:g} ms", []).append(copy)
    return times


def programs(start: str, *, again: bool) -> list[str]:
    """The programs that a boot starts, from the helper to the command."""
    with a_scratch() as scratch, a_pod(scratch, start) as pod:
        if again:
            boot(pod)
        log = pod.path("/trace")
        # strace needs a root of its own to see a setuid program start as one
        command = ["/usr/bin/strace", "-f", "-qq", "-e", "trace=execve", "-o", str(log), "-p"]
        live = pod.start("-c", f"read go; exec {ENTRY} /bin/true", entry="/bin/sh", tty=True, env=WHO)
        tracer = subprocess.Popen([*command, str(live.pid)], stderr=subprocess.PIPE)
        while not Path(f"/proc/{live.pid}/status").read_text().count(f"TracerPid:\t{tracer.pid}"):
            time.sleep(0.005)
        live.type(b"\n")
        live.wait(0)
        tracer.wait(30)
        return re.findall(r'execve\("([^"]+)".* = 0$', log.read_text(), re.M)


def calls(start: str) -> tuple[str, str]:
    """Calls on scratch of a first and of a warm boot, by kind."""
    told = []
    with a_scratch() as scratch:
        for _ in range(2):
            with a_pod(scratch, start) as pod:
                scratch.command("reset")
                boot(pod)
                made = scratch.calls()
                kinds = ", ".join(
                    f"{count} {kind}" for kind, count in sorted(made.by_kind.items(), key=lambda row: -row[1])
                )
                told.append(f"{made.total} ({made.changing} change something): {kinds}")
    return told[0], told[1]


def show(times: dict[str, list[float]], unit: str) -> None:
    base = statistics.median(times[unit])
    for name, values in times.items():
        middle = statistics.median(values)
        spread = statistics.quantiles(values, n=10) if len(values) > 2 else sorted(values)
        print(
            f"{name:<36} {middle * 1000:>9.1f} {spread[0] * 1000:>9.1f} {spread[-1] * 1000:>9.1f} {middle / base:>8.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21, help="boots of each kind (default: 21)")
    parser.add_argument("--first-rounds", type=int, default=3, help="first boots at each delay (default: 3)")
    parser.add_argument(
        "--delays", type=float, nargs="*", default=[0, 1, 5], help="milliseconds an operation on scratch"
    )
    options = parser.parse_args()
    RIG.mkdir(parents=True)
    mount("tmpfs", RIG, "tmpfs", "mode=755,size=4g")
    try:
        grow_tree(RIG / "tree", FILES, SIZE)
        print(f"{'milliseconds':<36} {'median':>9} {'p10':>9} {'p90':>9} {'ratio':>8}")
        show(warm(options.rounds), "floor: python, sudo, bash")
        for delay in options.delays:
            show(first(options.first_rounds, delay), f"cp -r, {delay:g} ms")
        for start in STARTS:
            for again in (False, True):
                started = programs(start, again=again)
                print(f"{len(started)} programs, {start}, {'again' if again else 'first'}: {' '.join(started)}")
            cold, hot = calls(start)
            print(f"calls on scratch, {start}, first: {cold}\ncalls on scratch, {start}, warm:  {hot}")
    finally:
        unmount(RIG)


if __name__ == "__main__":
    main()
