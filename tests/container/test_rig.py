"""The rig itself: a pod is what an engine would start."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.container.conftest import MakePod
from tests.container.machine import GID, UID, until
from tests.container.pod import Pod


def test_a_pod_is_what_an_engine_starts(pod: Pod, start: str) -> None:
    """PID 1 of its own namespace, with Docker's default capabilities, and with nothing of the rig in sight."""
    pod.groups = [5000, 5001]
    script = """
        echo "pid $$"; id -u; id -G; umask; ulimit -Sn
        grep -E '^(CapPrm|CapBnd|NoNewPrivs)' /proc/self/status
        ls /opt/test /mloscratch; hostname; set -- /proc/[0-9]*; echo $#
        cut -d' ' -f2 /proc/mounts | grep -c /rig
        trap 'exit 7' TERM; kill -TERM $$
    """
    pod.options += ["--limit", "7=900:1000"]
    result = pod.run("-c", script, entry="/bin/sh", code=7)
    uid, gid = (0, 0) if start == "root" else (UID, GID)
    assert result.text.split("\n")[:4] == ["pid 1", str(uid), f"{gid} 5000 5001", "0022"]
    assert "900\nCapPrm:\t" + ("00000000a80425fb" if uid == 0 else "0" * 16) in result.text
    assert "CapBnd:\t00000000a80425fb\nNoNewPrivs:\t0" in result.text
    assert result.text.endswith("/mloscratch:\nhomes\n\n/opt/test:\npod\n1\n0\n")


def test_environment_and_argv_are_exact(pod: Pod) -> None:
    """The bytes of the test reach the program: odd names, no '=', twice the same, 100 kB, no UTF-8."""
    raw = [b"a.b-c=1", b"noequals", b"X=1", b"X=2", b"BIG=" + b"x" * 100_000, b"L=\n\xff'\"", b"=x"]
    result = pod.run("/proc/self/environ", entry="/bin/cat", raw_env=raw)
    assert result.out.endswith(b"".join(variable + b"\0" for variable in raw))
    result = pod.run("%s\\0", b"a\n\xff", "", "$X", entry="/usr/bin/printf")
    assert result.out == b"a\n\xff\0\0$X\0"


def test_a_terminal_is_the_pods_own(pod: Pod) -> None:
    """A terminal is one that the program can name and that controls it; what is typed reaches it."""
    live = pod.start("-c", "tty; read line </dev/tty; echo got $line", entry="/bin/sh", tty=True)
    live.stdout.wait_for(b"/dev/pts/")
    live.type(b"hello\n")
    assert b"got hello" in live.wait(0).out


def test_exec_joins_a_pod(make_pod: MakePod) -> None:
    """A session sees the pod's processes and files, as the user that it names, with the pod's variables."""
    live = make_pod("root").start("-c", "touch /mark; echo up; read x", entry="/bin/sh", stdin=None, tty=True)
    live.stdout.wait_for(b"up")
    script = "id -u; ls /mark; tr '\\0' ' ' </proc/1/cmdline; echo $NB_USER"
    result = live.exec("/bin/sh", "-c", script, user=(77, 78)).wait(0)
    assert result.text.startswith("77\n/mark\n/bin/sh -c touch")
    assert result.text.endswith("jdoe\n")
    assert len(live.processes()) == 1


def test_roots_are_copies_that_last(make_pod: MakePod) -> None:
    """What a boot changes is seen by the next boot of this pod, and by no other pod."""
    one, two = make_pod("root"), make_pod("root")
    one.run("-c", "echo x >/etc/mark", entry="/bin/sh")
    assert one.read("/etc/mark") == "x\n"
    one.run("-c", "test -e /etc/mark", entry="/bin/sh")
    two.run("-c", "test ! -e /etc/mark", entry="/bin/sh")
    assert not Path("/etc/mark").exists()


def test_killing_a_pod_leaves_nothing(make_pod: MakePod) -> None:
    """A pod that is killed takes its processes along."""
    live = make_pod("root").start("-c", "sleep 1000 & echo up; wait", entry="/bin/sh")
    live.stdout.wait_for(b"up")
    pids = list(live.processes())
    assert len(pids) == 2
    live.kill()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "the pod's processes to end")


def test_an_alarm_that_nobody_expects_fails(make_pod: MakePod) -> None:
    """A WARNING on stderr is a failure, unless the test names it; and one that it names has to come."""
    pod = make_pod("root")
    warn = ("-c", "echo '[mlo] WARNING: the moon' >&2")
    pod.run(*warn, entry="/bin/sh", expect=["WARNING: the moon"])
    with pytest.raises(AssertionError, match="unexpected"):
        pod.run(*warn, entry="/bin/sh")
    with pytest.raises(AssertionError, match="no alarm"):
        pod.run("-c", "true", entry="/bin/sh", expect=["WARNING"])
