"""What the boot tells, and the records that it is made of."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlo_entry import actions, host, report
from mlo_entry.record import Record

VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
)


@given(VALUES)
def test_json_is_json(value: report.Json) -> None:
    text = report.to_json(value)
    assert json.loads(text) == value
    assert text.isascii()


def test_a_value_cannot_forge_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    report.warning("a\n[mlo] b\x1b[2J\x9b\udcff")
    assert capfd.readouterr().err == "[mlo] WARNING: a\\x0a[mlo] b\\x1b[2J\\x9b\\udcff\n"


@pytest.mark.parametrize(
    ("code", "kills", "limit", "text"),
    [
        (0, 0, None, "ended with exit code 0"),
        (-15, 0, None, "ended by signal 15"),
        (-9, 1, 64 << 30, "ended by signal 9: out of memory (limit 64 GiB)"),
        (137, 1, None, "ended with exit code 137: out of memory"),
        (1, 2, 1536 << 20, "ended with exit code 1; 2 of its processes ran out of memory (limit 1.5 GiB)"),
    ],
)
def test_how_a_job_ended(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    code: int,
    kills: int,
    limit: int | None,
    text: str,
) -> None:
    log = tmp_path / "termination-log"
    monkeypatch.setattr(report, "TERMINATION_LOG", str(log))
    report.ended(code, kills, limit)
    assert not log.exists()  # only where the runtime put one
    log.write_text("")
    report.ended(code, kills, limit)
    assert log.read_text() == text
    assert capfd.readouterr().err == f"[mlo] the job {text}\n" * 2
    log.write_text(99 * "what the job's own watcher left")
    report.ended(code, kills, limit, out_of_time=True)
    assert log.read_text() == f"{text}; its time limit was over"


def test_records_are_frozen_values() -> None:
    record = actions.MakeDir("user", "/a")
    assert record == actions.MakeDir(actor="user", path="/a", mode=0o770)
    assert hash(record) == hash(actions.MakeDir("user", "/a"))
    assert record != actions.RemoveTree("user", "/a")
    assert repr(record) == "MakeDir(actor='user', path='/a', mode=504)"
    with pytest.raises(AttributeError, match="frozen"):
        record.mode = 0  # type: ignore[misc]


@pytest.mark.parametrize(("values", "named"), [((1, 2, 3), {}), ((1,), {"c": 2}), ((), {"b": 2})])
def test_a_record_refuses_what_a_dataclass_refuses(values: tuple[int, ...], named: dict[str, int]) -> None:
    class Pair(Record):
        a: int
        b: int = 0

    with pytest.raises(TypeError):
        Pair(*values, **named)


def test_secrets_that_came_as_files(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data/WANDB_API_KEY").write_text("key\n")
    (tmp_path / "WANDB_API_KEY").symlink_to("..data/WANDB_API_KEY")
    (tmp_path / "tls.crt").write_text("no variable")
    (tmp_path / "NUL").write_bytes(b"a\0b")
    (tmp_path / "BIG").write_bytes(b"x" * 200_000)
    secrets, problems = host.read_secrets(str(tmp_path))
    assert secrets == {"WANDB_API_KEY": "key\n"}
    assert [problem.split(" ")[2] for problem in problems] == [f"{tmp_path}/BIG", f"{tmp_path}/NUL"]
    assert host.read_secrets(str(tmp_path / "none")) == ({}, [])


def test_the_mount_of_a_path(machine: host.Host) -> None:
    assert machine.mount_of("/mloscratch/x") == "/mloscratch"
    assert machine.mount_of("/mloscratch2/x") == "/"


@pytest.mark.parametrize("is_read", [True, False])
def test_how_a_job_ended_comes_after_what_it_wrote(is_read: bool) -> None:
    """Although a log reads stdout and stderr one by one; a reader that is stuck does not keep the pod."""
    code = 'import os; from mlo_entry import report; os.write(1, b"x" * 9999); report.ended(0, 0, None)'
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdout
        assert program.stderr
        select.select([program.stdout], [], [])
        assert not select.select([program.stderr], [], [], 0.2)[0]
        if is_read:
            assert len(os.read(program.stdout.fileno(), 9999)) == 9999
        assert program.stderr.read() == b"[mlo] the job ended with exit code 0\n"
