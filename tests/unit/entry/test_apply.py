"""Each action made true, twice: the second time changes nothing."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from mlo_entry import actions, directories
from mlo_entry.actions import USER
from tests.unit.entry.applied import run, twice

ME = (os.getuid(), os.getgid())


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture(autouse=True)
def _umask() -> object:
    before = os.umask(0o007)
    yield
    os.umask(before)


def test_make_dir(tmp_path: Path) -> None:
    twice(actions.MakeDir(USER, str(tmp_path / "a/b")))
    assert (mode(tmp_path / "a"), mode(tmp_path / "a/b")) == (0o770, 0o770)
    (tmp_path / "file").write_text("")
    assert run(actions.MakeDir(USER, str(tmp_path / "file")))[1].endswith("file cannot be made: file exists")


def test_write_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    twice(actions.WriteFile(USER, str(path), b"one", 0o640, *ME))
    path.chmod(0o644)
    twice(actions.WriteFile(USER, str(path), b"one", 0o640, *ME))
    twice(actions.WriteFile(USER, str(path), b"two", 0o640, *ME))
    assert (path.read_bytes(), mode(path), names(tmp_path)) == (b"two", 0o640, ["f"])


def test_write_file_once(tmp_path: Path) -> None:
    path = tmp_path / "f"
    twice(actions.WriteFile(USER, str(path), b"one", 0o660, once=True))
    assert run(actions.WriteFile(USER, str(path), b"two", 0o660, once=True)) == (False, "", 0)
    assert (path.read_bytes(), names(tmp_path)) == (b"one", ["f"])


def test_write_file_replaces_a_link_and_not_its_target(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"kept")
    (tmp_path / "f").symlink_to("target")
    twice(actions.WriteFile(USER, str(tmp_path / "f"), b"new", 0o600))
    assert ((tmp_path / "target").read_bytes(), (tmp_path / "f").is_symlink()) == (b"kept", False)


def test_a_required_file_ends_the_boot(tmp_path: Path) -> None:
    path = str(tmp_path / "no/such/directory")
    assert run(actions.WriteFile(USER, path, b"", 0o600))[2] == 0
    assert run(actions.WriteFile(USER, path, b"", 0o600, required=True))[2] == 71


def test_a_pipe_does_not_keep_the_boot_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in run(actions.WriteFile(USER, str(tmp_path / "pipe"), b"", 0o600))[1]


def test_make_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    path.write_text("in the way")
    twice(actions.MakePipe(USER, str(path), *ME))
    assert (path.is_fifo(), mode(path)) == (True, 0o400)
    assert run(actions.MakePipe(USER, str(tmp_path / "no/pipe"), *ME))[2] == 71


def test_touch_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    twice(actions.TouchFile(USER, str(path), 0o600))
    path.write_text("history")
    path.chmod(0o644)
    twice(actions.TouchFile(USER, str(path), 0o600))
    assert (path.read_text(), mode(path)) == ("history", 0o600)


def test_symlink(tmp_path: Path) -> None:
    twice(actions.Symlink(USER, str(tmp_path / "l"), "/target"))
    (tmp_path / "own").write_text("kept")
    assert run(actions.Symlink(USER, str(tmp_path / "own"), "/target")) == (False, "", 0)


def test_remove_tree_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").write_text("")
    (tmp_path / "d/e").mkdir(parents=True)
    (tmp_path / "d/e/link").symlink_to(tmp_path / "kept")
    twice(actions.RemoveTree(USER, str(tmp_path / "d")))
    assert (tmp_path / "kept/file").exists()


def test_copy_tree(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "a/b").mkdir(parents=True)
    (source / "a/b/run.sh").write_text("x" * 100_000)
    (source / "a/b/run.sh").chmod(0o755)
    (source / "empty").write_text("")
    (source / "link").symlink_to("a/b/run.sh")
    twice(actions.CopyTree(USER, str(tmp_path / "copy"), str(source)))
    copy = tmp_path / "copy"
    assert (copy / "a/b/run.sh").read_text() == "x" * 100_000
    assert (mode(copy), mode(copy / "a/b/run.sh"), mode(copy / "empty")) == (0o770, 0o770, 0o660)
    assert (copy / "link").readlink() == Path("a/b/run.sh")
    assert names(tmp_path) == ["copy", "source"]


def test_copy_tree_without_a_source(tmp_path: Path) -> None:
    assert run(actions.CopyTree(USER, str(tmp_path / "copy"), str(tmp_path / "none"))) == (False, "", 0)


def test_an_unfinished_copy_of_a_killed_pod_goes_when_it_is_old(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    for name, age in (("copy~mlo-old", 7200), ("copy~mlo-new", 60)):
        (tmp_path / name / "x").mkdir(parents=True)
        then = (tmp_path / name).stat().st_mtime - age
        os.utime(tmp_path / name, (then, then))
    twice(actions.CopyTree(USER, str(tmp_path / "copy"), str(tmp_path / "source")))
    assert names(tmp_path) == ["copy", "copy~mlo-new", "source"]


def test_own_dir(tmp_path: Path) -> None:
    twice(actions.OwnDir(USER, str(tmp_path / "home"), *ME, 0o750))
    assert mode(tmp_path / "home") == 0o750
    (tmp_path / "link").symlink_to("home")
    assert "cannot be made" in run(actions.OwnDir(USER, str(tmp_path / "link"), *ME, 0o750))[1]


def share(path: Path, within: Path) -> actions.ShareDir:
    return actions.ShareDir(USER, str(path), ME[1], str(within), "me")


def test_share_dir(tmp_path: Path) -> None:
    twice(share(tmp_path / "homes/jdoe/p", tmp_path / "homes/jdoe"))
    assert mode(tmp_path / "homes/jdoe/p") == 0o770
    (tmp_path / "homes/jdoe/p").chmod(0o2755)
    twice(share(tmp_path / "homes/jdoe/p", tmp_path / "homes/jdoe"))
    assert mode(tmp_path / "homes/jdoe/p") == 0o2770


def test_share_dir_tells_what_it_found(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    changed, problem, code = run(share(tmp_path / "file/x", tmp_path))
    assert (changed, code) == (False, 0)
    assert problem.startswith(
        f"not a directory for me (uid {ME[0]}) in {tmp_path}/file (owner {ME[0]}:{ME[1]}, mode 660)"
    )


def use(path: Path, *, required: bool = True, seed: str = "seed") -> actions.UseDir:
    return actions.UseDir(
        USER, str(path), ME[1], str(path), "me", "WORKING_DIR", required, os.R_OK | os.W_OK | os.X_OK, seed
    )


def test_use_dir_asks_the_seed_user_first(tmp_path: Path) -> None:
    action = use(tmp_path / "d")
    assert run(action)[2] == directories.AskSeed.exit_code
    assert run(action.asked_of_seed()) == (True, "", 0)
    assert run(action) == (False, "", 0)


def test_use_dir_mends_its_own_where_the_seed_user_cannot(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir(mode=0o700)
    assert run(use(tmp_path / "d"), {str(tmp_path / "d"): "permission denied"}) == (True, "", 0)
    assert mode(tmp_path / "d") == 0o770


@pytest.mark.parametrize(("required", "code"), [(True, 73), (False, 0)])
def test_use_dir_that_cannot_be(tmp_path: Path, required: bool, code: int) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file/d"
    changed, problem, got = run(use(path, required=required), {str(path): "permission denied for seed"})
    assert (changed, got) == (False, code)
    assert problem.startswith(
        f"WORKING_DIR={path} cannot be created: permission denied for seed; not a directory for me"
    )
    assert "SCRATCH_SEED_USER" in problem


def test_what_lies_above_the_home_is_only_looked_at(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    assert run(use(tmp_path, seed="")) == (False, "", 0)
    assert mode(tmp_path) == 0o755


def test_edit_accounts(tmp_path: Path) -> None:
    for name, text, bits in (
        ("passwd", "root:x:0:0:::\n", 0o644),
        ("group", "root:x:0:\n", 0o644),
        ("shadow", "", 0o640),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(bits)
    twice(actions.EditAccounts(USER, "jdoe", 7, "mlo", 8, (9,), str(tmp_path)))
    assert (tmp_path / "passwd").read_text() == "root:x:0:0:::\njdoe:x:7:8::/home/jdoe:/bin/zsh\n"
    assert [mode(tmp_path / name) for name in ("passwd", "group", "shadow", ".pwd.lock")] == [
        0o644,
        0o644,
        0o640,
        0o600,
    ]


def test_edit_accounts_that_cannot(tmp_path: Path) -> None:
    changed, problem, code = run(actions.EditAccounts(USER, "jdoe", 7, "mlo", 8, (), str(tmp_path / "none")))
    assert (changed, code) == (False, 71)
    assert "writable root file system" in problem


@pytest.fixture
def hook(tmp_path: Path) -> Path:
    path = tmp_path / "hook"
    path.write_text('#!/bin/sh\n[ -z "$EXTRA" ] || exit 3\necho "$NB_USER" >"$(dirname "$0")/ran"\n')
    path.chmod(0o755)
    return path


def test_run_hook(hook: Path) -> None:
    assert run(actions.RunHook(USER, str(hook), (("PATH", "/usr/bin:/bin"), ("NB_USER", "jdoe")))) == (True, "", 0)
    assert (hook.parent / "ran").read_text() == "jdoe\n"
    failed = run(actions.RunHook(USER, str(hook), (("EXTRA", "x"),)))
    assert failed == (False, f"the hook {hook} failed with exit code 3", 0)
    hook.write_text("#!/no/such/interpreter\n")
    assert "cannot be run" in run(actions.RunHook(USER, str(hook), ()))[1]


def test_warn() -> None:
    assert run(actions.Warn(USER, "so")) == (False, "so", 0)
