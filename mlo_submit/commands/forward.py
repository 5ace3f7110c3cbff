"""`mlo-submit port-forward`: ports of a job on this machine, for as long as the job runs."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import partial
from types import FrameType

import click

from mlo_submit import process, submission
from mlo_submit.commands import common, values
from mlo_submit.commands.arrival import PERIOD, arrive, index_option, look
from mlo_submit.commands.enter import worker_option
from mlo_submit.commands.manual import Page
from mlo_submit.errors import LoginError, RefusedError, UnavailableError, note
from mlo_submit.terminal import Waiting
from mlo_submit.tunnel import Tunnel
from mlo_submit.workload import Pod, Workload

TICK = 0.1  # seconds
LATE = 2.0  # seconds after which a port that does not answer is told
LOOK = 5.0  # seconds between two looks at the job: kubectl does not notice that a pod is replaced


def _ports(text: str) -> tuple[int, int]:
    local, _, remote = text.partition(":")
    numbers = [int(number) if number.isascii() and number.isdecimal() else 0 for number in (local, remote or local)]
    if text.endswith(":") or not all(0 < number < 65536 for number in numbers):
        raise ValueError("must be LOCAL or LOCAL:REMOTE, with ports from 1 to 65535")
    return numbers[0], numbers[1]


@click.command(
    cls=Page,
    short_help="Reach a port of a job from this machine.",
    examples={
        "A notebook server, and the browser at it": "mlo-submit port-forward --open notebook 8888",
        "Port 80 of the job as 8080 here, and another": "mlo-submit port-forward demo 8080:80 6006",
    },
    see_also=(
        "run",
        "code",
        "docs/managing_workflows.md",
    ),
)
@common.shared_options
@worker_option
@index_option
@click.option("--open", "browse", is_flag=True, help="Open the first port in the browser once the job answers there.")
@click.argument("job", type=values.JOB)
@click.argument("ports", metavar="[LOCAL[:REMOTE]]...", nargs=-1, type=values.Value("ports", _ports))
@click.pass_obj
def command(
    shared: common.Shared,
    job: str,
    rank: int,
    index: int | None,
    browse: bool,
    ports: Sequence[tuple[int, int]],
) -> None:
    """Pass ports of this machine (127.0.0.1) on to ports of a job: 8888, or 8888:80 for port 80 of the job.

    Without a port it is the one that `run --port` named. The address is printed once the job answers there. What breaks
    is connected again, also to a new pod, until the job ends, or you press Ctrl-C: the exit code is 0 for both.
    """
    signal.signal(signal.SIGTERM, _leave)
    try:
        _forward(_Watch(shared, job, rank, index), ports, browse=browse)
    except KeyboardInterrupt:
        click.echo(err=True)  # the terminal showed ^C


def _leave(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


def _forward(watch: _Watch, ports: Sequence[tuple[int, int]], *, browse: bool) -> None:
    began = time.monotonic()
    told: set[str] = set()
    with Waiting() as waiting, ExitStack() as stack:

        def say(text: str) -> None:
            waiting.clear()
            note(text)

        tunnels = [
            Tunnel(watch.reached.machine, watch.reached.jobs, local, remote, say)
            for local, remote in ports or [_submitted(watch.job)]
        ]
        for tunnel in tunnels:
            stack.callback(tunnel.close)
        while True:
            try:
                watch.look(at_once=any(tunnel.broken for tunnel in tunnels))
            except RefusedError as error:  # the job has ended, and so does what it was needed for
                say(error.message)
                return
            if isinstance(watch.found, Pod):
                for tunnel in tunnels:
                    tunnel.tend(watch.job, watch.found)
            for tunnel in tunnels:
                if tunnel.open and tunnel.url not in told:
                    waiting.clear()
                    click.echo(tunnel.url)
                    if browse and not told and not process.browse(tunnel.url):
                        say("There is no browser here: open the address yourself.")
                    told.add(tunnel.url)
            shut = [tunnel for tunnel in tunnels if not tunnel.open]
            if isinstance(watch.found, str):
                waiting.tell(watch.found)
            elif not shut:
                waiting.clear()
            elif time.monotonic() - began > LATE:
                numbers = ", ".join(str(tunnel.remote) for tunnel in shut)
                waiting.tell(f"Nothing answers at port {numbers} of {watch.job.title}: {shut[0].reason or 'not yet'}")
            time.sleep(TICK)


class _Watch:
    """A job and what is found of it: its pod, or what it waits for. Asked again every LOOK seconds."""

    def __init__(self, shared: common.Shared, name: str, rank: int, index: int | None) -> None:
        self._shared = shared
        self._rank = rank
        self.reached = common.reach(shared)
        self.found: Pod | str
        self.job, self.found = arrive(self.reached.jobs, name, rank, partial(common.line, shared), index)
        self._due = time.monotonic() + LOOK

    def look(self, *, at_once: bool) -> None:
        """Ask if it is time. A cluster that does not answer leaves all as it was, as far as we know.

        Raises:
            RefusedError: the job has ended.
        """
        if time.monotonic() < self._due and not at_once:
            return
        with suppress(UnavailableError):
            try:
                self.job = self.reached.jobs.find(self.job.name, self.job.index)
            except LoginError:  # it may have expired since, and reaching renews it
                self.reached = common.reach(self._shared)
                self.job = self.reached.jobs.find(self.job.name, self.job.index)
            self.found = look(self.job, self._rank, partial(common.line, self._shared))
        self._due = time.monotonic() + (LOOK if isinstance(self.found, Pod) else PERIOD)


def _submitted(job: Workload) -> tuple[int, int]:
    """The port of the job's submission, here and there."""
    port = submission.decode(job.submission).port if job.submission else None
    if port is None:
        raise click.UsageError(f"{job.name} was launched without --port: name the port to reach.")
    return port, port
