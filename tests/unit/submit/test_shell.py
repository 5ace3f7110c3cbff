from __future__ import annotations

import base64
import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlo_submit import shell

ARGV = st.lists(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])), min_size=1, max_size=4)

needs_zsh = pytest.mark.skipif(not Path(shell.ZSH).exists(), reason="no /bin/zsh on this machine")


@given(ARGV)
def test_join_loses_no_byte(argv: list[str]) -> None:
    assert shlex.split(shell.join(argv)) == argv


@pytest.mark.parametrize("word", ["=ls", "~", "~/x", "a b", "", "*", "$x", "x^y", "#x", "a\nb", "é", "{a,b}", "!x"])
def test_what_a_shell_would_expand_is_quoted(word: str) -> None:
    assert shell.quote(word).startswith("'")


@given(ARGV)
def test_one_word_holds_safe_bytes_only_and_loses_none(argv: list[str]) -> None:
    *head, script = shell.one_word(argv)
    assert head == ["/bin/zsh", "-c"]
    match = re.fullmatch(r"source <\(base64 -d <<<([A-Za-z0-9+/=]+)\)", script)
    assert match
    assert shlex.split(base64.b64decode(match[1]).decode()) == ["exec", *argv]


def test_the_whole_set_up_of_a_line() -> None:
    assert shell.in_setup("python train.py && echo ok", folder="~/it's", venv=".venv/", limit=None, grace=30) == (
        "/bin/zsh",
        "-c",
        "[[ -r ~/.zshrc ]] && builtin source ~/.zshrc\n"
        "builtin cd -q -- ~/'it'\\''s' || exit\n"
        "builtin source .venv/bin/activate || exit\n"
        "trap 'exit 143' TERM\n"
        'eval "shift;$1"',
        "mlo",
        "python train.py && echo ok",
    )


def test_an_argv_replaces_the_shell() -> None:
    assert shell.in_setup(["python", "-c", "$x"], folder=None, venv=None, limit=None, grace=30) == (
        "/bin/zsh",
        "-c",
        '[[ -r ~/.zshrc ]] && builtin source ~/.zshrc\nexec -- "$@"',
        "mlo",
        "python",
        "-c",
        "$x",
    )


def run(argv: tuple[str, ...], home: Path, **kwargs: object) -> subprocess.CompletedProcess[bytes]:
    environ = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
    return subprocess.run(argv, env=environ, cwd=home, capture_output=True, timeout=20, **kwargs)  # type: ignore[call-overload,no-any-return]


@needs_zsh
@pytest.mark.parametrize("wrap", [lambda argv: argv, shell.one_word])
def test_the_command_gets_its_bytes_and_stdin_in_the_users_set_up(tmp_path: Path, wrap: object) -> None:
    (tmp_path / ".zshrc").write_text("export SET=up\nalias greet='print -r -- hello'\nfalse\n")
    words = ("it's", '"', "a\nb", "$(TZ)", "$$", "`x`", "\\", "=ls", "é", "", "-n", "~", "{a,b}")
    argv = shell.in_setup(("printf", "%s|", *words), folder=None, venv=None, limit=None, grace=30)
    assert run(wrap(argv), tmp_path).stdout.decode() == "".join(f"{word}|" for word in words)  # type: ignore[operator]
    line = 'greet $SET\nread -r x; print -r -- "$x"; exit 7'
    argv = shell.in_setup(line, folder=None, venv=None, limit=None, grace=30)
    done = run(wrap(argv), tmp_path, input=b"typed\n")  # type: ignore[operator]
    assert (done.stdout, done.returncode) == (b"hello up\ntyped\n", 7)


@needs_zsh
def test_folder_and_venv(tmp_path: Path) -> None:
    folder = tmp_path / "my exp"
    (folder / "venv/bin").mkdir(parents=True)
    (folder / "venv/bin/activate").write_text("export VENV=active")
    for command in ("pwd; echo $VENV", ("sh", "-c", "pwd; echo $VENV")):
        argv = shell.in_setup(command, folder="my exp", venv="venv", limit=None, grace=30)
        assert run(argv, tmp_path).stdout.decode() == f"{folder}\nactive\n"
    missing = shell.in_setup("echo ran", folder="none", venv=None, limit=None, grace=30)
    done = run(missing, tmp_path)
    assert done.returncode == 1
    assert done.stdout == b""
    assert b"no such file or directory: ./none" in done.stderr


@needs_zsh
@pytest.mark.parametrize(
    ("command", "printed"),
    [(("printf", "<%s>", "x y"), "<x y><a b><c>"), ('printf "<%s>" "$1" "$@"', "<a b><a b><c>")],
)
def test_the_words_of_a_task_follow_the_command_and_are_those_of_a_line(
    tmp_path: Path, command: str, printed: str
) -> None:
    program, *argv = shell.in_setup(command, folder=None, venv=None, limit=None, grace=30, task=True)
    assert program == "mlo-task"
    assert run((*argv, "a b", "c"), tmp_path).stdout.decode() == printed


CHECKPOINT = """
import os, signal, sys, time
def stop(*_):
    time.sleep(0.3)
    os.write(1, b"checkpoint\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
os.write(1, b"started\\n")
time.sleep(20)
"""


@needs_zsh
@pytest.mark.parametrize(
    ("command", "code"),
    [(("python3", "-c", CHECKPOINT), 0), (f"true && python3 -c '{CHECKPOINT}' && echo more", 143)],
)
def test_a_stop_lets_the_child_write_its_checkpoint(tmp_path: Path, command: str, code: int) -> None:
    """PID 1 signals the job's process group; the shell waits for its child, and starts nothing after it."""
    argv = shell.in_setup(command, folder=None, venv=None, limit=None, grace=30)
    environ = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    process = subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout
    assert process.stdout.readline() == b"started\n"
    os.killpg(process.pid, signal.SIGTERM)
    assert process.communicate(timeout=20)[0] == b"checkpoint\n"
    assert process.returncode == code


@needs_zsh
def test_the_time_limit_stops_the_job_and_kills_what_does_not_stop(tmp_path: Path) -> None:
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(20)"
    leader = ("sh", "-c", """trap : TERM; "$@"; exit $?""", "sh")  # the group's, as mlo-task is
    for first, command, code, least in (
        ((), ("python3", "-c", CHECKPOINT), 0, 1),
        ((), ("python3", "-c", stubborn), -9, 2),
        (leader, ("python3", "-c", stubborn), -9, 2),
    ):
        argv = (*first, *shell.in_setup(command, folder=None, venv=None, limit=1, grace=1))
        began = time.monotonic()
        done = run(argv, tmp_path, start_new_session=True)
        assert done.returncode == code
        assert least <= time.monotonic() - began < 10
        assert b"the time limit of 1 seconds is over" in done.stderr
