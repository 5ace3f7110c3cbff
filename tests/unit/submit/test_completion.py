from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlo_submit import kube
from mlo_submit.commands import completion
from mlo_submit.env import Config
from mlo_submit.machine import Machine
from tests.screen import Screen
from tests.unit.submit.conftest import ENV, Api, Invoke, status, write_kubeconfig
from tests.unit.submit.test_watch import JOBS, serve

ROOT = Path(__file__).parents[3]

# How each shell starts with nothing of the machine's, and knows the completion.
START = {
    "bash": ("--norc --noprofile -i", "bind 'set show-all-if-ambiguous on'; bind 'set bell-style none'"),
    "zsh": ("-f -i", "autoload -U compinit; compinit -D -u"),
}


@pytest.fixture
def command(tmp_path: Path) -> Path:
    """mlo-submit on PATH, as pip makes it, and env, which the scripts call."""
    path = tmp_path / "bin/mlo-submit"
    path.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom mlo_submit.cli import main\nmain()\n"
    )
    path.chmod(0o755)
    (tmp_path / "bin/env").symlink_to("/usr/bin/env")
    return path


def complete(command: Path, machine: Machine, *words: str) -> list[str]:
    """What bash would be told for the words so far, of which the last is begun."""
    asked = {"_MLO_SUBMIT_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(["mlo-submit", *words])}
    environ = {**machine.environ, **asked, "COMP_CWORD": str(len(words))}
    done = subprocess.run([command], env=environ, capture_output=True, text=True, check=True, timeout=20)
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


@pytest.mark.parametrize("shell", list(START))
def test_a_real_shell_completes_commands_options_and_jobs(
    shell: str, command: Path, laptop: Machine, api: Api, config: Config, env_file: Path
) -> None:
    """Typed at its prompt, key by key; the line that it makes of them runs."""
    program = shutil.which(shell, path="/bin:/usr/bin") or pytest.skip(f"no {shell} on this machine")
    serve(api, config, "alpha-1", "beta-2")
    (alpha, _) = api.answers[("GET", JOBS)][1]["items"]
    api.answers[("GET", f"{JOBS}/alpha-1")] = (200, alpha)
    options, setup = START[shell]
    environ = {**laptop.environ, "TERM": "dumb", "HISTFILE": ""}
    with Screen([program, *options.split()], env=environ, cwd=laptop.cwd, columns=200) as screen:
        screen.type(f'{setup}; eval "$(mlo-submit completion {shell} 2>/dev/null)"; echo rea""dy\n')
        screen.wait_for("ready")
        for keys, completed in (
            ("mlo-submit --back", "--backend "),
            ("kube", "kubernetes "),
            ("desc", "describe "),
            ("--wh", "--why "),
            ("al", "alpha-1 "),
        ):
            screen.type(f"{keys}\t")
            screen.wait_for(f"{completed}$")
        screen.type("\n")
        screen.wait_for("its pod is not made yet")


def test_fish_completes_them_too(command: Path, laptop: Machine, api: Api, config: Config, env_file: Path) -> None:
    fish = shutil.which("fish", path="/bin:/usr/bin") or pytest.skip("no fish on this machine")
    serve(api, config, "alpha-1", "beta-2")
    asked = (
        "mlo-submit desc",
        "mlo-submit --backend kubernetes describe --wh",
        "mlo-submit --backend kubernetes describe al",
    )
    script = "; ".join(
        ["mlo-submit completion fish 2>/dev/null | source", *(f"complete -C '{line}'" for line in asked)]
    )
    argv = [fish, "--no-config", "-c", script]
    done = subprocess.run(argv, env=dict(laptop.environ), capture_output=True, text=True, check=True, timeout=20)
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["describe", "--why", "alpha-1"]


def test_jobs_are_those_where_the_options_say(
    command: Path, laptop: Machine, api: Api, config: Config, env_file: Path
) -> None:
    serve(api, config, "alpha", "beta")
    other = env_file.with_name("other.env")
    other.write_text(ENV.replace("K8S_NAMESPACE=runai-mlo-jdoe", "K8S_NAMESPACE=elsewhere"))
    kubernetes = ("--backend", "kubernetes")
    assert complete(command, laptop, *kubernetes, "describe", "") == ["beta", "alpha"]
    assert complete(command, laptop, "describe", *kubernetes, "a") == ["alpha"]
    assert complete(command, laptop, "--env-file", "other.env", *kubernetes, "describe", "") == []
    assert any("/namespaces/elsewhere/" in request[1] for request in api.requests)


def test_what_cannot_be_had_is_completed_by_nothing(command: Path, laptop: Machine, api: Api, env_file: Path) -> None:
    """No message in the middle of a command line: neither of a server in trouble, nor of a .env that is not there."""
    api.answers[("GET", JOBS)] = status(500, "etcd is away")
    assert complete(command, laptop, "--backend", "kubernetes", "describe", "") == []
    env_file.unlink()
    assert complete(command, laptop, "--backend", "docker", "describe", "") == []
    assert complete(command, laptop, "--env-file", "none", "describe", "") == []


def test_an_answer_that_took_long_is_kept_for_the_next_key(
    command: Path, laptop: Machine, api: Api, config: Config, env_file: Path
) -> None:
    serve(api, config, "alpha")
    answer = api.answers[("GET", JOBS)]
    questions = 0

    def slow() -> object:
        nonlocal questions
        questions += 1
        time.sleep(completion.QUICK)
        return answer

    api.answers[("GET", JOBS)] = slow
    for _ in range(2):
        assert complete(command, laptop, "--backend", "kubernetes", "describe", "") == ["alpha"]
    assert questions == 1
    (kept,) = (laptop.home / ".cache/mlo").iterdir()
    old = time.time() - completion.KEPT
    os.utime(kept, (old, old))
    kept.write_text("broken")
    assert complete(command, laptop, "--backend", "kubernetes", "describe", "") == ["alpha"]


def test_nobody_waits_for_a_server_that_does_not_answer(command: Path, laptop: Machine, env_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        write_kubeconfig(laptop, f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        assert complete(command, laptop, "--backend", "kubernetes", "describe", "") == []
        assert time.monotonic() - began < kube.READ_TIMEOUT


def test_the_script_is_for_the_shell_that_is_asked_for_or_used(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    for shell, words in (
        ("bash", "complete -o nosort"),
        ("zsh", "#compdef mlo-submit"),
        ("fish", "complete --no-files"),
    ):
        asked = invoke("completion", shell)
        assert words in asked.stdout
        assert f"mlo-submit completion {shell}" in asked.stderr
        monkeypatch.setenv("SHELL", f"/usr/bin/{shell}")
        assert invoke("completion").stdout == asked.stdout
    assert invoke("completion", "tcsh").exit_code == 2
    for name in ("/bin/tcsh", ""):
        monkeypatch.setenv("SHELL", name)
        result = invoke("completion")
        assert (result.exit_code, "name one of bash, zsh, fish" in result.stderr) == (2, True)
