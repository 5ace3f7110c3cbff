"""A job's command as argv: what runs in the user's zsh set-up, and how words survive the way there."""

from __future__ import annotations

import binascii
import os
import re
from collections.abc import Sequence

ZSH = "/bin/zsh"

_BARE = re.compile(r"[A-Za-z0-9_./:,@%+-][A-Za-z0-9_./:,@%+=-]*")

# The user's own zsh set-up, which `zsh -c` does not read. Its exit code is no reason not to start.
_SETUP = "[[ -r ~/.zshrc ]] && builtin source ~/.zshrc"

# A shell dies at TERM at once. Our PID 1 waits for the whole process group all the same, but that of other images ends
# with the shell, and the child is killed in the middle of its checkpoint: with a trap the shell waits for its child.
_WAIT = "trap 'exit 143' TERM"

# The job is a process group, which `mlo-task` may lead instead of the shell.
_GROUP = "builtin read -r _ _ _ _ mlo_group _ </proc/self/stat"

# No backend counts from the start of the command. The watcher has a session of its own, so that nobody who waits for
# the group waits for the watcher. Our PID 1, told that it is a time limit, waits for the job's last process and ends
# with 143; what other images leave of it is a word for the kubelet.
_LIMIT = (
    """setsid sh -c 'sleep "$1"; echo "[mlo] the time limit of $1 seconds is over" """
    """| tee /dev/termination-log >&2 2>/dev/null; """
    """{{ [ -e /run/mlo/boot.json ] && sudo -n sh -c ">/run/mlo/over; kill -TERM 1"; }} || kill -TERM "-$2" || exit; """
    """sleep "$3"; kill -KILL "-$2" 2>/dev/null' mlo-limit {limit} $mlo_group {grace} </dev/null >/dev/null &!"""
)

# Our image's own watcher ends a pod that nobody uses. `setsid` says where an image has none.
_IDLE = "setsid mlo-idle $mlo_group {grace} </dev/null >/dev/null &!"

# Our image's own program: the ranks of a multi-node job start when rank 0 can be reached.
_MASTER = "mlo-wait-for-master {seconds} || exit"

# Our image's own program: what makes a pod a task of an array, its index and its words, and then the command.
_TASK = "mlo-task"


def quote(word: str) -> str:
    """A word for zsh, bash or sh. Unlike shlex.quote it never leaves a word that zsh expands, such as `=ls`."""
    return word if _BARE.fullmatch(word) else "'" + word.replace("'", "'\\''") + "'"


def join(argv: Sequence[str]) -> str:
    """An argv as one shell line."""
    return " ".join(map(quote, argv))


def in_setup(
    command: Sequence[str] | str,
    *,
    folder: str | None,
    venv: str | None,
    limit: int | None,
    grace: int,
    stop_when_idle: bool = False,
    wait_for_master: int | None = None,
    task: bool = False,
) -> tuple[str, ...]:
    """The argv that runs a command in the user's zsh set-up.

    Args:
        command: an argv, which replaces the shell, or a shell line, read after the set-up, so that aliases work.
        folder: where it runs, if not where the job starts; `~` is the pod's home.
        venv: the virtual environment to activate, relative to `folder`.
        limit: seconds after which the job is stopped.
        grace: seconds from TERM to KILL then.
        stop_when_idle: whether the job is stopped when nobody uses its pod.
        wait_for_master: seconds that the ranks of a multi-node job wait for rank 0, if they do.
        task: whether it is that of each task of an array; the words of its own stand at the end of the command, and
            are "$@" in a line.
    """
    script = [_SETUP]
    if folder:
        script.append(f"builtin cd -q -- {_path(folder)} || exit")
    if venv:
        script.append(f"builtin source {_path(venv.rstrip('/') + '/bin/activate')} || exit")
    if limit or stop_when_idle:
        script.append(_GROUP)
    if limit:
        script.append(_LIMIT.format(limit=limit, grace=grace))
    if stop_when_idle:
        script.append(_IDLE.format(grace=grace))
    if wait_for_master:
        script.append(_MASTER.format(seconds=wait_for_master))
    first = (_TASK,) if task else ()
    if isinstance(command, str):
        return (*first, ZSH, "-c", "\n".join([*script, _WAIT, 'eval "shift;$1"']), "mlo", command)
    return (*first, ZSH, "-c", "\n".join([*script, 'exec -- "$@"']), "mlo", *command)


def one_word(argv: Sequence[str]) -> tuple[str, ...]:
    """The same command as one base64 word for a plain zsh: no quote, newline, backquote, backslash, non-ASCII byte."""
    word = binascii.b2a_base64(os.fsencode(f"exec {join(argv)}"), newline=False).decode()
    return (ZSH, "-c", f"source <(base64 -d <<<{word})")


def _path(path: str) -> str:
    if path == "~" or path.startswith("~/"):
        return "~" + ("/" + quote(path[2:]) if path[2:] else "")
    return quote(path if "/" in path else f"./{path}")
