"""To be in a job on Kubernetes: on a terminal, through pipes, and with an editor."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tests.cluster.jobs import REPORT, WORDS, assert_is_the_users, reported
from tests.cluster.lab import USER, Lab, Laptop
from tests.terminal import RESIZED


def launch_as_root(laptop: Laptop, lab: Lab) -> None:
    """Launch a job whose pod starts as root."""
    assert laptop.submit("sync-secret").returncode == 0
    job = yaml.safe_load(laptop.submit("run", "--name", laptop.name, "--dry-run").stdout)
    job["spec"]["template"]["spec"]["securityContext"] = {"runAsUser": 0, "runAsGroup": 0}
    lab.create(job)


@pytest.mark.parametrize("start", ["uid", "root"])
def test_exec_is_the_users(laptop: Laptop, lab: Lab, ssh_key: str, start: str) -> None:
    """At once after the launch: their words, identity, place and secrets, whoever the pod started as; its exit code."""
    if start == "root":
        launch_as_root(laptop, lab)
    else:
        laptop.launch()
    done = laptop.submit("exec", laptop.name, "--", "python3", "-c", REPORT + "sys.exit(7)", *WORDS)
    assert done.returncode == 7, done.stderr
    assert_is_the_users(reported(done.stdout), laptop, ssh_key)
    assert laptop.submit("exec", laptop.name, "--", "sh", "-c", "kill -9 $$").returncode == 137
    told = laptop.submit("exec", laptop.name, "--", "sh", "-c", "echo told >/dev/stderr; id -Gn; sudo -n id -u")
    assert (told.returncode, told.stderr) == (0, "told\n")
    assert ("sudo" in told.stdout.splitlines()[0]) == (start == "root")
    assert told.stdout.splitlines()[1] == "0"


def test_exec_passes_bytes(laptop: Laptop) -> None:
    """What is piped in arrives as it is, and so does what comes out."""
    laptop.launch()
    noise = os.urandom(1_000_000)
    with laptop.start(
        "exec", laptop.name, "--", "tee", "noise", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as program:
        out, _ = program.communicate(noise)
    assert (program.returncode, out == noise) == (0, True)
    found = laptop.submit("exec", laptop.name, "--", "sha256sum", "noise").stdout
    assert found.split()[0] == hashlib.sha256(noise).hexdigest()


def test_a_shell_on_a_terminal(laptop: Laptop) -> None:
    """It has the terminal's type and size, also a new one; a Ctrl-C is the remote program's; its end leaves nothing."""
    laptop.launch("--exp-folder", "~")
    with laptop.terminal("shell", laptop.name, rows=33, columns=101) as terminal:
        terminal.type('stty size; pwd; echo "$TERM:${0#-}:$(id -un)"; umask\n')
        terminal.expect("33 101\r\n")
        terminal.expect(f"/home/{USER}\r\n")
        terminal.expect(f"screen-256color:zsh:{USER}\r\n")
        terminal.expect("007\r\n")
        terminal.type(shlex.join(["python3", "-c", RESIZED]) + "\n")
        terminal.expect("waiting\r\n")
        terminal.resize(44, 120)
        terminal.expect("resized to 120 x 44\r\n")
        terminal.type("\x03")
        terminal.expect("KeyboardInterrupt")
        terminal.type("echo still $((40 + 2)); exit 5\n")
        terminal.expect("still 42\r\n")
        assert terminal.wait() == 5
        assert terminal.restored()


def test_a_shell_ends_with_its_pod(laptop: Laptop, lab: Lab) -> None:
    """It says that the pod is gone, and how to go on."""
    laptop.launch()
    with laptop.terminal("shell", laptop.name) as terminal:
        terminal.type("echo $((40 + 2))\n")
        terminal.expect("42\r\n")
        (pod,) = lab.pods(laptop.name)
        lab.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false", "--grace-period=1")
        terminal.expect(f"mlo-submit shell {laptop.name}")
        assert terminal.wait()
        assert terminal.restored()


def test_an_editor_is_told_where(laptop: Laptop, lab: Lab, tmp_path: Path) -> None:
    """Its address names the context, the pod, the container, and the directory as the pod has it."""
    laptop.launch()
    assert laptop.submit("exec", laptop.name, "--", "mkdir", "-p", "a b/ü").returncode == 0
    (pod,) = lab.pods(laptop.name)
    context = lab.kubectl("config", "current-context").strip()
    image = lab.image.replace("/", "%2F").replace(":", "%3A")
    expected = (
        f"vscode-remote://k8s-container+context={context}+podname={pod['metadata']['name']}"
        f"+namespace={lab.namespace}+name=job+image={image}{laptop.working_dir}/a%20b/%C3%BC"
    )
    printed = laptop.submit("code", laptop.name, "a b/ü")
    assert (printed.returncode, printed.stdout) == (0, f"{expected}\n")
    assert "ms-vscode-remote.remote-containers" in printed.stderr
    (tmp_path / "code").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{tmp_path}/argv\n')
    (tmp_path / "code").chmod(0o755)
    with_editor = replace(laptop, path=(tmp_path, *laptop.path))
    assert with_editor.submit("code", laptop.name, "a b/ü").returncode == 0
    assert (tmp_path / "argv").read_text() == f"--folder-uri\n{expected}\n"
    missing = laptop.submit("code", laptop.name, "nowhere")
    assert (missing.returncode, "nowhere" in missing.stderr) == (73, True)


def test_a_job_that_does_not_run(laptop: Laptop, lab: Lab) -> None:
    """One that waits is waited for, until a Ctrl-C; one that has ended is refused, with what to do."""
    laptop.launch("--gpus", "64")
    with laptop.terminal("exec", laptop.name, "--", "true", columns=200) as terminal:
        terminal.expect("no node has 64 free nvidia.com/gpu")
        terminal.type("\x03")
        assert terminal.wait() == 130
        assert b"Traceback" not in terminal.seen
        assert terminal.restored()
    lab.delete(laptop.name)
    laptop.launch("--replace", "--train", "--", "true")
    lab.wait("condition=Complete", f"job/{laptop.name}")
    refused = laptop.submit("shell", laptop.name)
    assert refused.returncode == 73
    assert f"mlo-submit rerun {laptop.name}" in refused.stderr
