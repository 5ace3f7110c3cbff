"""A port of a pod at a port of this machine, kept open: the program that passes it on is started again when it ends.

kubectl ends where a connection is refused in the pod; our own relay, for Docker, says so and goes on.
"""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Callable
from subprocess import Popen, TimeoutExpired
from typing import IO

from mlo_submit import process
from mlo_submit.backends import Jobs
from mlo_submit.errors import RefusedError
from mlo_submit.machine import Machine
from mlo_submit.workload import Pod, Workload

HOST = "127.0.0.1"
PATIENCE = 1.5  # seconds after which a connection that was not closed again is one to the pod
PAUSES = (0.2, 2.0)  # seconds between two tries, the first and the longest
END = 3.0  # seconds that the program may take to end


class Tunnel:
    """`local` is the port of this machine, the next free one where it is taken; `open` that the pod answers there.

    `reason` is what the program said last of why it is not.
    """

    def __init__(self, machine: Machine, jobs: Jobs, local: int, remote: int, say: Callable[[str], None]) -> None:
        self.local = local
        self.remote = remote
        self.open = False
        self.reason = ""
        self._machine = machine
        self._jobs = jobs
        self._say = say
        self._program: Popen[bytes] | None = None
        self._messages: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # for all its programs
        self._heard = 0  # bytes of them
        self._pod = ""
        self._pause = PAUSES[0]
        self._due = 0.0

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        return f"http://{HOST}:{self.local}"

    @property
    def broken(self) -> bool:
        """Whether the program has ended, which may be because the pod did."""
        return self._program is not None and self._program.poll() is not None

    def tend(self, job: Workload, pod: Pod) -> None:
        """See that the program runs, and whether the pod answers; to be called again and again."""
        if self._program and (self.broken or pod.name != self._pod):
            self._lose(pod)
        if not self._program:
            if time.monotonic() >= self._due:
                self._start(job, pod)
        elif self._has_news() if self.open else time.monotonic() >= self._due:
            self._try()

    def close(self) -> None:
        """End the program."""
        if self._program:
            self._program.terminate()
            try:
                self._program.wait(END)
            except TimeoutExpired:
                self._program.kill()
                self._program.wait()
        self._program = None
        self.open = False

    def _start(self, job: Workload, pod: Pod) -> None:
        wanted = self.local
        self.local = free(wanted)
        if self.local != wanted:
            self._say(f"Port {wanted} of this machine is taken: using {self.local}.")
        self._messages.seek(0)  # where the program writes, too
        self._messages.truncate()
        self._heard = 0
        argv = self._jobs.forward(job, pod, self.local, self.remote)
        self._program = process.start(self._machine, argv, stderr=self._messages)
        self._pod = pod.name

    def _has_news(self) -> bool:
        """Whether the program has said something since the last time."""
        before, self._heard = self._heard, os.fstat(self._messages.fileno()).st_size
        return self._heard > before

    def _try(self) -> None:
        if answers(self.local):
            self.open = True
            self._pause = PAUSES[0]
        else:
            self._shut()

    def _lose(self, pod: Pod) -> None:
        if self.open and pod.name != self._pod:
            self._say(f"The pod {self._pod} was replaced: connecting port {self.remote} to {pod.name}.")
            self.open = False
        self._shut()
        self.close()

    def _shut(self) -> None:
        """It is not open, or no longer: say so, and try again later."""
        said = os.pread(self._messages.fileno(), 65536, 0).decode(errors="replace").split("\n")
        self.reason = next((line for line in reversed(said) if line), "").removeprefix("error: ")
        if self.open:
            why = self.reason or "no reason given"
            self._say(f"The connection to port {self.remote} broke ({why}): connecting again.")
        self.open = False
        self._due = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, PAUSES[1])


def free(port: int) -> int:
    """The port, or the next one that can be had on this machine.

    Raises:
        RefusedError: there is none.
    """
    for number in range(port, 65536):
        if _bindable(number):
            return number
    raise RefusedError(f"no port of this machine from {port} on is free: choose another as LOCAL:REMOTE.")


def _bindable(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that ended do not count
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def answers(port: int) -> bool:
    """Whether somebody in the pod takes a connection: our program takes it first, and closes it if nobody does."""
    try:
        with socket.create_connection((HOST, port), timeout=PATIENCE) as connection:
            try:
                return connection.recv(1) != b""
            except TimeoutError:
                return True
    except OSError:
        return False
