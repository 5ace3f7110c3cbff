"""The hand-off: the command gets what the pod was given, to the byte, as the user, and nothing else."""

from __future__ import annotations

import resource
import string
from collections.abc import Iterable

import pytest

from tests.container.conftest import MakePod
from tests.container.machine import HOME, UID, USER
from tests.container.pod import Pod

CACHE_SECONDS = 1

# What the boot adds, what sudo sets for the user, and what the shells in between leave.
ADDED = {
    "SCRATCH_HOME", "ZDOTDIR", "ZSH", "HISTFILE", "GIT_CONFIG_GLOBAL", "UV_CACHE_DIR", "UV_PYTHON_INSTALL_DIR",
    "HF_HOME", "HF_TOKEN_PATH", "MLO_SESSION", "USER", "LOGNAME", "SHELL",
}  # fmt: skip
SHELLS = {"PWD", "OLDPWD", "SHLVL", "_"}


def environment(pod: Pod, raw: Iterable[bytes] = (), **env: str) -> dict[bytes, bytes]:
    result = pod.run("/bin/cat", "/proc/self/environ", env=env, raw_env=raw)
    return dict(variable.split(b"=", 1) for variable in result.out.split(b"\0")[:-1])


def test_the_environment_is_the_pods(pod: Pod) -> None:
    """As given, plus what the boot documents; HOME, USER, LOGNAME and SHELL are the user's; no SUDO_*."""
    given = dict(pod.environ)
    seen = environment(pod)
    assert {name: seen.get(name) for name in given if name != b"HOME"} == {
        n: v for n, v in given.items() if n != b"HOME"
    }
    assert {name.decode() for name in seen.keys() - given.keys()} - SHELLS == ADDED
    user = (f"/home/{USER}", USER, USER, "/bin/zsh")
    assert tuple(seen[name].decode() for name in (b"HOME", b"USER", b"LOGNAME", b"SHELL")) == user


ODD: dict[str, bytes] = {
    "PATH": b"/opt/x/bin:/usr/bin:/bin",
    "LD_LIBRARY_PATH": b"/usr/local/nvidia/lib:/usr/local/nvidia/lib64",
    "PYTHONPATH": b"/a:/b",
    "PYTHONSTARTUP": b"/x",
    "IFS": b"x",
    "TERM": b"dumb",
    "TZ": b"../../../etc/passwd",
    "LANG": b"de_CH.UTF-8",
    "LC_ALL": b"C",
    "TMPDIR": b"/tmp/x",
    "MAIL": b"/m",
    "EDITOR": b"vi",
    "CDPATH": b"/etc",
    "ENV": b"/e",
    "PS4": b"$(id)",
    "PROMPT_COMMAND": b"id",
    "GLOBIGNORE": b"*",
    "POSIXLY_CORRECT": b"1",
    "TIMEFORMAT": b"%R",
    "HISTCONTROL": b"ignoredups",
    "lower_case": b"1",
    "_X": b"1",
    "NEWLINES": b"a\nb\n\nc\n",
    "QUOTES": b"'\"`$(id)${HOME}\\ !# ;&|*?[]{}~",
    "EMPTY": b"",
    "SPACES": b"  a  b  ",
    "LATIN": b"\xe4\xff\xfe",
    "CONTROL": bytes(range(1, 32)) + b"\x7f",
    "UNICODE": "é漢🚀".encode(),
    "BIG": b"x" * 100_000,
    "A.B": b"dot",
    "a-b": b"dash",
    "1A": b"digit",
    "A B": b"space",
    "A/B": b"slash",
    "é": b"name",
    "A:B": b"colon",
    "%A": b"percent",
    "'": b"quote",
    "npm_config_@x:registry": b"1",
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_variable_arrives_as_it_is(make_pod: MakePod, name: str) -> None:
    """Whatever its name and value, and whatever sudo or bash would make of it."""
    value = ODD[name]
    pod = make_pod("uid")
    pod.environ.pop(name.encode(), None)
    seen = environment(pod, [name.encode() + b"=" + value])
    assert seen.get(name.encode()) == value


def test_many_variables_at_once(pod: Pod) -> None:
    """All odd ones together, 600 more, and two of 100 kB."""
    raw = {name.encode(): value for name, value in ODD.items()}
    raw |= {f"V{number}".encode(): string.printable.encode() for number in range(600)}
    raw[b"BIG2"] = b"'" * 100_000
    pod.environ = {name: value for name, value in pod.environ.items() if name not in raw}
    seen = environment(pod, [name + b"=" + value for name, value in raw.items()])
    assert {name: seen.get(name) for name in raw} == raw


def test_the_users_bash_env_is_the_commands(pod: Pod) -> None:
    """A BASH_ENV of the pod is read by the command's bash, not by ours."""
    pod.write("/tmp/env.sh", 'echo "read by $0 as $(id -u)"\n')
    result = pod.run("/bin/bash", "-c", "echo $BASH_ENV", "mine", env={"BASH_ENV": "/tmp/env.sh"})
    assert result.text == f"read by mine as {UID}\n/tmp/env.sh\n"


@pytest.mark.parametrize("name", ["f", "cd", "shift", "exec", "unset", "export", "[", "builtin"])
def test_functions_of_bash_are_the_commands(make_pod: MakePod, name: str) -> None:
    """`export -f` of whoever made the environment: the command's bash has the function, and ours does not run it."""
    function = f"BASH_FUNC_{name}%%=() {{ echo function; }}".encode()
    result = make_pod("uid").run("/bin/bash", "-c", f'echo ran; "{name}"', raw_env=[function])
    assert result.text == "ran\nfunction\n"


def test_what_is_ours_alone_ends_with_the_boot(pod: Pod) -> None:
    """The SSH variables and the place of the secrets do not reach the command; SUDO_* of the pod neither."""
    pod.write("/run/secrets/mlo/SSH_PRIVATE_KEY_B64", "x")
    env = {"SSH_PUBLIC_KEY": "ssh-rsa x", "SSH_KNOWN_HOSTS": "x", "SUDO_USER": "root", "SUDO_UID": "0"}
    result = pod.run("/usr/bin/env", env=env, expect=["WARNING.*SSH_PRIVATE_KEY_B64"])
    assert "SSH_" not in result.text
    assert "SUDO_" not in result.text


def test_secrets_that_come_as_files_are_variables(pod: Pod) -> None:
    """One file a key, as Kubernetes lays them out; a variable of the pod wins; what is no variable is left out."""
    pod.write("/run/secrets/mlo/..2026/WANDB_API_KEY", "secret\nwith lines\n")
    pod.path("/run/secrets/mlo/..data").symlink_to("..2026")
    pod.path("/run/secrets/mlo/WANDB_API_KEY").symlink_to("..data/WANDB_API_KEY")
    pod.write("/run/secrets/mlo/GIT_USER_NAME", "From File")
    pod.write("/run/secrets/mlo/GIT_USER_EMAIL", "f@x")
    pod.write("/run/secrets/mlo/WINS", "file")
    pod.write("/run/secrets/mlo/no-variable", "x")
    pod.path("/run/secrets/mlo").chmod(0o700)
    script = 'printf "%s|" "$WANDB_API_KEY" $WINS; git config --global user.name; env | grep -c variable || true'
    assert pod.script(script, env={"WINS": "pod"}).text == "secret\nwith lines\n|pod|From File\n0\n"


def test_another_secrets_directory(pod: Pod) -> None:
    """MLO_SECRETS_DIR says where; one that does not exist is no trouble."""
    pod.write("/srv/keys/HF_TOKEN", "hf_x")
    assert pod.script("echo $HF_TOKEN", env={"MLO_SECRETS_DIR": "/srv/keys"}).text == "hf_x\n"
    assert pod.script("echo ${HF_TOKEN-none}", env={"MLO_SECRETS_DIR": "/srv/none"}).text == "none\n"


ARGV: list[list[str | bytes]] = [
    ["", " ", "a b", "'", '"', "\\", "$HOME", "`id`", "$(id)", "*", "~", "=ls", "!x", "#"],
    ["a\nb", "\t", "-n", "--", "-u", "root", "VAR=1", "{}", ";", "&&", "|", "%s"],
    [b"\xff\xfe", "é漢🚀", b"\x01\x1b[31m"],
    ["x" * 100_000, "y" * 100_000],
    [str(number) for number in range(5000)],
]


@pytest.mark.parametrize("words", ARGV, ids=range(len(ARGV)))
def test_argv_is_intact(pod: Pod, words: list[str | bytes]) -> None:
    """To the byte: no shell of ours reads it."""
    result = pod.run("/usr/bin/printf", "%s\\0", *words)
    assert result.out == b"".join((w if isinstance(w, bytes) else w.encode()) + b"\0" for w in words)


def test_the_command_is_found_on_the_pods_path(pod: Pod) -> None:
    """PATH of the pod, also for the command itself."""
    pod.write("/opt/x/bin/tool", "#!/bin/sh\necho tool $0\n", 0o755)
    assert pod.run("tool", env={"PATH": "/opt/x/bin:/usr/bin:/bin"}).text == "tool /opt/x/bin/tool\n"


@pytest.mark.parametrize(
    ("command", "code"), [("/nowhere", 127), ("nowhere", 127), ("/etc/passwd", 126), ("/etc", 126), ("", 127)]
)
def test_a_command_that_cannot_be_run(pod: Pod, command: str, code: int) -> None:
    """The shell's codes, and what the shell says."""
    pod.run(command, code=code)


def test_a_working_directory_that_vanishes_is_no_other_one(pod: Pod) -> None:
    """A hook removes it: the command does not run elsewhere."""
    pod.write("/etc/mlo/boot.d/10", "#!/bin/sh\nrmdir /work\n", 0o755)
    pod.path("/work").mkdir()
    pod.path("/work").chmod(0o777)
    result = pod.run("/bin/echo", "ran", env={"WORKING_DIR": "/work"}, code=None)
    assert result.code != 0
    assert result.out == b""


def test_limits_pass(make_pod: MakePod) -> None:
    """Open files and core files as the runtime set them, soft and hard."""
    pod = make_pod("uid")
    pod.options += ["--limit", f"{resource.RLIMIT_NOFILE}=700:900", "--limit", f"{resource.RLIMIT_CORE}=4096:1048576"]
    assert pod.run("/bin/bash", "-c", "ulimit -Sn; ulimit -Hn; ulimit -Sc; ulimit -Hc").text == "700\n900\n4\n1024\n"


def test_what_the_runtime_left_does_not_spoil_the_boot(pod: Pod) -> None:
    """A file-size limit of 0 in the pod concerns the command, not the account files."""
    pod.options += ["--limit", f"{resource.RLIMIT_FSIZE}=0:18446744073709551615"]
    live = pod.start("/bin/sh", "-c", "id -un; ulimit -f")
    assert live.wait(0).text == f"{USER}\n0\n"
    pod.script("test -e $ZSH/tool.sh")


def test_stdin_and_stdout_are_the_commands(pod: Pod) -> None:
    """Input reaches it, its output is the only one on stdout, and the log is on stderr."""
    data = bytes(range(256)) * 500
    result = pod.run("/bin/cat", stdin=data)
    assert result.out == data
    assert all(line.startswith("[mlo] ") for line in result.err.decode().splitlines())


def test_no_descriptor_leaks(pod: Pod) -> None:
    """The command has stdin, stdout and stderr, and no file of the boot's."""
    assert pod.run("/bin/ls", "/proc/self/fd").text.split() == ["0", "1", "2", "3"]


def test_signals_are_as_new(pod: Pod) -> None:
    """None blocked, none ignored in the command, whatever the boot did."""
    text = pod.run("/bin/cat", "/proc/self/status").text
    assert {line.split()[1] for line in text.splitlines() if line.startswith(("SigB", "SigI", "SigC"))} == {"0" * 16}


def test_sudo_does_not_stay(pod: Pod) -> None:
    """The command is PID 1's child, and PID 1 is ours: two processes in the pod."""
    live = pod.start("/bin/sh", "-c", "echo up; read x", tty=True)
    live.stdout.wait_for(b"up")
    processes = live.processes()
    assert len(processes) == 2, processes
    assert live.exec("/bin/sh", "-c", "ps -o ppid= -C sh | head -1").wait(0).text.strip() == "1"
    live.type(b"\n")
    live.wait(0)


def test_without_a_command_a_login_zsh(pod: Pod) -> None:
    """Interactive, in the working directory, as the user."""
    live = pod.start(tty=True)
    live.type(b"echo $ZSH_NAME $options[login] $options[interactive] $PWD $(id -u)\n")
    live.stdout.wait_for(f"zsh on on {HOME} {UID}".encode())
    live.type(b"exit 6\n")
    live.wait(6)
