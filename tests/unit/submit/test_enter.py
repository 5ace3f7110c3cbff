from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlo_submit import editor, labels, session
from mlo_submit.commands import arrival
from mlo_submit.editor import DockerContainer, KubernetesContainer
from mlo_submit.errors import RefusedError
from mlo_submit.job import Flags
from mlo_submit.machine import Machine
from mlo_submit.workload import STATES, Pod, State, Workload
from tests.unit.submit.conftest import Api, Fake, Invoke, write_kubeconfig
from tests.unit.submit.containers import container

SYSTEM = "/usr/bin:/bin"  # the script is for a pod, which has programs
WORDS = st.lists(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])), max_size=4)

# Prints its words, each with its end.
ECHO = ("printf", "%s\\0")


def enter(
    *command: str,
    folder: str = "",
    term: str = "",
    cwd: Path = Path("/"),
    sh: str = "sh",
    environ: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run here what would run in a pod of an image that is not ours; `sh` is the name of its shell."""
    argv = session.argv(command, folder=folder, term=term)
    argv = [f"/bin/{sh}" if word == "sh" else word for word in argv]
    env = {"PATH": SYSTEM, **(environ or {})}
    return subprocess.run(argv, env=env, cwd=cwd, input=b"echo $0; pwd\n", capture_output=True, timeout=20, check=False)


@given(WORDS)
def test_no_word_is_changed(words: list[str]) -> None:
    assert enter(*ECHO, "first", *words).stdout.decode().split("\0")[:-1] == ["first", *words]


@pytest.mark.parametrize("sh", ["dash", "bash"])
@pytest.mark.parametrize("word", ["-c", "--", "-x", "a=b", "=ls", "echo;", "$(id)", "nowhere"])
def test_a_command_that_is_not_there_is_not_found(sh: str, word: str) -> None:
    """Under every sh: none takes it for an option, a variable or more than one word."""
    done = enter(word, "id", sh=sh)
    assert (done.returncode, done.stdout) == (127, b"")
    assert b"not found" in done.stderr


def test_a_command_runs_in_its_folder_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "-a b/c").mkdir(parents=True)
    environ = {"HOME": str(tmp_path), "CDPATH": f"{tmp_path}/-a b"}
    for folder, where in (("", ""), ("-a b", "-a b"), ("~/-a b", "-a b"), (f"{tmp_path}/-a b/c", "-a b/c"), ("~", "")):
        done = enter("pwd", folder=folder, cwd=tmp_path, environ=environ)
        assert done.stdout.decode() == f"{(tmp_path / where)}\n", folder
    done = enter("pwd", folder="c", cwd=tmp_path, environ=environ)
    assert (done.returncode, done.stdout, b"./c" in done.stderr) == (73, b"", True)


def test_a_shell_opens_also_where_its_folder_is_gone(tmp_path: Path) -> None:
    """And it is whichever there is."""
    (tmp_path / "programs").mkdir()
    for name in ("sh", "id", "grep"):
        (tmp_path / "programs" / name).symlink_to(str(shutil.which(name, path=SYSTEM)))
    done = enter(folder="gone", cwd=tmp_path, environ={"PATH": str(tmp_path / "programs")})
    assert (done.returncode, done.stdout.decode()) == (0, f"sh\n{tmp_path}\n")
    assert b"./gone" in done.stderr


def test_a_terminal_that_the_pod_does_not_know_keeps_its_own_type() -> None:
    for term, found in (("xterm-256color", b"xterm-256color\n"), ("unheard-of", b"xterm\n"), ("", b"xterm\n")):
        assert enter("printenv", "TERM", term=term, environ={"TERM": "xterm"}).stdout == found


def test_variables_of_the_job_stay() -> None:
    names = ("folder", "term", "place", "login", "shell", "uid", "tries", "fd")
    done = enter("env", environ=dict.fromkeys(names, "mine"))
    assert {f"{name}=mine" for name in names} <= set(done.stdout.decode().splitlines())


# --- the way in ---------------------------------------------------------------------------------------------------


def job(state: State, *pods: Pod, reason: str = "") -> Workload:
    now = datetime.now(timezone.utc)
    return Workload(
        name="x", backend="docker", user="jdoe", kind="training", state=state, reason=reason, created=now, pods=pods
    )


def line(*words: str) -> str:
    return " ".join(["mlo-submit", *words])


@pytest.mark.parametrize(
    ("found", "rank", "what"),
    [
        (job("Succeeded"), 0, "mlo-submit rerun x"),
        (job("Failed", reason="exit code 3"), 0, "exit code 3"),
        (job("Stopped"), 0, "mlo-submit resume x"),
        (job("Running", Pod(name="a", state="Running")), 2, "no worker 2"),
        (job("Running", Pod(name="a", state="Running"), Pod(name="b", rank=1, state="Failed")), 1, "that do: 0"),
    ],
)
def test_what_will_not_run_is_refused_with_what_to_do(found: Workload, rank: int, what: str) -> None:
    with pytest.raises(RefusedError, match=what):
        arrival.look(found, rank, line)


@pytest.mark.parametrize("state", STATES)
def test_what_may_run_is_waited_for(state: State) -> None:
    """Of a job with workers it is the pod that counts."""
    pods = (Pod(name="a", state="Running"), Pod(name="b", rank=1, state="Pending", reason="waits for a node"))
    if state in ("Succeeded", "Failed", "Stopped"):
        return
    assert arrival.look(job(state, *pods), 0, line) == pods[0]
    assert arrival.look(job(state, *pods), 1, line) == "x is Pending: waits for a node"
    if state != "Running":
        assert arrival.look(job(state, reason="why"), 0, line) == f"x is {state}: why"


@pytest.fixture
def docker(fake: Callable[[str], Fake]) -> Callable[..., Fake]:
    """An engine with a job x, as `containers.container` takes it."""

    def make(*argv: Any, **kwargs: Any) -> Fake:
        engine = fake("docker")
        engine.reply("container", "inspect", out=json.dumps([container(*argv, **kwargs)]))
        return engine

    return make


def execs(engine: Fake) -> list[list[str]]:
    return [call for call in engine.calls if call[0] == "exec"]


def test_exec_passes_words_and_exit_code_on(invoke: Invoke, env_file: Path, docker: Callable[..., Fake]) -> None:
    """In the folder of the submission, and without a terminal where we have none."""
    engine = docker("x", flags=Flags(name="x", exp_folder="exp"))
    engine.reply("exec", code=37)
    result = invoke("exec", "--backend", "docker", "x", "--", "python", "-c", "a b", "--", "=ls")
    assert result.exit_code == 37
    words = session.argv(["python", "-c", "a b", "--", "=ls"], folder="exp")
    assert execs(engine) == [["exec", "--interactive", "x", *words]]
    assert invoke("shell", "--backend", "docker", "x").exit_code == 37
    assert execs(engine)[1] == ["exec", "--interactive", "x", *session.argv([], folder="exp")]


def test_exec_without_a_command_points_to_shell(invoke: Invoke, env_file: Path) -> None:
    result = invoke("--backend", "docker", "exec", "x")
    assert (result.exit_code, "mlo-submit --backend docker shell x" in result.stderr) == (2, True)


def test_a_submission_of_another_version_does_not_keep_anybody_out(
    invoke: Invoke, env_file: Path, docker: Callable[..., Fake]
) -> None:
    marks = {labels.MANAGED_BY: labels.OURS, labels.SUBMISSION: '{"new": 1}'}
    engine = docker("x", labels=marks)
    result = invoke("exec", "--backend", "docker", "x", "--", "true")
    assert (result.exit_code, "another version" in result.stderr) == (0, True)
    assert execs(engine)[0][3:] == session.argv(["true"], folder="")


def test_a_tool_that_is_missing_is_one_clear_error(invoke: Invoke, env_file: Path, api: Api, laptop: Machine) -> None:
    """docker, and kubectl, which the API does without."""
    result = invoke("shell", "--backend", "docker", "x")
    assert (result.exit_code, "`docker` is not on PATH" in result.stderr) == (69, True)
    write_kubeconfig(laptop, api.url)
    marks = {labels.MANAGED_BY: labels.OURS, "job-name": "x"}
    metadata = {"name": "x", "creationTimestamp": "2026-11-24T10:00:00Z", "labels": marks}
    spec = {"containers": [{"name": "job", "image": "i"}]}
    job = {"metadata": metadata, "spec": {"template": {"spec": spec}}, "status": {}}
    pods = {"items": [{"metadata": metadata, "spec": spec, "status": {"phase": "Running"}}]}
    namespace = "/api/v1/namespaces/runai-mlo-jdoe"
    api.answers = {
        ("GET", "/apis/batch/v1/namespaces/runai-mlo-jdoe/jobs/x"): (200, job),
        ("GET", f"{namespace}/pods"): (200, pods),
    }
    result = invoke("shell", "--backend", "kubernetes", "x")
    assert (result.exit_code, "`kubectl` is not on PATH: install kubectl" in result.stderr) == (69, True)


# --- editors ------------------------------------------------------------------------------------------------------

POD = KubernetesContainer(context="me@lab/1", namespace="ns", pod="x-0", name="job", image="r.org:5000/a/b:1")


def decoded(uri: str, authority: str) -> tuple[dict[str, str], str]:
    """The fields that an address in hexadecimal holds, and its path."""
    spec, slash, path = uri.removeprefix(f"vscode-remote://{authority}+").partition("/")
    found: dict[str, str] = json.loads(bytes.fromhex(spec))
    return found, slash + path


def test_the_address_of_a_pod() -> None:
    assert editor.uri("code", POD, "/a b/ü#?") == (
        "vscode-remote://k8s-container+context=me%40lab%2F1+podname=x-0+namespace=ns+name=job"
        "+image=r.org%3A5000%2Fa%2Fb%3A1/a%20b/%C3%BC%23%3F"
    )
    fields = {"settingType": "pod", "context": "me@lab/1", "podname": "x-0", "namespace": "ns", "name": "job"}
    assert decoded(editor.uri("cursor", POD, "/p"), "k8s-container") == (fields, "/p")


def test_the_address_of_a_container() -> None:
    here = DockerContainer(name="x")
    assert decoded(editor.uri("code", here, "/p"), "attached-container") == ({"containerName": "/x"}, "/p")
    fields = {"settingType": "container", "containerId": "x"}
    assert decoded(editor.uri("cursor", here, "/p"), "attached-container") == (fields, "/p")


def test_an_editor_opens_the_directory_as_the_pod_has_it(
    invoke: Invoke, env_file: Path, docker: Callable[..., Fake], fake: Callable[[str], Fake]
) -> None:
    """Without the editor its address is printed, and how to do it by hand."""
    engine = docker("x", flags=Flags(name="x", exp_folder="exp"))
    engine.reply("exec", out="/mloscratch/real/exp/sub\n")
    uri = editor.uri("cursor", DockerContainer(name="x"), "/mloscratch/real/exp/sub")
    argv = ("code", "--backend", "docker", "--editor", "cursor", "x", "sub")
    result = invoke(*argv)
    assert (result.exit_code, result.stdout) == (0, f"{uri}\n")
    assert "Attach to Running Container" in result.stderr
    assert "anysphere.remote-containers" in result.stderr
    assert execs(engine) == [["exec", "--interactive", "x", *session.argv(["pwd"], folder="exp/sub")]]
    cursor = fake("cursor")
    result = invoke(*argv)
    assert (result.exit_code, result.stdout, cursor.calls) == (0, "", [["--folder-uri", uri]])
    engine.reply("exec", code=73, err="cd: can't cd to ./sub\n")
    result = invoke(*argv)
    assert (result.exit_code, "can't cd to ./sub" in result.stderr) == (73, True)
