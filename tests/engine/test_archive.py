"""`mlo-submit archive` through a real ssh, sshd and rsync."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.engine.loginhost import Lab, login_host, until

NAMES = ("it's", '"quoted" $HOME `id`', "-rf", "*?[a]", "=ls", "Gr\u00fc\u00dfe", "two\nlines", "~", "a b")


@pytest.fixture(params=["sh"])
def lab(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lab]:
    with login_host(tmp_path, request.param) as host:
        yield host


def plant(root: Path) -> None:
    """A tree with all that a file system has, and names that a shell would read otherwise."""
    for name in NAMES:
        (root / "d" / name).mkdir(parents=True)
        (root / "d" / name / name).write_text(name)
    (root / "d").chmod(0o770)
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o750)
    (root / "hard").hardlink_to(root / "run.sh")
    (root / "link").symlink_to("run.sh")
    (root / "dangling").symlink_to("/nowhere")
    (root / "empty").mkdir()
    os.mkfifo(root / "fifo")
    with (root / "holes").open("wb") as file:
        file.truncate(50 << 20)
        file.seek(20 << 20)
        file.write(b"x")
    # In the past: where a symlink or a directory is younger than a second, rsync does not see a time as another one.
    for path in (root, *root.rglob("*")):
        os.utime(path, ns=(10**18, 10**18 + 123456789), follow_symlinks=False)


def picture(root: Path) -> dict[str, object]:
    """All that must be the same on the other side; times of directories too."""
    found: dict[str, object] = {}
    links: dict[int, str] = {}
    for path in sorted(root.rglob("*")):
        status, name = path.lstat(), str(path.relative_to(root))
        content = os.readlink(path) if path.is_symlink() else ""
        if path.is_file() and not path.is_symlink():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        found[name] = (status.st_mode, status.st_mtime_ns, content, links.setdefault(status.st_ino, name))
    return found


@pytest.mark.parametrize("lab", ["sh", "zsh"], indirect=True)
def test_there_and_back_bit_for_bit(lab: Lab) -> None:
    """Names, holes, hard links, symlinks, modes and times survive, whatever shell the host has."""
    run = lab.scratch / "my runs/it's *"
    run.mkdir(parents=True)
    plant(run)
    os.utime(run.parent, ns=(10**18, 10**18))
    before = picture(lab.scratch)
    for _ in range(2):  # the second time has nothing to do
        done = lab.archive("/mloscratch/homes/jdoe/my runs/it's */", "./my runs/it's */d/-rf")
        assert done.returncode == 0, done.stderr
        assert "Verified by checksum: 12 files, 50 MiB, in login-host:" in done.stderr
    assert done.stdout == ""
    assert picture(lab.store) == picture(lab.scratch) == before
    assert (lab.store / "my runs/it's */holes").stat().st_blocks < 1 << 12
    shutil.rmtree(lab.scratch / "my runs")
    done = lab.archive("--restore", "my runs/it's *")
    assert done.returncode == 0, done.stderr
    assert picture(lab.scratch) == before
    assert list(lab.scratch.iterdir()) == [lab.scratch / "my runs"], "nothing of ours stays"


def test_a_dry_run_lists_and_copies_nothing(lab: Lab) -> None:
    (lab.scratch / "run").mkdir()
    (lab.scratch / "run/Gr\u00fc\u00dfe").touch()
    done = lab.archive("--dry-run", "run")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split(" ", 1)[1] for line in done.stdout.splitlines()][-2:] == ["run/", "run/Gr\u00fc\u00dfe"]
    assert not lab.store.exists()


@pytest.mark.parametrize("how", ["connection", "ctrl-c"])
def test_a_transfer_that_is_broken_off_goes_on(lab: Lab, how: str) -> None:
    """The same command copies what is missing, and nothing else; no incomplete file has its name, no transfer stays."""
    run = lab.scratch / "run"
    run.mkdir()
    for name in "abc":
        (run / name).write_bytes(os.urandom(3 << 20))
    lab.on_host("--bwlimit=2m")
    process = lab.start("run")
    until(lambda: (lab.store / "run/a").exists() and len(list((lab.store / "run").iterdir())) > 1, "a is copied")
    if how == "connection":
        for session in lab.sshd.children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # the others go with the first
                if session.name().startswith("sshd"):
                    session.kill()
    else:
        os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == (69 if how == "connection" else 130), err
    assert "same command goes on from there" in err
    assert "Traceback" not in err
    until(lambda: not lab.rsyncs(), "the transfer on the host has ended")
    assert sorted(path.name for path in (lab.store / "run").iterdir()) != ["a", "b", "c"]
    first = (lab.store / "run/a").stat()
    (lab.bin / "rsync").unlink()
    done = lab.archive("run")
    assert done.returncode == 0, done.stderr
    assert picture(lab.store) == picture(lab.scratch)
    assert (lab.store / "run/a").stat().st_ctime_ns == first.st_ctime_ns, "not copied again"


def test_a_byte_that_rots_in_the_store_is_found_and_the_source_is_kept(lab: Lab) -> None:
    run = lab.scratch / "run"
    run.mkdir()
    (run / "model").write_bytes(b"trained")
    assert lab.archive("run").returncode == 0
    rotten = lab.store / "run/model"
    times = rotten.stat()
    rotten.write_bytes(b"trainee")
    os.utime(rotten, ns=(times.st_atime_ns, times.st_mtime_ns))
    done = lab.archive("--move", "run")
    assert done.returncode == 1
    assert "the copies differ, so nothing was deleted:\n  run/model: content\n" in done.stderr
    assert (run / "model").read_bytes() == b"trained"
    assert lab.archive("--move", "--checksum", "run").returncode == 0
    assert (rotten.read_bytes(), run.exists()) == (b"trained", False)


def test_a_move_removes_exactly_what_was_verified(lab: Lab) -> None:
    """What changed or came after the copy began stays, also under its old times; then another move takes it."""
    run = lab.scratch / "run"
    run.mkdir()
    plant(run)
    (lab.scratch / "elsewhere").mkdir()
    (lab.scratch / "elsewhere/old").write_text("never copied")
    everything = picture(run)
    # Somebody works there once the verification is over: what removes is the only rsync that reads names.
    busy = (
        f"cd {shlex.quote(str(run))}; touch new; mkdir -p new.d; mv ../elsewhere moved; "
        "touch -r run.sh before; echo changed >>run.sh; touch -r before run.sh; rm before"
    )
    program = lab.bin / "rsync"
    program.write_text(
        f'#!/bin/sh\ncase "$*" in *--stats*) /usr/bin/rsync "$@"; {busy}; exit;; esac\nexec /usr/bin/rsync "$@"\n'
    )
    program.chmod(0o755)
    done = lab.archive("--move", "run")
    assert done.returncode == 0, done.stderr
    left = {str(path.relative_to(run)) for path in run.rglob("*")}
    assert left == {"new", "new.d", "moved", "moved/old", "run.sh", "hard"}, done.stderr
    assert "4 files stay on scratch: they changed, or came, after the copy began" in done.stderr
    assert (run / "run.sh").read_text() == "#!/bin/sh\nchanged\n"
    assert picture(lab.store / "run").keys() == everything.keys()
    program.unlink()
    assert lab.archive("--move", "run").returncode == 0
    assert not run.exists()
    assert (lab.store / "run/moved/old").read_text() == "never copied"
    assert (lab.store / "run/run.sh").read_text() == "#!/bin/sh\nchanged\n"


def test_a_restore_leaves_what_is_newer(lab: Lab) -> None:
    (lab.scratch / "notes").write_text("old")
    assert lab.archive("notes").returncode == 0
    (lab.scratch / "notes").write_text("newer")
    os.utime(lab.scratch / "notes", ns=(0, time.time_ns() + 10**9))
    assert lab.archive("--restore", "notes").returncode == 0
    assert (lab.scratch / "notes").read_text() == "newer"
    assert (lab.store / "notes").read_text() == "old"


def test_two_at_once_do_no_harm(lab: Lab) -> None:
    run = lab.scratch / "run"
    plant(run)
    processes = [lab.start("run") for _ in range(2)]
    for process in processes:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    assert picture(lab.store) == picture(lab.scratch)


def test_what_is_not_there_or_leads_away_is_refused(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (lab.scratch / "away").symlink_to(tmp_path)
    for path, reason in (("gone", "there is no "), ("away", "is a symlink"), ("away/secret", "is a symlink")):
        done = lab.archive(path)
        assert done.returncode == 73, done.stderr
        assert reason in done.stderr
    lab.store.rmdir()
    lab.store.parent.rmdir()
    done = lab.archive("run")
    assert done.returncode == 73
    assert f"there is no {lab.store.parent} on that host: see ARCHIVE_ROOT" in done.stderr
    assert not lab.store.parent.exists(), "a store that is not mounted is not made"


def test_a_host_key_that_changed_is_refused(lab: Lab, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True)  # noqa: S607
    known = tmp_path / "known_hosts"
    known.write_text(f"{known.read_text().split()[0]} {' '.join((tmp_path / 'other.pub').read_text().split()[:2])}\n")
    done = lab.archive("run")
    assert done.returncode == 69
    assert "HOST IDENTIFICATION HAS CHANGED" in done.stderr
    assert "ssh does not get in to login-host (ARCHIVE_HOST)" in done.stderr
