"""Later sessions, hooks, the report, and the entrypoint as a program."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.container.conftest import MakePod
from tests.container.live import Live
from tests.container.machine import ENTRY, GID, HOME, UID, USER
from tests.container.pod import Pod
from tests.container.scratch import Scratch
from tests.container.trees import snapshot

VARIABLES = (
    "ZDOTDIR", "ZSH", "HISTFILE", "GIT_CONFIG_GLOBAL", "UV_CACHE_DIR", "UV_PYTHON_INSTALL_DIR", "HF_HOME",
    "HF_TOKEN_PATH", "SCRATCH_HOME", "HOME", "USER", "SHELL", "WANDB_API_KEY", "PATH",
)  # fmt: skip

CACHE_SECONDS = 1
SHOW = "; ".join(f'echo "{name}=${name}"' for name in VARIABLES) + "; umask; env | grep -c ^SSH_ ; true"
PATH = "/opt/x/bin:/usr/local/bin:/usr/bin:/bin"


@pytest.fixture
def live(pod: Pod) -> Iterator[Live]:
    """A pod with secrets as files, which waits."""
    pod.environ[b"PATH"] = PATH.encode()
    pod.environ[b"SSH_KNOWN_HOSTS"] = b"host key"
    pod.write("/run/secrets/mlo/WANDB_API_KEY", "a 'secret'\nof two lines")
    pod.write("/run/secrets/mlo/SSH_PRIVATE_KEY_B64", "eA==")
    live = pod.start("/bin/sh", "-c", "echo up; read x", tty=True)
    live.stdout.wait_for(b"up")
    yield live
    live.type(b"\n")
    live.wait(0, expect=[])


@pytest.mark.parametrize("shell", ["zsh -lc", "zsh -c", "zsh -ic", "bash -lc", "bash -ic"])
def test_a_session_has_the_jobs_environment(live: Live, shell: str) -> None:
    """Variables, PATH, umask 007 and the secrets that came as files, without the SSH key."""
    program, flags = shell.split()
    result = live.exec(f"/bin/{program}", flags, SHOW, tty="i" in flags).wait(0)
    seen = result.text.replace("\r\n", "\n")
    for line in (
        f"ZDOTDIR={HOME}/.shell",
        f"ZSH={HOME}/.shell/.oh-my-zsh",
        f"HISTFILE={HOME}/.zsh_history",
        f"GIT_CONFIG_GLOBAL={HOME}/.gitconfig",
        f"UV_CACHE_DIR={HOME}/.cache/uv",
        f"UV_PYTHON_INSTALL_DIR={HOME}/.uv",
        "HF_HOME=/mloscratch/hf_cache",
        f"HOME=/home/{USER}",
        f"USER={USER}",
        "SHELL=/bin/zsh",
        "WANDB_API_KEY=a 'secret'\nof two lines",
        f"PATH={PATH}",
    ):
        assert line + "\n" in seen
    assert f"HF_TOKEN_PATH={HOME}/" in seen
    assert seen.endswith("007\n0\n")


def test_the_default_user_of_a_bare_start(make_pod: MakePod) -> None:
    """`kubectl exec` without a user, in a pod that runs as a UID: that is the user, groups, sudo and all."""
    pod = make_pod("uid")
    live = pod.start("/bin/sh", "-c", "echo up; read x", tty=True)
    live.stdout.wait_for(b"up")
    result = live.exec("/bin/zsh", "-lc", "id -un; echo $HOME $HISTFILE; sudo -n id -u", user=(UID, GID)).wait(0)
    assert result.text == f"{USER}\n/home/{USER} {HOME}/.zsh_history\n0\n"
    live.type(b"\n")
    live.wait(0)


def test_an_interactive_session(live: Live) -> None:
    """zsh as people use it: the user's .zshrc, the history on scratch, no complaint."""
    session = live.exec("/bin/zsh", "-l", tty=True)
    session.type(b"echo $OMZ_LOADED-$HISTFILE; umask\n")
    session.stdout.wait_for(f"yes-{HOME}/.zsh_history".encode())
    session.type(b"exit 5\n")
    assert b"not found" not in session.wait(5).out


def test_completion_is_ready_for_a_terminal_and_costs_a_job_nothing(pod: Pod) -> None:
    """Where there is no oh-my-zsh: a job looks for none, and a shell takes what the image has found."""
    pod.write("/etc/mlo/zcompdump", pod.read("/etc/mlo/zcompdump") + "\n# the image's\n")
    job = "zsh -c 'source ~/.zshrc; alias ll; whence -w compdef || true'; [ ! -e ~/.zcompdump ]"
    shell = "zsh -ic 'whence -w compdef'; tail -n 1 ~/.zcompdump"
    expected = "ll='ls -lh'\ncompdef: none\ncompdef: function\n# the image's\n"
    assert pod.script(f"unset ZSH; {job}; {shell}").text == expected


def test_sessions_of_others_are_not_touched(live: Live) -> None:
    """Root, and a uid that nobody knows: their shells work, without the user's variables."""
    for user in ("root", (4242, 4242)):
        result = live.exec("/bin/bash", "-lc", "echo ${HISTFILE-none} ${WANDB_API_KEY-none}; umask", user=user).wait(0)
        assert result.text.splitlines()[0] == "none none"
        assert "ermission" not in result.err.decode()


def test_a_shell_of_the_job_keeps_what_the_job_set(pod: Pod) -> None:
    """A shell within the job is no session: what the job changed stays changed."""
    script = "export HISTFILE=/tmp/h HF_HOME=/x PATH=/y:$PATH; umask 077; zsh -c 'echo $HISTFILE $HF_HOME $PATH; umask'"
    assert pod.script(script).text.startswith("/tmp/h /x /y:")
    assert pod.script(script).text.endswith("\n077\n")


def test_a_session_may_set_its_own(live: Live) -> None:
    """`docker exec -e HF_HOME=…` wins over the boot's."""
    assert live.exec("/bin/zsh", "-lc", "echo $HF_HOME", env={"HF_HOME": "/mine"}).wait(0).text == "/mine\n"


# Hooks.


def test_hooks_run_in_order_as_root(pod: Pod) -> None:
    """Before the hand-off, after the account is made; files that are not executable are left alone."""
    for name in ("20-b", "10-a"):
        pod.write(
            f"/etc/mlo/boot.d/{name}", f"#!/bin/sh\necho {name} $(id -u) $(id -u {USER}) $NB_USER >>/tmp/order\n", 0o755
        )
    pod.write("/etc/mlo/boot.d/00-readme", "#!/bin/sh\necho readme >>/tmp/order\n", 0o644)
    assert pod.script("cat /tmp/order").text == f"10-a 0 {UID} {USER}\n20-b 0 {UID} {USER}\n"


@pytest.mark.parametrize("text", ["#!/bin/sh\nexit 3\n", "#!/nowhere\n", "no program", "#!/bin/sh\nkill -9 $$\n", ""])
def test_a_failing_hook_is_a_warning(pod: Pod, text: str) -> None:
    """It is named, the next one runs, and so does the job."""
    pod.write("/etc/mlo/boot.d/10-bad", text, 0o755)
    pod.write("/etc/mlo/boot.d/20-good", "#!/bin/sh\ntouch /tmp/good\n", 0o755)
    pod.script("test -e /tmp/good", expect=["WARNING.*/etc/mlo/boot.d/10-bad"] if text else None)


def test_a_hook_has_no_secrets_and_no_hostile_environment(pod: Pod) -> None:
    """Its environment is built: the pod's is its user's."""
    pod.write("/etc/mlo/boot.d/10", "#!/bin/sh\nenv >/tmp/seen\n", 0o755)
    pod.script("true", env={"LD_PRELOAD": "/tmp/x.so", "WANDB_API_KEY": "k", "PYTHONPATH": "/x"}, expect=None)
    seen = pod.read("/tmp/seen")
    assert not [name for name in ("LD_PRELOAD", "WANDB_API_KEY", "PYTHONPATH") if name in seen]


def test_output_of_a_hook_is_not_the_commands(pod: Pod) -> None:
    """stdout is the command's alone, stdin too."""
    pod.write("/etc/mlo/boot.d/10", "#!/bin/sh\necho noise; cat\n", 0o755)
    assert pod.run("/bin/cat", stdin=b"input").out == b"input"


# The report.


def test_the_report(pod: Pod) -> None:
    """boot.json: the start, each step with its duration and changes, the warnings; and it is readable for all."""
    live = pod.start("/bin/sh", "-c", "echo up; read x", tty=True, env={"SSH_PRIVATE_KEY_B64": "bad"})
    live.stdout.wait_for(b"up")
    report = json.loads(pod.read("/run/mlo/boot.json"))
    assert str(pod.uid) in report["start"]
    steps = {step["step"]: step for step in report["steps"]}
    assert list(steps)[:3] == ["account", "storage", "home"]
    assert all(step["ms"] >= 0 for step in steps.values())
    assert steps["account"]["changed"]
    assert [warning for warning in report["warnings"] if "SSH_PRIVATE_KEY_B64" in warning]
    for user in (USER, (4242, 4242), "root"):
        lines = live.exec("/usr/local/bin/mlo-status", user=user).wait(0).text.splitlines()
        assert any("WARNING" in line and "SSH_PRIVATE_KEY_B64" in line for line in lines)
        assert len(lines) > len(steps)
        assert all(any(line.startswith(step) for line in lines) for step in steps)
    live.type(b"\n")
    live.wait(0)


def test_a_second_boot_reports_no_change(pod: Pod) -> None:
    """Nothing that lasts was changed: what it lists is made anew at each boot."""
    pod.script("true")
    pod.script("true")
    steps = {step["step"]: step["changed"] for step in json.loads(pod.read("/run/mlo/boot.json"))["steps"]}
    assert {name: changed for name, changed in steps.items() if changed and name not in ("ssh", "session")} == {}


def test_the_log_is_short(pod: Pod) -> None:
    """Every line begins with [mlo], and a boot without trouble needs no more than three."""
    result = pod.script("true")
    assert len(result.log) == len(result.err.splitlines()) <= 3


def test_mlo_status_without_a_boot(make_pod: MakePod) -> None:
    """It says that there is none, without a traceback."""
    result = make_pod("uid").run(entry="/usr/local/bin/mlo-status", code=1)
    assert result.err


def test_the_plan_touches_nothing(pod: Pod, scratch: Scratch) -> None:
    """`python3 -m mlo_entry --plan`: actions as JSON, without the key; for root and for anybody else."""
    pod.run("-c", "true", entry="/bin/sh")
    before = snapshot(pod.directory / "upper", scratch.backing)
    env = {"SSH_PRIVATE_KEY_B64": "LS0tLS1CRUdJTiBLRVkK", "WANDB_API_KEY": "very-secret", "GIT_USER_NAME": "x"}
    result = pod.run("-m", "mlo_entry", "--plan", entry="/usr/bin/python3", env=env)
    plan = json.loads(result.out)
    assert {"account", "storage", "home", "git", "ssh", "session"} <= {row["step"] for row in plan}
    assert all("action" in row for row in plan)
    assert "very-secret" not in result.text
    assert "BEGIN KEY" not in result.text
    assert env["SSH_PRIVATE_KEY_B64"] not in result.text
    assert snapshot(pod.directory / "upper", scratch.backing) == before
    pod.run("-m", "mlo_entry", "--plan", entry="/usr/bin/python3", env={"NB_UID": "x"}, code=64, expect=["NB_UID"])


def test_the_entrypoint_again(live: Live) -> None:
    """Inside the container it says so and just runs its command, as whoever calls."""
    for user, uid in ((USER, UID), ("root", 0)):
        result = live.exec(ENTRY, "/bin/sh", "-c", "id -u; echo $A; exit 5", user=user, env={"A": "b"}).wait(5)
        assert result.text == f"{uid}\nb\n"
        assert "booted already" in result.err.decode()
    live.exec(ENTRY, "/nowhere", user=USER).wait(127, expect=["ERROR.*/nowhere"])


def test_the_entrypoint_again_without_a_command(live: Live) -> None:
    """A shell, as without a pod."""
    session = live.exec(ENTRY, tty=True, user=USER)
    session.stdout.wait_for(b"booted already")
    session.type(b"exit 4\n")
    session.wait(4)
