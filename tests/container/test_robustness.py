"""A cold home under many pods, pods that are killed, and a scratch that fails."""

from __future__ import annotations

import time

import pytest

from tests.container.conftest import MakePod, MakeScratch
from tests.container.live import ANY, Live, Result
from tests.container.machine import GID, HOME, RIG, UID, USER, until
from tests.container.pod import Pod
from tests.container.scratch import ERRORS, Scratch
from tests.container.trees import tree

CACHE_SECONDS = 1

WHOLE = """
id -u; cd "$ZSH"; find . | wc -l; cat oh-my-zsh.sh; test -s "$ZDOTDIR/.zshrc"; test -w "$HF_HOME"
git config --global user.name
"""
WHO = {"GIT_USER_NAME": "J. Doe", "GIT_USER_EMAIL": "j@doe"}


def whole() -> str:
    """What `WHOLE` prints on a complete home."""
    return f"{UID}\n{len(tree(RIG / 'oh-my-zsh'))}\nOMZ_LOADED=yes\nJ. Doe\n"


def assert_whole(scratch: Scratch, pod: Pod, name: str = USER) -> None:
    """Everything is there, and nothing by halves."""
    home = scratch.backing / "homes" / name
    assert tree(home / ".shell/.oh-my-zsh") == tree(RIG / "oh-my-zsh")
    assert (home / ".shell/.zshrc").read_text() == pod.read("/docker/.zshrc")
    assert (home / ".gitconfig").read_text().split() == ["[user]", "name", "=", "J.", "Doe", "email", "=", "j@doe"]
    for path in home.rglob("*"):
        assert path.is_symlink() or not path.stat().st_mode & 0o007, path
        assert (path.lstat().st_gid, path.lstat().st_uid) == (GID, UID), path


@pytest.mark.parametrize("turn", range(20))
def test_eight_pods_on_a_cold_home(make_pod: MakePod, scratch: Scratch, turn: int) -> None:
    """All at once: each command starts on a complete home, without a WARNING, and nothing is left over."""
    pods = [make_pod("root" if number % 2 else "uid") for number in range(8)]
    scratch.command(f"delay {turn % 4 * 0.2}")
    lives = [pod.start("/bin/sh", "-euc", WHOLE, env=WHO) for pod in pods]
    results = [live.wait(0) for live in lives]
    assert [result.text for result in results] == [whole()] * 8
    assert_whole(scratch, pods[0])
    assert sorted(path.name for path in (scratch.backing / "homes" / USER / ".shell").iterdir()) == [
        ".oh-my-zsh",
        ".zshrc",
    ]


def test_killed_at_every_change_on_scratch(make_pod: MakePod, make_scratch: MakeScratch, start: str) -> None:
    """Killed before its n-th change on scratch, for each n; the next boot is complete, and warns of nothing."""
    scratch = make_scratch()
    make_pod(start, scratch).script(WHOLE, env=WHO)
    changes = scratch.calls().changing
    assert changes > 30
    for number in range(0, changes, 3):
        scratch = make_scratch()
        pod = make_pod(start, scratch)
        scratch.command(f"hold {number}")
        live = pod.start("/bin/sh", "-euc", WHOLE, env=WHO)
        until(lambda: scratch.calls().changing > number or not live.running, "the boot to be held")  # noqa: B023
        live.kill()
        scratch.command("clear")
        remove_locks(scratch)
        assert make_pod(start, scratch).script(WHOLE, env=WHO).text == whole(), number
        assert_whole(scratch, pod)


def test_killed_at_any_time_in_the_container(make_pod: MakePod, scratch: Scratch, start: str) -> None:
    """The same container boots again and again, each time killed a little later: its account files stay whole."""
    pod = make_pod(start)
    for step in range(30):
        live = pod.start("/bin/sleep", "10", env={"NB_USER": f"user{step}", "NB_UID": str(5000 + step), **WHO})
        time.sleep(0.004 + step * 0.002)
        live.kill()
        for file, fields in (("passwd", 7), ("group", 4), ("shadow", 9)):
            lines = pod.read(f"/etc/{file}").splitlines()
            assert lines
            assert {len(line.split(":")) for line in lines} == {fields}, file
            assert len({line.split(":")[0] for line in lines}) == len(lines), file
        assert pod.account("root").uid == 0
    remove_locks(scratch)
    assert pod.script(WHOLE + "sudo -n id -u", env=WHO, expect=ANY).text.endswith("J. Doe\n0\n")


KINDS = (
    "getattr", "readlink", "access", "statfs", "open", "read", "flush", "opendir", "readdir", "flock", "create",
    "write", "truncate", "fsync", "mknod", "mkdir", "unlink", "rmdir", "symlink", "rename", "link", "chmod", "chown",
    "utimens",
)  # fmt: skip


def test_all_kinds_are_known(scratch: Scratch) -> None:
    """The list above is the rig's."""
    assert scratch.kinds() == list(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_is_no_traceback(make_pod: MakePod, scratch: Scratch, kind: str) -> None:
    """Every operation of a kind fails, or only the first: the job runs on what there is, or the boot ends with 73.

    On a cold home and on the one that this left. When the fault is over, the next boot in a new container is complete.
    """
    pod = make_pod("uid")
    for error, number in ERRORS.items():
        env = WHO | {"SCRATCH_HOME": f"/mloscratch/homes/{error}", "WORKING_DIR": f"/mloscratch/homes/{error}"}
        for times in (0, 1):
            scratch.fail(kind, number, times, "/h")  # homes and hf_cache; the rig itself looks at the root
            result = pod.run("/bin/echo", "ran", env=env, code=None, expect=ANY)
            scratch.command("clear")
            assert_ran_or_refused(result, error)
    remove_locks(scratch)
    pod = make_pod("uid")
    assert pod.script(WHOLE, env=env).text == whole()
    assert_whole(scratch, pod, error)


def assert_ran_or_refused(result: Result, error: str) -> None:
    """The command ran; or 73 and one line; or the last step into the directory failed, which bash tells."""
    if result.code == 0:
        assert result.text == "ran\n"
    else:
        errors = [line for line in result.log if "ERROR" in line]
        assert result.out == b""
        assert (result.code == 73 and len(errors) == 1) or b"cd: " in result.err, (error, result)


def remove_locks(scratch: Scratch) -> None:
    """What a git that was killed leaves: the user is told, and has to decide."""
    for path in (scratch.backing / "homes").rglob("*.lock"):
        path.unlink()


@pytest.mark.parametrize("error", ["EDQUOT", "ENOSPC", "EROFS"])
def test_a_full_or_read_only_home_still_runs_the_job(pod: Pod, scratch: Scratch, error: str) -> None:
    """A home that was used before, on which nothing can be written now: the job runs, to clean up; nothing is lost."""
    pod.script("echo mine >$ZDOTDIR/.zshrc; echo h >$HISTFILE", env=WHO)
    for kind in ("create", "write", "mkdir", "symlink", "link", "mknod", "rename", "truncate", "chmod", "utimens"):
        scratch.fail(kind, ERRORS[error])
    assert pod.script("cat $ZDOTDIR/.zshrc $HISTFILE; pwd", env=WHO).text == f"mine\nh\n{HOME}\n"


@pytest.mark.parametrize("error", ["EDQUOT", "ENOSPC"])
def test_a_full_home_at_the_first_boot(pod: Pod, scratch: Scratch, error: str) -> None:
    """Room for the directory and nothing more: WARNINGs, and the job runs; nothing half-made is left."""
    scratch.home()
    scratch.fail("write", ERRORS[error])
    result = pod.script("pwd", env=WHO, expect=["WARNING.*(quota|[sS]pace)", "WARNING.*gitconfig"])
    assert result.text == f"{HOME}\n"
    shell = scratch.backing / "homes" / USER / ".shell"
    assert not list(shell.glob("*~*")), list(shell.iterdir())
    assert not (shell / ".zshrc").exists() or (shell / ".zshrc").read_text()
    assert not (shell / ".oh-my-zsh").exists()


def test_a_slow_scratch_is_waited_for(pod: Pod, scratch: Scratch) -> None:
    """5 ms an operation: late, and complete."""
    scratch.command("delay 5")
    assert pod.run("/bin/echo", "ran", env=WHO).text == "ran\n"
    scratch.command("clear")
    assert_whole(scratch, pod)


def test_an_edited_home_while_others_boot(make_pod: MakePod, scratch: Scratch) -> None:
    """A user who edits .zshrc in one pod loses nothing to the boots of others."""
    first: Live = make_pod("uid").start(
        "/bin/sh", "-c", "echo mine >$ZDOTDIR/.zshrc; echo up; read x", tty=True, env=WHO
    )
    first.stdout.wait_for(b"up")
    for live in [make_pod("uid").start("/bin/true", env=WHO) for _ in range(4)]:
        live.wait(0)
    assert (scratch.backing / "homes" / USER / ".shell/.zshrc").read_text() == "mine\n"
    first.type(b"\n")
    first.wait(0)


def test_bytecode_of_another_python(make_pod: MakePod, start: str) -> None:
    """A boot that was packed for another version of python says so, and the command does not run."""
    pod = make_pod(start)
    packed = pod.path("/opt/mlo/lib/boot.pyc")
    code = packed.read_bytes()
    packed.write_bytes(b"\0\0" + code[2:])
    ended = pod.run("/bin/echo", "ran", code=1, expect=ANY)
    assert b"Bad magic number" in ended.err
    assert not ended.out
