"""Scratch behaves as a root-squashed NFS export does."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.container.conftest import MakeScratch
from tests.container.machine import GID, SEED_UID, UID, until
from tests.container.scratch import Scratch

OTHER = 4242


def as_user(uid: int, gid: int, groups: list[int], action: Callable[[], object]) -> int:
    """The errno with which an action ends for somebody, 0 when it succeeds."""
    child = os.fork()
    if child == 0:
        code = 255
        try:
            os.umask(0)
            os.setgroups(groups)
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            action()
            code = 0
        except OSError as error:
            code = error.errno or 255
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def as_root(action: Callable[[], object]) -> int:
    return as_user(0, 0, [], action)


def as_owner(action: Callable[[], object]) -> int:
    return as_user(UID, GID, [OTHER], action)


@pytest.fixture
def private(scratch: Scratch) -> Path:
    """A directory of the user's, mode 770, as seen on the client."""
    scratch.make("private", UID, GID, 0o770)
    scratch.put("private/file", "text", mode=0o640)
    return scratch.path / "private"


def test_root_is_nobody_in_a_private_directory(private: Path) -> None:
    """Root may neither make, list, read, write, enter nor remove anything in a 770 directory."""
    for action in (
        lambda: (private / "new").mkdir(),
        lambda: (private / "new").touch(),
        lambda: os.listdir(private),
        lambda: (private / "file").read_text(),
        lambda: (private / "file").write_text(""),
        lambda: (private / "file").lstat(),
        lambda: (private / "file").unlink(),
        lambda: os.symlink("x", private / "link"),
        lambda: os.chdir(private),
    ):
        assert as_root(action) == errno.EACCES


def test_root_changes_no_owner_and_no_mode(private: Path) -> None:
    """chown and chmod of another's directory: EPERM, whatever capabilities root has."""
    assert as_root(lambda: os.chown(private, 0, 0)) == errno.EPERM
    assert as_root(lambda: private.chmod(0o777)) == errno.EPERM
    assert as_root(lambda: os.utime(private, (0, 0))) == errno.EPERM


def test_root_file_in_a_public_directory_belongs_to_nobody(scratch: Scratch) -> None:
    """In a 1777 directory root's file belongs to 65534, who cannot give it back."""
    scratch.make("tmp", 0, 0, 0o1777)
    file = scratch.path / "tmp" / "file"
    assert as_root(file.touch) == 0
    assert (file.stat().st_uid, file.stat().st_gid) == (65534, 65534)
    assert as_root(lambda: os.chown(file, 0, 0)) == errno.EPERM
    assert as_owner(file.unlink) == errno.EPERM, "the sticky bit counts"


def test_an_owner_gives_no_file_away(private: Path) -> None:
    """chown is for nobody; chgrp for an owner, to a group of its own."""
    assert as_owner(lambda: os.chown(private, 1, -1)) == errno.EPERM
    assert as_owner(lambda: os.chown(private, -1, 1)) == errno.EPERM
    assert as_owner(lambda: os.chown(private, -1, OTHER)) == 0
    assert private.stat().st_gid == OTHER


def test_setgid_is_inherited_and_lost_as_in_the_kernel(scratch: Scratch) -> None:
    """A directory in a setgid one takes its group and bit; chmod by an owner who is not of the group clears the bit."""
    scratch.make("shared", UID, OTHER, 0o2770)
    child, stored = (top / "shared" / "child" for top in (scratch.path, scratch.backing))
    assert as_owner(child.mkdir) == 0
    assert stored.stat().st_gid == OTHER
    assert stored.stat().st_mode & 0o2000
    assert as_owner(lambda: child.chmod(0o2770)) == 0
    assert stored.stat().st_mode & 0o7777 == 0o2770
    scratch.make("shared", UID, OTHER, 0o2777)
    assert as_user(UID, GID, [], lambda: child.chmod(0o2770)) == 0
    assert stored.stat().st_mode & 0o7777 == 0o770


def test_the_first_16_groups_count(scratch: Scratch) -> None:
    """A member through the 16th supplementary group gets in, one through the 17th does not."""
    scratch.make("shared", SEED_UID, 9016, 0o770)
    groups = list(range(9001, 9021))
    assert as_user(UID, GID, groups, lambda: os.listdir(scratch.path / "shared")) == 0
    scratch.make("shared", SEED_UID, 9017, 0o770)
    assert as_user(UID, GID, groups, lambda: os.listdir(scratch.path / "shared")) == errno.EACCES


def test_files_and_links(private: Path) -> None:
    """What a home needs works for its owner: links of both kinds, renaming over a file, times, sparse files."""

    def work() -> None:
        os.chdir(private)
        Path("a").write_bytes(b"x" * 3_000_000)
        os.link("a", "b")
        assert os.stat("a").st_nlink == 2
        assert os.stat("a").st_ino == os.stat("b").st_ino
        os.symlink("a", "c")
        assert Path("c").read_bytes() == b"x" * 3_000_000
        Path("new").write_text("new")
        os.rename("new", "b")
        assert Path("b").read_text() == "new"
        os.utime("a", (1, 2))
        assert os.stat("a").st_mtime == 2
        os.truncate("a", 5)
        with Path("a").open("r+b") as file:
            file.seek(10)
            file.write(b"y")
            file.flush()
            os.fsync(file.fileno())
        assert Path("a").read_bytes() == b"xxxxx\0\0\0\0\0y"
        assert sorted(os.listdir(".")) == ["a", "b", "c", "file"]

    assert as_owner(work) == 0


def test_rename_without_replacement_is_not_supported(private: Path) -> None:
    """RENAME_NOREPLACE: EINVAL, so a program needs another way to be the only one."""
    libc = ctypes.CDLL(None, use_errno=True)

    def work() -> None:
        at_fdcwd, noreplace = -100, 1
        if libc.renameat2(at_fdcwd, bytes(private / "file"), at_fdcwd, bytes(private / "new"), noreplace):
            raise OSError(ctypes.get_errno(), "renameat2")

    assert as_owner(work) == errno.EINVAL


def test_flock_for_writing_wants_a_writable_descriptor(private: Path) -> None:
    """flock(LOCK_EX) on a read-only descriptor: EBADF. A holder keeps a second one out, across processes."""

    def read_only() -> None:
        with (private / "file").open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)

    def both() -> None:
        with (private / "file").open("r+") as one, (private / "file").open("r+") as two:
            fcntl.flock(one, fcntl.LOCK_EX)
            fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)

    assert as_owner(read_only) == errno.EBADF
    assert as_owner(both) == errno.EAGAIN


def test_an_open_file_that_is_removed_stays_hidden(private: Path, scratch: Scratch) -> None:
    """As NFS does with .nfsXXXX: its directory cannot be removed before the last close."""

    def work() -> None:
        (private / "dir").mkdir()
        with (private / "dir" / "open").open("w") as file:
            (private / "dir" / "open").unlink()
            (hidden,) = os.listdir(private / "dir")
            assert hidden.startswith(".")
            file.write("still there")
            file.flush()

    assert as_owner(work) == 0
    until(lambda: not os.listdir(scratch.backing / "private" / "dir"), "the last close to remove it")


def test_faults_hit_their_kind_and_path_as_often_as_asked(private: Path, scratch: Scratch) -> None:
    """`fail mkdir EDQUOT 1 /private`: once, there alone, and for this kind of operation alone."""
    scratch.fail("mkdir", errno.EDQUOT, 1, "/private")
    scratch.make("other", UID, GID, 0o770)
    assert as_owner((scratch.path / "other" / "a").mkdir) == 0
    assert as_owner((private / "f").touch) == 0
    assert as_owner((private / "a").mkdir) == errno.EDQUOT
    assert as_owner((private / "a").mkdir) == 0
    scratch.fail("any", errno.ESTALE)
    assert as_owner(lambda: os.listdir(private)) == errno.ESTALE
    scratch.command("clear")
    assert as_owner(lambda: os.listdir(private)) == 0


def test_calls_are_counted(private: Path, scratch: Scratch) -> None:
    """A new directory costs a look-up for each step of its path, and one mkdir, which alone changes something."""
    scratch.command("reset")
    assert as_owner((private / "a").mkdir) == 0
    calls = scratch.calls()
    assert calls.by_kind["mkdir"] == 1
    assert calls.changing == 1
    assert calls.total == sum(calls.by_kind.values()) < 6


def test_a_delay_is_a_round_trip(make_scratch: MakeScratch) -> None:
    """A new directory in a known one costs one, and so does each further operation."""
    scratch = make_scratch(timeout=10)
    scratch.make("public", UID, GID, 0o777)
    (scratch.path / "public").stat()
    scratch.command("delay 100")
    began = time.monotonic()
    assert as_owner((scratch.path / "public/new").mkdir) == 0
    middle = time.monotonic()
    assert as_owner(lambda: (scratch.path / "public/new").rmdir()) == 0
    assert 0.1 <= middle - began < 0.2
    assert 0.1 <= time.monotonic() - middle < 0.2


def test_a_held_caller_can_be_killed(private: Path, scratch: Scratch) -> None:
    """`hold N`: the operation after N waits, its caller dies of SIGKILL, and it never happens."""
    scratch.command("hold 1")
    command = ["/bin/mkdir", str(private / "one"), str(private / "two")]
    with subprocess.Popen(command, user=UID, group=GID, extra_groups=[]) as process:
        until((scratch.backing / "private/one").is_dir, "the first mkdir")
        assert process.poll() is None
        process.kill()
        assert process.wait(10) == -signal.SIGKILL
    scratch.command("clear")
    assert sorted(os.listdir(scratch.backing / "private")) == ["file", "one"]
