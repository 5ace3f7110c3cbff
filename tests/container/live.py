"""Running programs in a pod, and how they ended.

Every `Result` is checked: a WARNING, an ERROR or a traceback that the test does not expect fails it.
"""

from __future__ import annotations

import array
import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.container.machine import BIN, TIMEOUT, USER, Text, encode

if TYPE_CHECKING:
    from tests.container.pod import Pod

ALARM = re.compile(rb"WARNING|ERROR|Traceback|^bootns: ")
DEFECT = re.compile(rb"Traceback|defect|^bootns: ")
ANY = None  # as `expect`: whatever it warns of


@dataclass(frozen=True)
class Result:
    """How a program in a pod ended, and what it wrote."""

    code: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        return self.out.decode(errors="replace")

    @property
    def log(self) -> list[str]:
        """The lines of the boot."""
        return [line for line in self.err.decode(errors="replace").splitlines() if line.startswith("[mlo] ")]

    def check(self, code: int | None, expect: Iterable[str] | None) -> Result:
        """Fail on another exit code, on an alarm that nobody expects, and on an expected one that lacks."""
        alarms = [line for line in self.err.splitlines() if ALARM.search(line)]
        if expect is ANY:
            alarms = [alarm for alarm in alarms if DEFECT.search(alarm)]
        wanted = [re.compile(pattern.encode()) for pattern in expect or ()]
        err = self.err.decode(errors="replace")
        report = f"exit code {self.code}\n--- stdout\n{self.text[-4000:]}\n--- stderr\n{err[-8000:]}"
        assert code is None or self.code == code, f"wanted exit code {code}, got {report}"
        unexpected = [alarm for alarm in alarms if not any(pattern.search(alarm) for pattern in wanted)]
        assert not unexpected, f"unexpected: {unexpected}\n{report}"
        for pattern in wanted:
            assert any(map(pattern.search, alarms)), f"no alarm has {pattern.pattern!r}\n{report}"
        return self


class Stream:
    """What comes out of a descriptor, gathered as it comes."""

    def __init__(self, fd: int) -> None:
        self.data = b""
        self._news = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._read, args=(fd,), daemon=True)
        self._thread.start()

    def _read(self, fd: int) -> None:
        with contextlib.suppress(OSError):  # EIO: the terminal's last process is gone
            while data := os.read(fd, 65536):
                with self._news:
                    self.data += data
                    self._news.notify_all()
        os.close(fd)
        with self._news:
            self._ended = True
            self._news.notify_all()

    def wait_for(self, text: bytes, timeout: float = TIMEOUT) -> bytes:
        """All that has come so far, as soon as `text` is in it."""
        with self._news:
            self._news.wait_for(lambda: text in self.data or self._ended, timeout)
            assert text in self.data, f"{text!r} did not come: {self.data[-4000:]!r}"
            return self.data

    def end(self, timeout: float = TIMEOUT) -> bytes:
        self._thread.join(timeout)
        assert not self._thread.is_alive(), f"the stream did not end: {self.data[-4000:]!r}"
        return self.data


class Live:
    """A running program in a pod: its boot, or an exec session."""

    def __init__(
        self,
        pod: Pod,
        options: list[str],
        argv: Iterable[Text],
        env: Iterable[bytes],
        tty: bool,
        stdin: bytes | None,
    ) -> None:
        self._pod = pod
        self._terminal = -1
        variables = os.memfd_create("env", 0)
        os.write(variables, b"".join(variable + b"\0" for variable in env))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            command = [str(BIN / "bootns"), *options, "--env-fd", str(variables), "--socket", str(theirs.fileno())]
            self._process = subprocess.Popen(
                [*command, *(["--tty"] if tty else []), "--", *argv],
                stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(variables, theirs.fileno()),
            )
            os.close(variables)
            theirs.close()
            assert self._process.stdout
            assert self._process.stderr
            self.stdout = Stream(os.dup(self._process.stdout.fileno()))
            self.stderr = Stream(os.dup(self._process.stderr.fileno()))
            self._process.stdout.close()
            self._process.stderr.close()
            ours.settimeout(TIMEOUT)
            self.pid = 0
            for _ in range(1 + tty):
                packet, control, _, _ = ours.recvmsg(64, socket.CMSG_SPACE(4))
                if control:
                    self._terminal = array.array("i", control[0][2])[0]
                    self.stdout = Stream(os.dup(self._terminal))
                elif packet:
                    self.pid = int(packet)
        if self._process.stdin:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(stdin or b"")
                self._process.stdin.close()

    def signal(self, number: int) -> None:
        """What `docker kill` does: a signal to the program, from outside."""
        os.kill(self.pid, number)

    def type(self, text: bytes) -> None:
        os.write(self._terminal, text)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait(self, code: int | None = None, expect: Iterable[str] | None = (), timeout: float = TIMEOUT) -> Result:
        ended = os.pidfd_open(self._process.pid)  # Popen.wait(timeout) sleeps between looks, up to 50 ms
        in_time, _, _ = select.select([ended], [], [], timeout)
        os.close(ended)
        if not in_time:
            self.kill()
            seen = f"{self.stdout.data!r} {self.stderr.data!r}"
            raise AssertionError(f"still running after {timeout} s: {seen}")
        self._close_terminal()
        return Result(self._process.wait(), self.stdout.end(), self.stderr.end()).check(code, expect)

    def kill(self) -> None:
        """The end that nothing survives and nobody can see coming, as when a node fails."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._process.wait()
        self._close_terminal()

    def _close_terminal(self) -> None:
        if self._terminal >= 0:
            os.close(self._terminal)
            self._terminal = -1

    def processes(self) -> dict[int, list[bytes]]:
        """argv of the processes in the pod, by PID as this container sees it."""
        namespace = os.readlink(f"/proc/{self.pid}/ns/pid")
        found = {}
        for entry in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{entry}/ns/pid") == namespace:
                    found[int(entry)] = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")[:-1]
        return found

    def exec(
        self,
        *argv: Text,
        user: str | tuple[int, int] = USER,
        env: Mapping[str, Text] | None = None,
        tty: bool = False,
        stdin: bytes | None = None,
    ) -> Live:
        """`docker exec --user`: another process in the pod, with the environment that the pod was given."""
        uid, gid, groups, home = self._pod.identity(user)
        options = ["--join", str(self.pid), "--uid", str(uid), "--gid", str(gid)]
        options += [word for group in groups for word in ("--group", str(group))]
        environ = self._pod.environ | {b"HOME": home.encode()} | encode(env or {})
        environ |= {b"TERM": b"xterm"} if tty else {}
        return Live(self._pod, options, argv, [k + b"=" + v for k, v in environ.items()], tty, stdin)
