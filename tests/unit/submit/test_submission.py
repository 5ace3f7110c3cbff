from __future__ import annotations

import base64
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlo_submit import submission
from mlo_submit.env import KINDS as KINDS_OF_JOBS
from mlo_submit.errors import RefusedError
from mlo_submit.job import Flags, Mount
from mlo_submit.sweep import Sweep
from tests.unit.submit.conftest import ENV, Invoke

WORD = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
NUMBER = st.integers(0, 10**9)
MOUNT = st.builds(Mount, source=WORD, target=WORD, read_only=st.booleans())
SWEEP = st.builds(Sweep, file=WORD, rows=WORD)
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "str | None": st.none() | WORD,
    "int | None": st.none() | NUMBER,
    "int": NUMBER,
    "bool": st.booleans(),
    "tuple[str, ...]": st.lists(WORD, max_size=3).map(tuple),
    "Kind | None": st.sampled_from([None, *KINDS_OF_JOBS]),
    "Literal['files', 'env'] | None": st.sampled_from([None, "files", "env"]),
    "Mapping[str, str]": st.dictionaries(WORD, WORD, max_size=3),
    "Sweep | None": st.none() | SWEEP,
    "tuple[Mount, ...]": st.lists(MOUNT, max_size=3).map(tuple),
}
FLAGS = st.builds(Flags, **{field.name: KINDS[str(field.type).replace('"', "'")] for field in fields(Flags)})


@given(FLAGS)
def test_any_flags_come_back(flags: Flags) -> None:
    assert submission.decode(submission.encode(flags)) == flags


def test_a_word_that_is_not_utf_8_comes_back() -> None:
    flags = Flags(argv=("\udcff",))
    assert submission.decode(submission.encode(flags)) == flags


def test_flags_that_are_too_long_are_not_kept() -> None:
    assert submission.encode(Flags(line="x" * submission.MAX)) == ""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Expecting value"),
        ("{", "line 1"),
        ("[" * 100_000, "while decoding"),
        ("[]", "no object"),
        ('{"banana": 1, "apple": 2}', "'apple', 'banana'"),
        ('{"\\u001b[2J": 1}', r"'\x1b[2J'"),
        ('{"gpus": true}', "gpus"),
        ('{"gpus": -1}', "gpus"),
        ('{"gpus": "2"}', "gpus"),
        ('{"train": 1}', "train"),
        ('{"argv": "train"}', "argv"),
        ('{"argv": [1]}', "argv"),
        ('{"env": {"A": 1}}', "env"),
        ('{"line": "a\\u0000b"}', "line"),
        ('{"line": "\\ud800"}', "line"),
        ('{"secrets": "nowhere"}', "secrets"),
        ('{"mounts": [{"source": "a"}]}', "'target'"),
        ('{"mounts": [{"source": "a", "target": "/b", "mode": 7}]}', "'mode'"),
    ],
)
def test_what_encode_did_not_write_is_refused(text: str, why: str) -> None:
    """By another version, or by hand: no traceback, and what to do."""
    with pytest.raises(RefusedError) as refused:
        submission.decode(text)
    assert why in refused.value.message
    assert "Submit the job anew with `mlo-submit run`" in refused.value.message


def test_the_grace_period_is_that_of_the_flags_or_the_default() -> None:
    assert [submission.grace(text) for text in ('{"grace": 300}', "{}", "", "no JSON")] == [300, 30, 30, 30]


@pytest.mark.parametrize("how", [(), ("--secrets", "env"), ("--secret-name", "other", "--skip-secret-sync")])
@pytest.mark.parametrize("backend", ["kubernetes", "docker", "runai"])
def test_no_value_of_a_secret_is_kept_beside_a_job(
    invoke: Invoke, env_file: Path, backend: str, how: tuple[str, ...]
) -> None:
    """Nor anywhere else in what is sent: it has the names of secrets alone, in plain text and in base64."""
    env_file.write_text(ENV + "EXTRA_SECRET_KEYS=NOTE\nNOTE=note_hidden\nSSH_PUBLIC_KEY=ssh-ed25519 hidden\n")
    sent = invoke("run", "--dry-run", "--backend", backend, *how, "--env", "A=b", "--", "python", "train.py").stdout
    assert '"env": {"A": "b"}' in kept(backend, sent)
    for secret in ("hf_hidden", "wandb_hidden", "note_hidden", "ssh-ed25519 hidden"):
        assert secret not in sent + kept(backend, sent)
        assert base64.b64encode(secret.encode()).decode() not in sent


def kept(backend: str, sent: str) -> str:
    """The submission that stands in what would be sent."""
    if backend == "kubernetes":
        annotations = yaml.safe_load(sent)["metadata"]["annotations"]
        return str(annotations["mlo-submit/submission"])
    _, _, rest = sent.partition("mlo-submit/submission=")
    return rest if backend == "docker" else base64.b64decode(rest.split()[0] + "==").decode()
