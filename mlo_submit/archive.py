"""What runs on the login host to copy between scratch and the long-term store, which are both mounted there: pure.

    route(config, paths) → survey → copy → verify → remove

A path is relative to the user's home on scratch, and has the same place below ARCHIVE_ROOT/USER.

Whole files: a copy that was broken off goes on with the first file that is not complete, and no incomplete one ever has
its name. To go on within a file, rsync would read both sides once more: between two mounts of one host that is no gain.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass

from mlo_submit.env import Config

# Owner and group as far as the host lets us, times, modes, symlinks as they are, hard links, holes.
RSYNC = ("rsync", "-aHS")

IN = 'cd -- "$1" && shift && exec "$@"'

# Prints a word for each path, given from the top down: a symlink would lead the copy elsewhere. The target is made
# within its root, which must be there: a store that is not mounted must not be filled on the host's own disk.
SURVEY = """\
[ -d "$2" ] || { echo "$2"; exit 3; }
if [ "$3" ]; then mkdir -p -- "$3" || exit; fi
cd -- "$1" || { echo "$1"; exit 3; }
shift 3
for path; do
    if [ -L "$path" ]; then echo symlink; elif [ -e "$path" ]; then echo there; else echo missing; fi
done"""

# The time, by the clock that stamps the files. A file system may stamp by whole seconds: what changes later within this
# one must still be seen by the copy, which therefore starts after it.
CLOCK = 'cd -- "$1" && file=$(mktemp ./.mlo-archive.XXXXXX) && stat -c %.Y "$file"; rm -f "$file"; sleep 1'

# Removes exactly what was verified. What changed or came after the clock was read has a later change time, which nobody
# can set, and is left out. rsync deletes, not rm: a directory that was moved here since then holds old change times,
# and --existing keeps all that is not in the store; what differs there is copied before it goes, and what changes under
# rsync's eyes stays. Directories are listed before their content goes, since that changes them.
REMOVE = """\
cd -- "$1" && directories=$(mktemp) || exit
trap 'rm -f "$directories"' EXIT
target=$2 clock=$3
shift 3
find "$@" -depth -type d ! -newerct "@$clock" -print0 >"$directories" || exit
find "$@" ! -type d ! -newerct "@$clock" -print0 |
    rsync -aO --from0 --files-from=- --existing --remove-source-files ./ "$target"
code=$?
[ $code = 0 ] || [ $code = 24 ] || exit $code  # 24: somebody else removed some
xargs -0 rmdir --ignore-fail-on-non-empty -- <"$directories"
find "$@" ! -type d 2>/dev/null | wc -l"""

_CHECKSUM = {False: (), True: ("--checksum",)}
_FLAGS = {"c": "content", "s": "size", "t": "time", "T": "time", "p": "mode", "o": "owner", "g": "group"}


@dataclass(frozen=True, kw_only=True)
class Route:
    """From where to where on the host: `paths` start with './' and are below both. `store` must be there already."""

    source: str
    target: str
    store: str
    paths: tuple[str, ...]
    restore: bool


def route(config: Config, paths: Sequence[str], *, restore: bool) -> Route:
    """The way of these paths: a pod's own, or relative to the user's home on scratch.

    Raises:
        ValueError: a path that is not the user's.
    """
    home = f"{config.home_root.rstrip('/')}/{config.username}"
    below = config.mount_path.rstrip("/") + "/"
    if not home.startswith(below):
        raise ValueError(f"{home} (SCRATCH_HOME_ROOT) is not below SCRATCH_MOUNT_PATH={config.mount_path}")
    scratch = posixpath.join(config.scratch_host_root, home.removeprefix(below))
    store = posixpath.join(config.archive_root, config.username)
    return Route(
        source=store if restore else scratch,
        target=scratch if restore else store,
        store=config.archive_root,
        paths=tuple(dict.fromkeys(_below(home, path) for path in paths)),
        restore=restore,
    )


def _below(home: str, path: str) -> str:
    if not path or ".." in path.split("/") or not path.isprintable():
        raise ValueError(f"{path!r} is no path to archive: it is empty, or holds '..' or control characters")
    whole = posixpath.normpath("/" + posixpath.join(home, path).lstrip("/"))
    if whole != home and not whole.startswith(home + "/"):
        raise ValueError(f"{path} is not in your scratch home {home}")
    return "." + whole.removeprefix(home) if whole != home else "./"


def above(paths: Sequence[str]) -> tuple[str, ...]:
    """The paths, each after the directories that lead there."""
    found: dict[str, None] = {}
    for path in paths:
        parts = path.split("/")
        found.update(dict.fromkeys("/".join(parts[:count]) for count in range(2, len(parts) + 1)))
    return tuple(found)


def survey(way: Route, *, make: bool) -> list[str]:
    """Prints `there`, `missing` or `symlink` for each of `above`; exit code 3: what it prints is not there."""
    target = way.target if make and not way.restore else ""
    return ["sh", "-c", SURVEY, "sh", way.source, way.target if way.restore else way.store, target, *above(way.paths)]


def clock(way: Route) -> list[str]:
    """Prints the time of the source's file system, in seconds since 1970."""
    return ["sh", "-c", CLOCK, "sh", way.source]


def copy(way: Route, *, checksum: bool, progress: bool) -> list[str]:
    """Copies, except over what is newer on scratch."""
    flags = ["--info=progress2", "--human-readable"] if progress else []
    return _rsync(way, *_CHECKSUM[checksum], *flags)


def preview(way: Route, *, checksum: bool) -> list[str]:
    """Prints what `copy` would do."""
    return _rsync(way, *_CHECKSUM[checksum], "--dry-run", "--itemize-changes", "-8")


def verify(way: Route) -> list[str]:
    """Reads both sides, and prints each difference and how much was compared; times of directories do not count."""
    return _rsync(way, "-O", "--checksum", "--dry-run", "--itemize-changes", "-8", "--stats", "--no-human-readable")


def _rsync(way: Route, *flags: str) -> list[str]:
    update = ["--update"] if way.restore else []
    argv = [*RSYNC, "--relative", *update, *flags, "--", *way.paths, way.target + "/"]
    return ["sh", "-c", IN, "sh", way.source, *argv]


def remove(way: Route, moment: str) -> list[str]:
    """Removes what has not changed since `moment` of `clock`; prints how many files stay."""
    return ["sh", "-c", REMOVE, "sh", way.source, way.target + "/", moment, *way.paths]


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What `verify` found: `differences` as lines for people; `size` in bytes."""

    files: int
    size: int
    differences: tuple[str, ...]


def verified(text: str) -> Verified:
    """Read what `verify` printed.

    Raises:
        ValueError: it is not rsync's.
    """
    items, _, numbers = text.partition("\nNumber of files: ")
    files = re.match(r"\d+(?: \((?:reg: (\d+))?)?", numbers)
    size = re.search(r"^Total file size: (\d+) bytes$", numbers, re.MULTILINE)
    if not files or not size:
        raise ValueError("rsync tells no numbers")
    lines = [line for line in items.splitlines() if line]
    return Verified(files=int(files[1] or 0), size=int(size[1]), differences=tuple(map(_difference, lines)))


def _difference(line: str) -> str:
    """`>fc........ run/a` as `run/a: content`."""
    what, path = line[:11], line[12:]
    if "+" in what:
        return f"{path}: missing"
    return f"{path}: {', '.join(_FLAGS[flag] for flag in what[2:] if flag in _FLAGS) or 'link'}"
