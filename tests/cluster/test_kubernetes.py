"""A job on Kubernetes, from the command on a laptop to the bytes on scratch."""

from __future__ import annotations

import json
import shlex
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.jobs import REPORT, TRAINING, WORDS, assert_is_the_users, reported
from tests.cluster.lab import GID, UID, USER, Lab, Laptop, until


def condition(lab: Lab, job: str, kind: str) -> str:
    """Wait until a job has ended in this way, and return the reason."""
    lab.wait(f"condition={kind}", f"job/{job}")
    found = lab.get("job", job)["status"]["conditions"]
    return next(str(item.get("reason", "")) for item in found if item["type"] == kind)


@pytest.mark.parametrize("secrets", ["files", "env"])
def test_command_runs_as_the_user(laptop: Laptop, lab: Lab, ssh_key: str, secrets: str) -> None:
    """The pod starts from a bare UID; the command has the user's identity, words and secrets; its exit code is ours."""
    done = laptop.submit(
        *("run", "--name", laptop.name, "--train", "--gpus", "1", "--secrets", secrets, "--follow", "--"),
        *("python3", "-c", REPORT + "sys.exit(7)", *WORDS),
    )
    assert done.returncode == 7, done.stderr
    assert_is_the_users(reported(done.stdout), laptop, ssh_key)
    (pod,) = lab.pods(laptop.name)
    assert pod["spec"]["securityContext"] == {"runAsUser": UID, "runAsGroup": GID}
    assert "WARNING" not in done.stdout + done.stderr


def test_exec_sessions_have_the_environment_of_the_job(laptop: Laptop, lab: Lab, ssh_key: str) -> None:
    job = f"job/{laptop.launch()}"
    until(lambda: lab.pods(laptop.name), "a pod")
    lab.wait("condition=Ready", "pod", f"--selector=job-name={laptop.name}")
    home = f"/mloscratch/homes/{USER}"
    boot = "until [ -e /run/mlo/boot.json ]; do sleep 0.05; done"
    lab.kubectl("exec", job, "--", "timeout", "20", "sh", "-c", boot)
    for shell in (("zsh", "-lc"), ("zsh", "-ic"), ("bash", "-lc"), ("bash", "-ic")):
        found = reported(lab.kubectl("exec", job, "--", *shell, shlex.join(["python3", "-c", REPORT])))
        environ = found["environ"]
        assert (found["user"], found["gid"], found["umask"], found["key"]) == (USER, GID, "0o7", ssh_key), shell
        assert environ["HF_TOKEN"] == "hf_of_this_test"
        assert environ["ZDOTDIR"] == f"{home}/.shell"
        assert environ["GIT_CONFIG_GLOBAL"] == f"{home}/.gitconfig"
        assert environ["UV_CACHE_DIR"] == f"{home}/.cache/uv"
        assert "SSH_PRIVATE_KEY_B64" not in environ
    # A bash that asks for commands has chosen a history of its own by then.
    assert lab.kubectl("exec", job, "--", "zsh", "-ic", "echo $HISTFILE") == f"{home}/.zsh_history\n"
    assert lab.kubectl("exec", job, "--", "bash", "-lc", "git config user.name") == "Jane Doe\n"


def test_deleted_job_writes_its_checkpoint(laptop: Laptop, lab: Lab, scratch: Callable[[str], str]) -> None:
    """A delete reaches a child of the command's shell, and is not over before that child is."""
    job = laptop.launch(*TRAINING)
    pod = lab.wait_for_log(job, "started")
    lab.kubectl("delete", "job", job)
    lab.wait("delete", f"pod/{pod}")
    assert scratch(f"{laptop.working_dir}/checkpoint") == "trained"


def test_secret_is_written_only_when_it_changed(laptop: Laptop, lab: Lab) -> None:
    laptop.launch("--", "true")
    first = lab.get("secret", laptop.name)
    assert {"HF_TOKEN", "NOTE", "SSH_PRIVATE_KEY_B64"} <= first["data"].keys()
    again = laptop.submit("run", "--name", f"{laptop.name}-again", "--", "true")
    assert again.returncode == 0, again.stderr
    assert lab.get("secret", laptop.name)["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    laptop.write_env(NOTE=None, EXTRA_SECRET_KEYS=None)
    assert laptop.submit("sync-secret").returncode == 0
    assert "NOTE" not in lab.get("secret", laptop.name)["data"]


def test_foreign_secret_is_left_alone_until_adopted(laptop: Laptop, lab: Lab) -> None:
    lab.kubectl("create", "secret", "generic", laptop.name, "--from-literal=OTHERS=value")
    refused = laptop.submit("run", "--name", laptop.name, "--", "true")
    assert refused.returncode != 0
    assert "--adopt" in refused.stderr
    assert lab.get("secret", laptop.name)["data"].keys() == {"OTHERS"}
    assert laptop.submit("sync-secret", "--adopt").returncode == 0
    assert "HF_TOKEN" in lab.get("secret", laptop.name)["data"]


def test_replace_deletes_a_finished_job_of_ours_only(laptop: Laptop, lab: Lab) -> None:
    job = laptop.launch("--replace", "--", "true")  # no error when there is none
    condition(lab, job, "Complete")
    first = lab.get("job", job)["metadata"]["uid"]
    taken = laptop.submit("run", "--name", job, "--", "sleep", "600")
    assert taken.returncode != 0
    assert "--replace" in taken.stderr
    laptop.launch("--replace", "--", "sleep", "600")
    assert lab.get("job", job)["metadata"]["uid"] != first
    running = laptop.submit("run", "--name", job, "--replace", "--", "true")
    assert running.returncode != 0
    assert "still runs" in running.stderr
    lab.kubectl("label", "job", job, "app.kubernetes.io/managed-by=somebody", "--overwrite")
    foreign = laptop.submit("run", "--name", job, "--replace", "--", "true")
    assert foreign.returncode != 0
    assert "not made by mlo-submit" in foreign.stderr


def test_image_that_cannot_be_pulled_is_named(laptop: Laptop) -> None:
    image = "registry.invalid/lab/image:1"
    done = laptop.submit("run", "--name", laptop.name, "--image", image, "--follow", "--", "true")
    assert done.returncode != 0
    assert f"{image} cannot be pulled" in done.stderr


# --- what goes wrong before there is a job ------------------------------------------------------------------------


def refusal(laptop: Laptop, kubeconfig: Path | None = None) -> str:
    """Submit what cannot be; returns the one line that says why."""
    start = time.monotonic()
    done = laptop.submit("run", "--name", laptop.name, "--", "true", kubeconfig=kubeconfig)
    assert time.monotonic() - start < 15
    assert done.returncode not in (0, 2)
    assert done.stdout == ""
    errors = [line for line in done.stderr.splitlines() if not line.startswith("Backend: ")]
    assert len(errors) == 1, done.stderr
    assert laptop.lab.kubectl("get", "jobs", "--output=name", f"--field-selector=metadata.name={laptop.name}") == ""
    return errors[0]


def changed(lab: Lab, directory: Path, *, server: str = "", token: str = "") -> Path:
    """A kubeconfig with another server, or another login."""
    config = json.loads(lab.kubectl("config", "view", "--minify", "--raw", "--flatten", "--output=json"))
    if server:
        config["clusters"][0]["cluster"]["server"] = server
    if token:
        config["users"][0]["user"] = {"token": token}
    file = directory / "kubeconfig"
    file.write_text(json.dumps(config))
    return file


def test_missing_claim(laptop: Laptop, lab: Lab) -> None:
    """Such a job would never start; the message names the claims that there are."""
    laptop.write_env(SCRATCH_PVC="elsewhere")
    message = refusal(laptop)
    assert "elsewhere" in message
    assert lab.claim in message


def test_missing_namespace(laptop: Laptop, lab: Lab) -> None:
    if not lab.own:
        pytest.skip("only who may read all namespaces is told that there is none")
    laptop.write_env(K8S_NAMESPACE="elsewhere")
    assert "no namespace elsewhere" in refusal(laptop, lab.as_user("admin"))


def test_namespace_of_others(laptop: Laptop) -> None:
    laptop.write_env(K8S_NAMESPACE="kube-system")
    message = refusal(laptop)
    assert "kube-system" in message
    assert "K8S_NAMESPACE" in message


def test_user_without_rights(laptop: Laptop, lab: Lab) -> None:
    if not lab.own:
        pytest.skip("needs an account without rights")
    message = refusal(laptop, lab.as_user("guest"))
    assert 'User "guest" cannot' in message


def test_invalid_login(laptop: Laptop, lab: Lab, tmp_path: Path) -> None:
    assert "not logged in" in refusal(laptop, changed(lab, tmp_path, token="expired"))


def test_server_that_is_down(laptop: Laptop, lab: Lab, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"https://127.0.0.1:{closed.getsockname()[1]}"
    assert address in refusal(laptop, changed(lab, tmp_path, server=address))


def test_server_that_never_answers(laptop: Laptop, lab: Lab, tmp_path: Path) -> None:
    """As behind a VPN that is off, or a load balancer without servers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"https://127.0.0.1:{silent.getsockname()[1]}"
        message = refusal(laptop, changed(lab, tmp_path, server=address))
    assert "does not answer" in message
