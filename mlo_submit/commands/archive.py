"""`mlo-submit archive`: copy from scratch to the long-term store, verify, and only then move; or copy back."""

from __future__ import annotations

import sys

import click

from mlo_submit import archive, ssh, units
from mlo_submit.commands import common
from mlo_submit.commands.manual import Page
from mlo_submit.errors import MloError, RefusedError, UnavailableError, note, warn
from mlo_submit.terminal import Waiting

NEEDED = frozenset({"ARCHIVE_HOST", "ARCHIVE_ROOT", "SCRATCH_HOST_ROOT"})
SHOWN = 10  # differences
VANISHED = 24  # rsync's exit code: files went away while it copied


@click.command(
    cls=Page,
    short_help="Copy a directory of scratch to the long-term store, or back.",
    examples={
        "Copy two directories, and compare the checksums": "mlo-submit archive run1 run2",
        "The same, and free the scratch": "mlo-submit archive --move run1",
        "Bring one back": "mlo-submit archive --restore run1",
    },
    see_also=(
        "init",
        "docs/managing_workflows.md",
    ),
)
@common.shared_options
@click.option("--restore", is_flag=True, help="Copy back to scratch; what is newer there stays.")
@click.option("--move", is_flag=True, help="Remove from scratch what was copied and verified.")
@click.option("--checksum", is_flag=True, help="Copy what differs in content, though size and time are the same.")
@click.option("--dry-run", is_flag=True, help="Only list what would be copied.")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.pass_obj
def command(
    shared: common.Shared, /, paths: tuple[str, ...], restore: bool, move: bool, checksum: bool, dry_run: bool
) -> None:
    """Copy files and directories of your scratch home to the long-term store, and compare the checksums.

    PATH is a pod's path (/mloscratch/homes/jdoe/run1) or relative to your home on scratch (run1), and gets the same
    place below ARCHIVE_ROOT/USER. rsync runs on ARCHIVE_HOST, where both are mounted. When it is broken off, the same
    command goes on where it stopped. Nothing is deleted without --move.
    """
    from mlo_submit import env

    if move and restore:
        raise click.UsageError("--move and --restore exclude each other: the long-term store keeps its copy.")
    config = env.configure(common.read(shared), shared.machine, NEEDED)
    try:
        way = archive.route(config, paths, restore=restore)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    if move and "./" in way.paths:
        raise click.UsageError("your home itself cannot be moved away: name what is in it.")
    try:
        with ssh.login(shared.machine, config.archive_host) as host:
            _survey(host, way, make=not dry_run)
            if dry_run:
                _check(host.stream(archive.preview(way, checksum=checksum)))
                return
            moment = _ask(host, archive.clock(way)).strip() if move else ""
            note(f"On {config.archive_host}: {way.source} → {way.target}")
            copy = archive.copy(way, checksum=checksum, progress=sys.stderr.isatty())
            _check(host.stream(copy, to_stderr=True))
            found = _verify(host, way)
            copied = f"{found.files} files, {units.size(found.size)}"
            note(f"Verified by checksum: {copied}, in {config.archive_host}:{way.target}.")
            if move:
                left = int(_ask(host, archive.remove(way, moment)))
                note(f"Removed from scratch: {', '.join(path[2:] for path in way.paths)}.")
                if left:
                    warn(f"{left} files stay on scratch: they changed, or came, after the copy began. Move them again.")
    except KeyboardInterrupt:
        note("\nStopped; what was copied stays. The same command goes on from there.")
        raise


def _survey(host: ssh.Host, way: archive.Route, *, make: bool) -> None:
    """See that everything is where it should be, and make the user's directory in the store."""
    result = host.run(archive.survey(way, make=make))
    if result.code == 3:
        raise RefusedError(
            f"there is no {result.stdout.strip()} on that host: see ARCHIVE_ROOT and SCRATCH_HOST_ROOT in .env."
        )
    _check(result.code, result.stderr)
    for path, state in zip(archive.above(way.paths), result.stdout.split(), strict=True):
        if state == "missing":
            raise RefusedError(
                f"there is no {way.source}/{path[2:]} on that host. PATH is a pod's path, or relative to your "
                "home on scratch."
            )
        if state == "symlink":
            raise RefusedError(
                f"{way.source}/{path[2:]} is a symlink, and is not followed: name the directory where it leads."
            )


def _verify(host: ssh.Host, way: archive.Route) -> archive.Verified:
    with Waiting() as waiting:
        waiting.tell("comparing checksums: both copies are read")
        answer = _ask(host, archive.verify(way))
    try:
        found = archive.verified(answer)
    except ValueError as error:
        raise MloError(f"the copy cannot be verified: {error}. Nothing was deleted.") from None
    if not found.differences:
        return found
    shown = "".join(f"\n  {line}" for line in found.differences[:SHOWN])
    more = f"\n  and {len(found.differences) - SHOWN} more" if len(found.differences) > SHOWN else ""
    raise MloError(
        f"the copies differ, so nothing was deleted:{shown}{more}\n"
        "If a job still writes there, archive it when the job has ended. If not, --checksum copies them anew; "
        "when a content differs again, tell the administrators of the store."
    )


def _ask(host: ssh.Host, argv: list[str]) -> str:
    result = host.run(argv)
    _check(result.code, result.stderr)
    return result.stdout


def _check(code: int, stderr: str = "") -> None:
    """Raise what an exit code means; rsync has said the rest, here or in `stderr`."""
    reason = f": {stderr.strip()}" if stderr.strip() else ", and said why above"
    if code in (0, VANISHED):  # what went away in the meantime needs no copy; the verification sees the rest
        return
    if code == ssh.LOST:
        raise UnavailableError("the connection broke off. What was copied stays: the same command goes on from there.")
    if code == 127:
        raise UnavailableError(f"a program is missing on that host{reason}")
    raise MloError(
        f"it failed on that host (exit code {code}){reason}. Nothing that was not verified is deleted; "
        "the same command goes on from there."
    )
