"""To be in a job on a real engine: whoever its container starts as, and whatever image it is."""

from __future__ import annotations

import json
import os
import shlex
import subprocess

import pytest

from mlo_submit import labels
from tests.engine.laptop import GID, UID, Laptop
from tests.terminal import RESIZED

WORDS = ("it's", "a b", '"', "two\nlines", "=ls", "$(id) $HOME `id`", "", "-c", "ünï", "*")

# Prints what it is given and what it finds.
REPORT = """
import json, os, sys
umask = os.umask(0)
print(json.dumps({"argv": sys.argv[1:], "cwd": os.getcwd(), "umask": oct(umask), "ids": [os.getuid(), os.getgid()],
    "groups": os.getgroups(), "environ": dict(os.environ)}))
sys.exit(7)
"""


def launch_as_root(laptop: Laptop, *options: str, command: tuple[str, ...] = ("sleep", "600")) -> None:
    """Start the container of a job with our labels as root, which `run` never does."""
    marks = {labels.MANAGED_BY: labels.OURS, labels.USER: "jdoe", labels.INSTANCE: laptop.name}
    account = {"NB_USER": "jdoe", "NB_UID": UID, "NB_GROUP": "lab", "NB_GID": GID, "HF_TOKEN": "hf_${literal}"}
    place = {"SCRATCH_HOME_ROOT": "/tmp/homes", "WORKING_DIR": "/tmp/homes/jdoe/p"}  # in the container
    secret = {"SSH_PRIVATE_KEY_B64": "eA==", "LD_LIBRARY_PATH": "/x", "folder": "mine"}
    argv = ["run", "--detach", "--user", "root", "--name", laptop.name, "--hostname", laptop.name]
    argv += [word for key, value in marks.items() for word in ("--label", f"{key}={value}")]
    argv += [word for key, value in {**account, **place, **secret}.items() for word in ("--env", f"{key}={value}")]
    laptop.docker(*argv, *options, os.environ["MLO_IMAGE"], *command)


@pytest.mark.parametrize("start", ["uid", "root"])
def test_exec_is_the_users(laptop: Laptop, start: str) -> None:
    """Their words, identity, place and environment, at once after the launch; the SSH key is in no variable."""
    if start == "root":
        launch_as_root(laptop)
        place = "/tmp/homes/jdoe/p"  # in the container
    else:
        assert laptop.submit().returncode == 0
        place = "/mloscratch/homes/jdoe"
    done = laptop.mlo("exec", laptop.name, "--", "python3", "-c", REPORT, *WORDS)
    assert done.returncode == 7, done.stderr
    found = json.loads(done.stdout)
    assert found["argv"] == list(WORDS)
    assert (found["ids"], found["cwd"], found["umask"]) == ([UID, GID], place, "0o7")
    environ = found["environ"]
    assert (environ["HOME"], environ["USER"], environ["HF_TOKEN"]) == ("/home/jdoe", "jdoe", "hf_${literal}")
    assert environ["MLO_SESSION"] == "1"
    assert not {"SSH_PRIVATE_KEY_B64", "SUDO_USER"} & environ.keys()
    if start == "root":
        assert (environ["LD_LIBRARY_PATH"], environ["folder"]) == ("/x", "mine")
        assert 0 not in found["groups"]


def test_exit_codes_and_streams_are_the_commands(laptop: Laptop) -> None:
    """Also those of signals, and of what is not there; what root was given to write to, the user can open."""
    launch_as_root(laptop)
    for script, code in (("kill -9 $$", 137), ("kill -INT $$", 130), ("exit 255", 255), ("", 0)):
        assert laptop.mlo("exec", laptop.name, "--", "sh", "-c", script).returncode == code
    for word in ("nowhere", "-c", ""):
        done = laptop.mlo("exec", laptop.name, "--", word)
        assert (done.returncode in (126, 127), done.stdout) == (True, b""), word
    done = laptop.mlo("exec", laptop.name, "--", "sh", "-c", "cat /dev/stdin; echo err >/dev/stderr", stdin=b"in")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"in", b"err\n")
    noise = os.urandom(1_000_000)
    assert laptop.mlo("exec", laptop.name, "--", "cat", stdin=noise).stdout == noise


def test_a_folder_that_is_gone_keeps_a_command_from_running_elsewhere(laptop: Laptop) -> None:
    """A shell opens all the same, and says so."""
    assert laptop.submit("--exp-folder", "exp").returncode == 0  # a pod that waits does not go there
    done = laptop.mlo("exec", laptop.name, "--", "pwd")
    assert (done.returncode, done.stdout, b"./exp" in done.stderr) == (73, b"", True)
    done = laptop.mlo("shell", laptop.name, stdin=b"pwd; mkdir exp\n")
    assert (done.returncode, done.stdout, b"./exp" in done.stderr) == (0, b"/mloscratch/homes/jdoe\n", True)
    assert laptop.mlo("exec", laptop.name, "--", "pwd").stdout == b"/mloscratch/homes/jdoe/exp\n"


@pytest.mark.parametrize("start", ["uid", "root"])
def test_a_shell_on_a_terminal(laptop: Laptop, start: str) -> None:
    """Its size and type, a resize, a Ctrl-C, the user's own terminal device, the exit code; and nothing is left."""
    if start == "root":
        launch_as_root(laptop)
    else:
        assert laptop.submit().returncode == 0
    with laptop.terminal("shell", laptop.name, rows=33, columns=101) as terminal:
        terminal.type('stty size; echo "$TERM:${0#-}:$(id -un):$(stat -c %U $(tty))"\n')
        terminal.expect("33 101\r\n")
        terminal.expect("screen-256color:zsh:jdoe:jdoe\r\n")
        terminal.type(shlex.join(["python3", "-c", RESIZED]) + "\n")
        terminal.expect("waiting\r\n")
        terminal.resize(44, 120)
        terminal.expect("resized to 120 x 44\r\n")
        terminal.type("\x03")
        terminal.expect("KeyboardInterrupt")
        terminal.type("exit 5\n")
        assert terminal.wait() == 5
        assert terminal.restored()


def test_an_image_that_is_not_ours(laptop: Laptop) -> None:
    """Without our boot: a command runs as the image has it, and there is some shell."""
    launch_as_root(laptop, "--entrypoint", "sleep", "--workdir", "/usr", command=("600",))
    done = laptop.mlo("exec", laptop.name, "--", "sh", "-c", "pwd; id -u")
    assert (done.returncode, done.stdout) == (0, b"/usr\n0\n")
    laptop.docker("exec", laptop.name, "rm", "-f", "/bin/zsh", "/usr/bin/zsh")
    assert laptop.mlo("shell", laptop.name, stdin=b"echo $0\n").stdout == b"bash\n"


def test_a_job_that_has_ended_is_refused(laptop: Laptop) -> None:
    """With what to do; and so is a worker that is not there."""
    assert laptop.submit("--train", "--follow", "--", "true").returncode == 0
    for argv in (("shell", laptop.name), ("exec", laptop.name, "--", "true"), ("port-forward", laptop.name, "80")):
        done = laptop.mlo(*argv)
        assert done.returncode == 73
        assert f"mlo-submit --backend docker rerun {laptop.name}".encode() in done.stderr
    launch_as_root(Laptop(home=laptop.home, name=f"{laptop.name}-b"))
    try:
        done = laptop.mlo("exec", "--worker", "1", f"{laptop.name}-b", "--", "true")
    finally:
        subprocess.run(["docker", "rm", "--force", f"{laptop.name}-b"], capture_output=True, check=True)  # noqa: S607
    assert (done.returncode, b"no worker 1" in done.stderr) == (73, True)
