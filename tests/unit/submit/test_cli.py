from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mlo_submit.machine import Machine
from tests.unit.submit.conftest import ENV, Api, Fake, Invoke, write_kubeconfig

DRY = ("run", "--dry-run", "--backend", "docker")


def test_help_lists_every_command(invoke: Invoke) -> None:
    for argv in (("--help",), ("-h",), ()):
        result = invoke(*argv)
        for name in ("run", "sync-secret", "init"):
            assert f"\n  {name} " in result.output


def test_an_unknown_command_is_a_usage_error(invoke: Invoke) -> None:
    result = invoke("rum")
    assert result.exit_code == 2
    assert "No such command 'rum'" in result.stderr


@pytest.mark.parametrize(
    "argv",
    [
        ("-c", "a", "--", "b"),
        ("-c", ""),
        ("-n", "Not_A_Name"),
        ("-t", "0"),
        ("-t", "-5"),
        ("-t", "soon"),
        ("--grace", "x"),
        ("-g", "-1"),
        ("-g", "two"),
        ("--workers", "-1"),
        ("--retries", "many"),
        ("--memory", "64"),
        ("--cpus", "0"),
        ("-p", "70000"),
        ("--uid", "0"),
        ("--env", "A"),
        ("--env", "1A=x"),
        ("--mount", "data"),
        ("--mount", "data:relative"),
        ("--node-type", "a b"),
        ("--pvc", "No_Claim"),
        ("--secret-name", "a/b"),
        ("--backend", "slurm"),
        ("--unknown",),
    ],
)
def test_usage_errors(invoke: Invoke, env_file: Path, argv: tuple[str, ...]) -> None:
    result = invoke(*DRY, *argv)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""


def test_what_follows_the_dashes_is_the_commands(invoke: Invoke, env_file: Path) -> None:
    assert invoke(*DRY, "--", "python", "-n", "--dry-run", "-c", "x").stdout.endswith(" python -n --dry-run -c x\n")


def test_old_names_of_flags(invoke: Invoke, env_file: Path) -> None:
    for flag in ("--retries", "--backofflimit", "--backoff-limit"):
        assert "on-failure:3" in invoke(*DRY, "--train", flag, "3").stdout
    assert invoke("run", "--backend", "docker", "--dry").stdout.startswith("docker run ")


def test_the_version_is_shown(invoke: Invoke) -> None:
    assert invoke("--version").output.startswith("mlo-submit")


def test_a_dry_run_sends_no_secret_either(invoke: Invoke, env_file: Path, api: Api) -> None:
    result = invoke("run", "--sync-secret-only", "--dry-run")
    assert (result.exit_code, result.stdout, api.requests) == (0, "", [])
    assert "Secret jdoe-env in runai-mlo-jdoe would hold HF_TOKEN, K8S_NAMESPACE, " in result.stderr


def test_a_place_that_cannot_be_written_is_a_message(
    invoke: Invoke, env_file: Path, laptop: Machine, fake: Callable[[str], Fake]
) -> None:
    fake("docker").reply("container", "inspect", code=1)
    (laptop.home / ".local").write_text("a file where a directory should be")
    result = invoke("run", "--backend", "docker")
    assert result.exit_code == 1
    assert ".local" in result.stderr
    assert "Not a directory" in result.stderr


def test_retries_of_an_interactive_job_are_a_warning(invoke: Invoke, env_file: Path) -> None:
    assert "add --train" in invoke(*DRY, "--retries", "3").stderr
    assert "add --train" not in invoke(*DRY, "--retries", "3", "--train").stderr


def test_options_before_and_after_the_commands_name_mean_the_same_and_the_later_wins(
    invoke: Invoke, env_file: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.env"
    other.write_text(ENV.replace("jdoe", "other"))
    both: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
        (("--backend", "docker"), ()),
        ((), ("--backend", "docker")),
        (("--backend", "runai"), ("--backend", "docker")),
    ]
    for before, after in both:
        assert invoke(*before, "run", *after, "--dry-run").stdout.startswith("docker run ")
    for before, after in [
        (("--env-file", str(other)), ()),
        ((), ("--env-file", str(other))),
        (("--env-file", ".env"), ("--env-file", str(other))),
    ]:
        assert "NB_USER=other" in invoke(*before, *DRY, *after).stdout


def test_stdout_carries_only_what_would_be_sent(invoke: Invoke, env_file: Path) -> None:
    env_file.chmod(0o644)
    (env_file.parent.parent / "home/.ssh").mkdir()
    (env_file.parent.parent / "home/.ssh/github").write_text("-----BEGIN EC PRIVATE KEY-----\nhidden")
    for backend in ("docker", "runai"):
        assert len(invoke("run", "--dry-run", "--backend", backend).stdout.splitlines()) == 1
    result = invoke("run", "--dry-run", "--backend", "kubernetes")
    assert result.stdout.startswith("apiVersion: batch/v1\n")
    assert "Warning: " in result.stderr
    assert "SSH_PRIVATE_KEY_B64 comes from" in result.stderr


def test_the_backend_is_what_is_there(
    invoke: Invoke, env_file: Path, fake: Callable[[str], Fake], laptop: Machine
) -> None:
    def backend() -> str:
        result = invoke("run", "--dry-run")
        assert result.exit_code == 0, result.output
        return next(line for line in result.stderr.splitlines() if line.startswith("Backend: "))

    assert backend() == "Backend: docker (there is neither a runai on PATH nor a kubeconfig with a context)."
    write_kubeconfig(laptop, "http://127.0.0.1:9")
    assert backend() == "Backend: kubernetes (the kubeconfig has a context)."
    fake("runai").reply("workspace", code=1)
    assert backend() == "Backend: runai (runai is on PATH)."
    env_file.write_text(ENV + "MLO_BACKEND=docker\n")
    assert backend() == "Backend: docker (MLO_BACKEND)."
    env_file.write_text(ENV + "MLO_BACKEND=slurm\n")
    result = invoke("run", "--dry-run")
    assert (result.exit_code, result.stdout) == (64, "")
    assert "line 13: MLO_BACKEND=slurm must be one of runai, kubernetes, docker" in result.stderr


@pytest.mark.parametrize("text", ["", "current-context: ''\n", 'current-context: ""\n', "kind: Config\n"])
def test_a_kubeconfig_without_a_context_is_none(invoke: Invoke, env_file: Path, laptop: Machine, text: str) -> None:
    (laptop.home / ".kube").mkdir()
    (laptop.home / ".kube/config").write_text(text)
    assert "Backend: docker" in invoke("run", "--dry-run").stderr


def test_each_backend_asks_for_what_it_needs(invoke: Invoke, env_file: Path) -> None:
    env_file.write_text("\n".join(ENV.splitlines()[:4]))
    result = invoke("run", "--dry-run", "--backend", "kubernetes")
    assert result.exit_code == 64
    for key in ("K8S_NAMESPACE", "RUNAI_IMAGE", "RUNAI_SECRET_NAME", "SCRATCH_PVC"):
        assert f"{key} is missing" in result.stderr
    result = invoke("run", "--dry-run", "--backend", "docker")
    assert "RUNAI_IMAGE is missing: the image of the job; or give --image" in result.stderr
    assert "SCRATCH_PVC" not in result.stderr
    assert invoke("run", "--dry-run", "--backend", "docker", "--image", "i").exit_code == 0


def test_without_an_env_the_way_to_one_is_shown(invoke: Invoke) -> None:
    for argv in (("run", "--dry-run"), ("sync-secret",)):
        result = invoke(*argv)
        assert result.exit_code == 64
        assert "`mlo-submit init` writes one" in result.stderr


def test_errors_are_one_line_and_end_with_their_code(invoke: Invoke, env_file: Path, api: Api) -> None:
    result = invoke("run", "--backend", "kubernetes")
    assert result.exit_code == 73
    assert [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert "Traceback" not in result.output


def test_a_dry_run_imports_nothing_that_it_does_not_need(env_file: Path) -> None:
    """Each of these costs as much as all else; subprocess is there already where click's Python loads it."""
    script = (
        "import sys, click, dotenv; floor = set(sys.modules)\n"
        "from mlo_submit.cli import main\n"
        "try: main(['run', '--dry-run', '--backend', sys.argv[1]])\n"
        "except SystemExit: pass\n"
        "heavy = {'yaml', 'kubernetes', 'urllib3', 'subprocess', 'rich', 'asyncio'} & (set(sys.modules) - floor)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    for backend in ("docker", "kubernetes", "runai"):
        environ = {"PATH": "", "HOME": str(env_file.parent), "PYTHONPATH": str(Path(__file__).parents[3])}
        done = subprocess.run(
            [sys.executable, "-c", script, backend], env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_a_ctrl_c_while_it_starts_is_one(tmp_path: Path) -> None:
    """Before any command is known: in the middle of an import."""
    (tmp_path / "click.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    environ = {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[3]}"}
    argv = [sys.executable, "-m", "mlo_submit", "list"]
    done = subprocess.run(argv, env=environ, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (130, b"")
