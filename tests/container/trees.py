"""Trees of files: one like oh-my-zsh, and what of a tree may not change."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path


def grow_tree(top: Path, files: int, size: int) -> None:
    """A directory like oh-my-zsh, the same each time: `files` files of `size` bytes in all.

    An eighth of them in one directory, as its themes, and the rest by threes in directories of one parent, as plugins.
    """
    top.mkdir(parents=True)
    (top / "oh-my-zsh.sh").write_text("OMZ_LOADED=yes\n")
    (top / "tool.sh").write_text("#!/bin/sh\n")
    (top / "tool.sh").chmod(0o755)
    (top / "link").symlink_to("oh-my-zsh.sh")
    for number in range(files - 2):
        directory = top / "themes" if number % 8 == 0 else top / "plugins" / f"p{number // 3}"
        directory.mkdir(parents=True, exist_ok=True)
        length = size * 2 * number // files**2  # from small to large, as real trees are
        (directory / f"f{number}").write_bytes((f"# file {number}\n".encode() * (length // 8 + 1))[:length])


def tree(top: Path) -> dict[str, tuple[object, ...]]:
    """What a copy must have in common with its source."""
    return {
        str(path.relative_to(top)): (stat.S_IFMT(path.lstat().st_mode), path.lstat().st_mode & 0o100, content(path))
        for path in _walk(top)
    }


def content(path: Path) -> object:
    return str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else b""


def snapshot(*directories: Path) -> dict[str, tuple[object, ...]]:
    """Every path below, with all that may not change: kind, mode, owner, content, and the time of the last change."""
    return {str(path): _facts(path) for top in directories for path in _walk(top)}


def _walk(top: Path) -> Iterator[Path]:
    yield top
    if top.is_dir() and not top.is_symlink():
        for child in sorted(top.iterdir()):
            yield from _walk(child)


def _facts(path: Path) -> tuple[object, ...]:
    info = path.lstat()
    return info.st_mode, info.st_uid, info.st_gid, info.st_ino, info.st_ctime_ns, content(path)
