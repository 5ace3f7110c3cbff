from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mlo_submit.secret import CONTENT_HASH, Secret, content_hash, manifest
from tests.unit.submit.conftest import Api, Invoke, status

NAMESPACE = "runai-mlo-jdoe"
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"
SECRET = f"{SECRETS}/jdoe-env"
LABELS = {"app.kubernetes.io/managed-by": "mlo-submit", "mlo-submit/user": "jdoe"}


def of(values: dict[str, str]) -> Secret:
    return Secret(name="jdoe-env", namespace=NAMESPACE, user="jdoe", values=values)


def test_a_whole_manifest() -> None:
    secret = of({"A": "a\nb", "B": "é"})
    assert manifest(secret) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "jdoe-env",
            "namespace": NAMESPACE,
            "labels": LABELS,
            "annotations": {CONTENT_HASH: content_hash(secret)},
        },
        "type": "Opaque",
        "data": {"A": "YQpi", "B": "w6k="},
    }


VALUES = st.dictionaries(
    st.text(st.characters(blacklist_categories=["Cs"])), st.text(st.characters(blacklist_categories=["Cs"]))
)


@given(VALUES, VALUES)
def test_the_hash_tells_contents_apart(one: dict[str, str], other: dict[str, str]) -> None:
    assert (content_hash(of(one)) == content_hash(of(other))) == (one == other)
    assert content_hash(of(one)) == content_hash(of(dict(reversed(one.items()))))


def test_a_secret_hides_its_values() -> None:
    assert "hush" not in repr(of({"A": "hush"}))


def stored(data: dict[str, str], managed_by: str = "mlo-submit", version: str = "7") -> dict[str, Any]:
    found = manifest(of(data))
    metadata = found["metadata"]
    metadata.update(resourceVersion=version, labels={"app.kubernetes.io/managed-by": managed_by, "team": "a"})
    metadata["annotations"]["note"] = "keep"
    return found


def test_the_content_is_made_that_of_env(api: Api, invoke: Invoke, env_file: Path) -> None:
    """What left .env leaves the Secret; other people's labels stay."""
    api.answers["GET", SECRET] = 200, stored({"OLD": "x", "HF_TOKEN": "hf_hidden"})
    api.answers["PUT", SECRET] = 200, {}
    result = invoke("sync-secret")
    assert (result.exit_code, result.stdout) == (0, "Secret jdoe-env in runai-mlo-jdoe: updated.\n")
    sent = api.requests[-1][2]
    assert "OLD" not in sent["data"]
    assert base64.b64decode(sent["data"]["HF_TOKEN"]) == b"hf_hidden"
    assert sent["data"].keys() >= {"LDAP_USERNAME", "RUNAI_IMAGE", "WANDB_API_KEY"}
    assert sent["metadata"]["labels"] == {**LABELS, "team": "a"}
    assert sent["metadata"]["annotations"]["note"] == "keep"
    assert sent["metadata"]["resourceVersion"] == "7"
    api.answers["GET", SECRET] = 200, sent
    api.requests.clear()
    assert "unchanged" in invoke("sync-secret").stdout
    assert api.paths() == [("GET", SECRET)]


def test_a_secret_of_before_is_told_whose_it_is(api: Api, invoke: Invoke, env_file: Path) -> None:
    """Without that, nobody could ever say that no job of theirs uses it any more."""
    api.answers["POST", SECRETS] = 201, {}
    invoke("sync-secret")
    before = api.requests[-1][2]
    before["metadata"].update(resourceVersion="7", labels={"app.kubernetes.io/managed-by": "mlo-submit"})
    api.answers["GET", SECRET] = 200, before
    api.answers["PUT", SECRET] = 200, {}
    assert "updated" in invoke("sync-secret").stdout
    assert api.requests[-1][2]["metadata"]["labels"] == LABELS


def test_data_that_somebody_changed_by_hand_is_put_right(api: Api, invoke: Invoke, env_file: Path) -> None:
    api.answers["POST", SECRETS] = 201, {}
    invoke("sync-secret")
    changed = api.requests[-1][2]
    changed["data"]["HF_TOKEN"] = "eA=="
    api.answers["GET", SECRET] = 200, changed
    changed["metadata"]["resourceVersion"] = "8"
    api.answers["PUT", SECRET] = 200, {}
    assert "updated" in invoke("sync-secret").stdout


def test_a_conflict_is_tried_again_once(api: Api, invoke: Invoke, env_file: Path) -> None:
    reads = iter([stored({}, version="7"), stored({}, version="8")])
    api.answers["GET", SECRET] = lambda: (200, next(reads))
    writes = iter([status(409, "the object has been modified"), (200, {})])
    api.answers["PUT", SECRET] = lambda: next(writes)
    result = invoke("sync-secret")
    assert result.exit_code == 0, result.output
    assert [body["metadata"]["resourceVersion"] for method, _, body in api.requests if method == "PUT"] == ["7", "8"]


def test_somebody_else_creates_it_first(api: Api, invoke: Invoke, env_file: Path) -> None:
    reads = iter([status(404, "none"), (200, stored({}))])
    api.answers["GET", SECRET] = lambda: next(reads)
    api.answers["POST", SECRETS] = status(409, "already exists")
    api.answers["PUT", SECRET] = 200, {}
    assert "updated" in invoke("sync-secret").stdout


def test_a_second_conflict_is_an_error(api: Api, invoke: Invoke, env_file: Path) -> None:
    api.answers["GET", SECRET] = 200, stored({})
    api.answers["PUT", SECRET] = status(409, "the object has been modified")
    result = invoke("sync-secret")
    assert result.exit_code == 73
    assert "the object has been modified" in result.stderr


def test_a_secret_that_is_not_ours_is_left_alone_until_it_is_adopted(api: Api, invoke: Invoke, env_file: Path) -> None:
    foreign = stored({"HF_TOKEN": "hf_hidden"}, managed_by="helm")
    foreign["type"] = "example.org/own"
    api.answers["GET", SECRET] = 200, foreign
    api.answers["PUT", SECRET] = 200, {}
    result = invoke("sync-secret")
    assert result.exit_code == 73
    assert "was not made by mlo-submit, and is left alone" in result.stderr
    assert "sync-secret --adopt" in result.stderr
    assert api.paths() == [("GET", SECRET)]
    assert "updated" in invoke("sync-secret", "--adopt").stdout
    sent = api.requests[-1][2]
    assert sent["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "mlo-submit"
    assert sent["type"] == "example.org/own"


def test_another_name(api: Api, invoke: Invoke, env_file: Path) -> None:
    api.answers["POST", SECRETS] = 201, {}
    for argv in (("sync-secret",), ("run", "--sync-secret-only")):
        assert invoke(*argv, "--secret-name", "other").stdout == "Secret other in runai-mlo-jdoe: created.\n"
        assert api.requests[-1][2]["metadata"]["name"] == "other"
