"""The scripts that carry the environment are read by real shells."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mlo_entry import environment, handoff, host, settings
from tests.unit.entry.pods import ENVIRON

BASH = shutil.which("bash") or "/bin/bash"
SHELLS = [path for name in ("bash", "dash", "zsh") if (path := shutil.which(name))]


def seen_by_the_command(tmp_path: Path, variables: dict[str, str], by_sudo: dict[str, str]) -> dict[str, str]:
    """What `env` sees behind the hand-off's bash, started as sudo starts it."""
    script = tmp_path / "job.sh"
    script.write_bytes(environment.job_script(variables))
    argv = [BASH, "-c", handoff.ENTER, "bash", str(tmp_path), shutil.which("env") or "/usr/bin/env", "-0"]
    done = subprocess.run(argv, env={**by_sudo, "BASH_ENV": str(script)}, capture_output=True, check=True)
    pairs = [os.fsdecode(line).partition("=") for line in done.stdout.split(b"\0") if line]
    return {name: value for name, _, value in pairs}


SUDOS = {
    "PATH": "/secure",
    "TERM": "unknown",
    "MAIL": "/var/mail/x",
    "SUDO_COMMAND": "x",
    "SUDO_UID": "0",
    "HOME": "/h",
}
NAMES = st.sampled_from(
    ["A", "_x", "IFS", "PATH", "BASH_ENV", "RANDOM", "SECONDS", "LINENO", "LD_PRELOAD", "PS4", "LANG"]
)
VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)


@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(NAMES, VALUES))
def test_variables_arrive_to_the_byte(tmp_path: Path, variables: dict[str, str]) -> None:
    seen = seen_by_the_command(tmp_path, variables, SUDOS)
    for name in ("PWD", "OLDPWD", "SHLVL", "_"):  # bash's own
        seen.pop(name, None)
    assert seen == {**variables, "HOME": "/h"}


def test_large_and_odd_values(tmp_path: Path) -> None:
    variables = {"BIG": "x" * 100_000, "LINES_": "a\nb\n", "BYTES": os.fsdecode(b"\xff\xfe'\\\""), "SHLVL": "9"}
    seen = seen_by_the_command(tmp_path, variables, {"a.b": "1", "BASH_FUNC_f%%": "() {  :\n}"})
    assert {name: seen.get(name) for name in variables} == variables
    assert (seen["a.b"], seen["BASH_FUNC_f%%"]) == ("1", "() {  :\n}")


def test_sudo_sees_nothing_that_a_program_could_heed(environ: dict[str, str], machine: host.Host) -> None:
    hostile = {
        "LD_PRELOAD": "/x",
        "OPENSSL_CONF": "/x",
        "IFS": "x",
        "BASH_ENV": "/x",
        "PYTHONPATH": "/x",
        "SUDO_ASKPASS": "/x",
    }
    wanted = settings.from_environ({**environ, **hostile, "a.b": "1", "UID": "7"})
    job = environment.job(wanted, machine)
    assert job.passed == {"a.b": "1"}
    assert set(handoff.environ(job.passed)) == {b"PATH", b"BASH_ENV", b"a.b"}
    assert {name: job.script.get(name) for name in hostile} == {**hostile, "SUDO_ASKPASS": None}
    assert not environment.lost(wanted.environ)


def test_what_is_the_boots_alone_ends_with_it(environ: dict[str, str], machine: host.Host) -> None:
    ours = dict.fromkeys(("SSH_PRIVATE_KEY_B64", "SSH_PUBLIC_KEY", "SSH_KNOWN_HOSTS"), "x")
    wanted = settings.from_environ(
        {**environ, **ours, "MLO_SECRETS_DIR": "/s"}, {"SSH_KNOWN_HOSTS": "y", "WANDB_API_KEY": "w"}
    )
    job = environment.job(wanted, machine)
    assert not {*ours, "MLO_SECRETS_DIR"} & {*job.script, *job.passed}
    assert job.script["WANDB_API_KEY"] == "w"


def test_the_users_own_values_stay(environ: dict[str, str], machine: host.Host) -> None:
    own = {
        "UV_CACHE_DIR": "/data/uv",
        "HF_TOKEN_PATH": "/t",
        "UV_LINK_MODE": "symlink",
        "ZDOTDIR": "/z",
        "HISTFILE": "",
    }
    job = environment.job(settings.from_environ({**environ, **own}), machine)
    assert {name: job.script[name] for name in own} == {**own, "HISTFILE": "/mloscratch/homes/jdoe/.zsh_history"}


@pytest.mark.parametrize(
    ("cache", "working_dir", "mode"),
    [
        ("/mloscratch/uv", "/mloscratch/homes/jdoe/p", None),
        ("/data/uv", "/mloscratch/homes/jdoe/p", "copy"),
        ("/mloscratch/uv", "/tmp", "copy"),
        ("/mloscratch2/uv", "/tmp", None),
    ],
)
def test_link_mode(environ: dict[str, str], machine: host.Host, cache: str, working_dir: str, mode: str | None) -> None:
    wanted = settings.from_environ({**environ, "UV_CACHE_DIR": cache, "WORKING_DIR": working_dir})
    assert environment.session(wanted, machine).get("UV_LINK_MODE") == mode


@pytest.mark.parametrize("shell", SHELLS)
def test_a_session_gets_the_jobs_environment_once(
    tmp_path: Path, environ: dict[str, str], machine: host.Host, shell: str
) -> None:
    wanted = settings.from_environ(environ, {"WANDB_API_KEY": "it's\na key", "SSH_PRIVATE_KEY_B64": "c2VjcmV0"})
    script = tmp_path / "env.sh"
    script.write_bytes(environment.session_script(wanted, machine))

    def source(given_: dict[str, str]) -> dict[str, str]:
        argv = [shell, "-c", f". {script}; umask; exec /usr/bin/env -0"]
        done = subprocess.run(argv, env=given_, capture_output=True, check=True)
        umask, _, rest = done.stdout.partition(b"\n")
        pairs = (os.fsdecode(line).partition("=") for line in rest.split(b"\0") if line)
        return {"umask": umask.decode(), **{name: value for name, _, value in pairs}}

    seen = source(
        {"HOME": "/", "PATH": "/usr/bin", "SSH_PRIVATE_KEY_B64": "c2VjcmV0", "HF_HOME": "/given", "HISTFILE": "b"}
    )
    assert seen["umask"][-3:] == "007"
    assert seen["WANDB_API_KEY"] == "it's\na key"
    assert (seen["HOME"], seen["USER"], seen["PATH"]) == ("/home/jdoe", "jdoe", ENVIRON["PATH"])
    assert seen["ZDOTDIR"] == "/mloscratch/homes/jdoe/.shell"
    assert seen["HF_HOME"] == "/given"
    assert seen["HISTFILE"] == "/mloscratch/homes/jdoe/.zsh_history"  # an interactive bash has its own until then
    assert "SSH_PRIVATE_KEY_B64" not in seen
    inner = source({**{k: v for k, v in seen.items() if k != "umask"}, "ZDOTDIR": "/changed", "PATH": "/usr/bin"})
    assert (inner["ZDOTDIR"], inner["PATH"]) == ("/changed", ENVIRON["PATH"])


def test_exported_functions_wait_behind_the_hand_offs_bash() -> None:
    passed = {"a.b": "1", "BASH_FUNC_cd%%": "() { :; }"}
    argv = handoff.argv("jdoe", "/w", ["cmd"], passed)
    assert argv[-4:] == ["/w", "/usr/bin/env", "BASH_FUNC_cd%%=() { :; }", "cmd"]
    assert set(handoff.environ(passed)) == {b"PATH", b"BASH_ENV", b"a.b"}


def test_the_hand_off() -> None:
    argv = handoff.argv("jdoe", "/w d", ["python", "-c", "a\nb", ""], {"a.b": "1", "c-d": "2"})
    assert argv == [
        *("/usr/bin/sudo", "-n", "-H", "--preserve-env=BASH_ENV,a.b,c-d", "-u", "jdoe", "--"),
        *("/bin/bash", "-c", 'cd "$1" || exit; shift; exec -- "$@"', "bash", "/w d", "python", "-c", "a\nb", ""),
    ]
