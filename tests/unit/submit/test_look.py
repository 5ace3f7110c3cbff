from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import pytest

from mlo_submit.advice import MEANING
from mlo_submit.commands import common, look, run, typed
from mlo_submit.env import Config
from mlo_submit.errors import RefusedError
from mlo_submit.job import Flags, Mount
from mlo_submit.machine import Machine
from mlo_submit.workload import Event, Pod, Workload
from tests.unit.submit.conftest import Invoke
from tests.unit.submit.workloads import NOW, TRAIN, ago

ROOT = Path(__file__).parents[3]
WAITS = replace(
    TRAIN,
    name="waits",
    state="Pending",
    reason="no node has 64 free GPUs",
    gpus=64,
    created=ago(minutes=3),
    started=None,
    pods=(),
)
BROKEN = replace(
    TRAIN,
    name="broken",
    state="Failed",
    reason="exit code 3",
    exit_code=3,
    created=ago(days=4),
    finished=ago(hours=2),
    submission="",
)


class Fake:
    """Jobs that are there; a pod tells `files`."""

    user = "jdoe"

    def __init__(self, *jobs: Workload, files: str = "") -> None:
        self.jobs = list(jobs)
        self.files = files

    def all(self, *, everybody: bool = False) -> list[Workload]:
        return [job for job in self.jobs if everybody or job.user == self.user]

    def find(self, name: str, index: int | None = None) -> Workload:
        for job in self.jobs:
            if job.name == name:
                return job
        raise RefusedError(f"there is no job {name}")

    def events(self, job: Workload) -> list[Event]:
        return [
            Event(at=ago(minutes=3), text="Back-off pulling\x1b[2J\nimage", warning=True),
            Event(at=ago(minutes=2), text="Created pod: train-abcde"),
            Event(at=ago(minutes=1), text="Back-off pulling\x1b[2J\nimage", warning=True),
        ]

    def execute(self, job: Workload, pod: Pod, argv: Sequence[str], *, tty: bool) -> list[str]:
        return ["cat", self.files]


There = Callable[..., Fake]


class Clock(datetime):
    """It stands still: a test may take its time."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Clock:
        return cls.fromtimestamp(NOW.timestamp(), tz)


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch, laptop: Machine, config: Config) -> There:
    """Puts jobs there."""

    def put(*jobs: Workload, **options: Any) -> Fake:
        fake = Fake(*jobs, **options)
        reached: Any = common.Reached(name="kubernetes", jobs=fake, config=config, machine=laptop)  # type: ignore[arg-type]
        monkeypatch.setattr(common, "reach", lambda shared: reached)
        monkeypatch.setattr(look, "datetime", Clock)
        return fake

    return put


def test_list_is_a_table_of_my_jobs_and_says_nothing_else(invoke: Invoke, there: There) -> None:
    there(WAITS, TRAIN, BROKEN, replace(TRAIN, name="other", user="eva"))
    result = invoke("list")
    assert (result.exit_code, result.stderr) == (0, "")
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["NAME", "waits", "train", "broken"]
    assert invoke("ls").stdout == result.stdout


def test_list_of_everybody_tells_whose_each_job_is(invoke: Invoke, there: There) -> None:
    there(TRAIN, replace(TRAIN, name="other", user="eva"))
    lines = [line.split()[:2] for line in invoke("list", "--all-users").stdout.splitlines()]
    assert lines == [["NAME", "USER"], ["train", "jdoe"], ["other", "eva"]]


def test_list_for_scripts_is_names_or_json(invoke: Invoke, there: There) -> None:
    there(WAITS, TRAIN)
    assert invoke("list", "-q").stdout == "waits\ntrain\n"
    listed = json.loads(invoke("list", "--json").stdout)
    assert [(job["name"], job["state"], job["started"] is None) for job in listed] == [
        ("waits", "Pending", True),
        ("train", "Running", False),
    ]


def test_list_of_some_states_in_any_case(invoke: Invoke, there: There) -> None:
    there(WAITS, TRAIN, BROKEN)
    assert invoke("list", "-q", "--state", "failed", "--state", "RUNNING").stdout == "train\nbroken\n"
    assert invoke("list", "--state", "lost").exit_code == 2


def test_no_jobs_is_a_sentence_beside_an_empty_stdout(invoke: Invoke, there: There) -> None:
    there(replace(TRAIN, user="eva"))
    for argv in ((), ("-q",)):
        result = invoke("list", *argv)
        assert (result.exit_code, result.stdout) == (0, "")
        assert "You have no job. `mlo-submit run -- COMMAND` launches one" in result.stderr
    assert "`mlo-submit --backend docker run -- COMMAND`" in invoke("--backend", "docker", "list").stderr
    assert "`mlo-submit list` shows those in any state" in invoke("list", "--state", "failed").stderr
    result = invoke("list", "--json")
    assert (json.loads(result.stdout), result.stderr) == ([], "")


def test_options_of_list_that_exclude_each_other(invoke: Invoke, there: There) -> None:
    there(TRAIN)
    assert invoke("list", "-q", "--json").exit_code == 2
    result = invoke("list", "--watch")
    assert (result.exit_code, "needs a terminal" in result.stderr) == (2, True)


def test_describe_tells_what_was_asked_what_happened_and_what_to_do(
    invoke: Invoke, there: There, tmp_path: Path
) -> None:
    cat(tmp_path)
    files = tmp_path / "files"
    boot = {"user": "jdoe (1:2)", "start": "1:2", "ms": 39.4, "warnings": ["no quota"], "steps": []}
    files.write_text(json.dumps(boot) + json.dumps({"idle_seconds": 600.0, "stop_after": 7200.0, "why_busy": ""}))
    there(TRAIN, files=str(files))
    text = invoke("describe", "train").stdout
    assert text.startswith("train is Running\n")
    for line in (
        "submitted  mlo-submit run --name train --time 2h30m --gpus 2 --train -- python train.py",
        "run time   2h05m",
        "pod        train-abcde",
        "node       gpu-1",
        "boot       jdoe (1:2), ready in 39 ms",
        "warning: no quota",
        "idle       for 10m; the job ends after 2h00m of it",
        "2m ago  Created pod: train-abcde",
        "1m ago  warning: Back-off pulling [2J image (2 times)",
    ):
        assert line in text, text
    assert text.count("Back-off") == 1
    assert text.endswith("`mlo-submit logs -f train` follows what it prints.\n")


def cat(tmp_path: Path) -> None:
    (tmp_path / "bin/cat").symlink_to("/bin/cat")


def test_describe_of_a_pod_that_tells_nothing_leaves_it_out(invoke: Invoke, there: There, tmp_path: Path) -> None:
    """No program to ask with, no file, or one that is not ours: no word of it, and no error."""
    other = tmp_path / "other"
    other.write_text('{"user": "x"}')
    for files in ("", str(other)):
        there(TRAIN, files=files)
        result = invoke("describe", "train")
        assert (result.exit_code, "boot" in result.stdout, result.stderr) == (0, False, "")
        found = json.loads(invoke("describe", "--json", "train").stdout)
        assert (found["boot"], found["idle"]) == (None, None)
        if not files:
            cat(tmp_path)


def test_describe_lists_the_pods_of_several(invoke: Invoke, there: There) -> None:
    pods = (
        Pod(name="train-0", rank=0, state="Running", node="gpu-1"),
        Pod(name="train-1", rank=1, state="Failed", node="gpu-2", exit_code=1, reason="exit code 1"),
    )
    there(replace(TRAIN, pods=pods))
    text = invoke("describe", "train").stdout
    assert "  POD      STATE    EXIT  NODE   REASON\n  train-0  Running     -  gpu-1  -\n" in text
    assert "GPUs       2 for each of 2 pods" in text


def test_describe_why_is_one_line(invoke: Invoke, there: There) -> None:
    there(replace(WAITS, reason="0/1 nodes:\n1 Insufficient nvidia.com/gpu"), TRAIN)
    assert invoke("describe", "--why", "waits").stdout == "0/1 nodes: 1 Insufficient nvidia.com/gpu\n"
    assert invoke("describe", "--why", "train").stdout == "it runs\n"


def test_a_job_that_others_launched_or_another_version_is_described_without_its_command(
    invoke: Invoke, there: There
) -> None:
    for submission in ("", '{"unheard": 1}', "broken"):
        there(replace(TRAIN, submission=submission))
        result = invoke("describe", "train")
        assert (result.exit_code, "submitted" in result.stdout) == (0, False)
        assert json.loads(invoke("describe", "--json", "train").stdout)["submitted"] is None


def test_describe_of_no_job_says_so(invoke: Invoke, there: There) -> None:
    there(TRAIN)
    assert invoke("describe", "none").exit_code == 73
    assert invoke("describe", "No_Name").exit_code == 2


@pytest.mark.parametrize(
    "flags",
    [
        Flags(),
        Flags(line="echo a\necho 'b'", venv=".venv", exp_folder="~/x", time=90061, grace=120, stop_when_idle=7200),
        Flags(
            argv=("a", "--gpus", "-c", "", "ünï"), env={"A": "x=y", "B": ""}, node_types=("h100", "h200"), cpus="500m"
        ),
        Flags(mounts=(Mount(source="a", target="/b", read_only=True), Mount(source="c:d", target="/e")), memory="64Gi"),
        Flags(
            name="x", uid=1, gid=2, port=8888, train=True, workers=2, retries=3, secrets="env", skip_secret_sync=True
        ),
        Flags(image="i:1", secret_name="s", pvc="p", queue="q", host_ipc=True, large_shm=True, shm_size="1Gi", gpus=8),
    ],
)
def test_flags_as_a_command_line_are_the_same_flags_again(flags: Flags) -> None:
    context = run.command.make_context("run", typed.words(flags))
    assert Flags(**{name: value for name, value in context.params.items() if hasattr(flags, name)}) == flags


def documented() -> dict[str, dict[str, str]]:
    """docs/json.md: the fields and their types, by section."""
    sections = re.split(r"(?m)^## ", (ROOT / "docs/json.md").read_text())[1:]
    return {
        section.partition("\n")[0]: dict(re.findall(r"(?m)^\| `(\w+)` \| ([^|]+) \|", section)) for section in sections
    }


TYPES: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "time": (str,),
    "number": (int, float),
    "object": (dict,),
    "array": (list,),
    "true or false": (bool,),
}


def check(found: dict[str, Any], fields: dict[str, str]) -> None:
    """See that an object has these fields, in their order, each of its type."""
    assert list(found) == list(fields)
    for name, value in found.items():
        kind = re.sub(" of .*| or null", "", fields[name])
        assert isinstance(value, TYPES[kind]) or (value is None and fields[name].endswith(" or null")), name
        if kind == "time" and isinstance(value, str):
            assert datetime.fromisoformat(value).tzinfo, name


def test_json_is_what_its_document_says(invoke: Invoke, there: There, tmp_path: Path) -> None:
    cat(tmp_path)
    files = tmp_path / "files"
    files.write_text(
        '{"user": "jdoe (1:2)", "start": "1:2", "ms": 39.4, "warnings": [], "steps": []}'
        '{"idle_seconds": 1.5, "stop_after": 7200.0, "why_busy": "a terminal", "stopped": false}'
    )
    fields = documented()
    for job in (TRAIN, WAITS, BROKEN):
        there(job, files=str(files))
        (listed,) = json.loads(invoke("list", "--json").stdout)
        check(listed, fields["A job"])
        whole = json.loads(invoke("describe", "--json", job.name).stdout)
        check(whole, fields["A job"] | fields["What `describe` adds to a job"])
        for pod in whole["pods"]:
            check(pod, fields["A pod"])
        for event in whole["events"]:
            check(event, fields["An event"])
    there(TRAIN, files=str(files))
    whole = json.loads(invoke("describe", "--json", "train").stdout)
    for name in ("boot", "idle", "submitted"):
        check(whole[name], fields[f"`{name}`"])
    states = re.findall(r"(?m)^\| ([A-Z]\w+) \| (.+?)(?:,? until .*)? \|$", (ROOT / "docs/json.md").read_text())
    assert dict(states) == MEANING
