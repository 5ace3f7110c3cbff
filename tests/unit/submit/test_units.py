from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlo_submit import units


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("12h", 43200), ("45m", 2700), ("2d6h30m", 196200), ("90", 90), ("90s", 90), ("1h30", 3630), ("366d", 31622400)],
)
def test_durations(text: str, seconds: int) -> None:
    assert units.duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "0", "0h", "-1", "-1h", "1.5h", "h", "5x", "1m1h", " 1h", "367d", "9" * 30, "\u0661h"]
)
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|seconds"):
        units.duration(text)


@pytest.mark.parametrize(
    ("text", "number"),
    [("64G", 64 * 10**9), ("64Gi", 64 * 2**30), ("1.5Gi", 3 * 2**29), ("5000k", 5 * 10**6), ("8388608", 2**23)],
)
def test_quantities(text: str, number: int) -> None:
    assert units.quantity(text) == number


@pytest.mark.parametrize("text", ["", "0", "64", "64g", "64GB", "-1G", "G", "1e9", "64 G", "0Gi", "9" * 400 + "G"])
def test_no_quantities(text: str) -> None:
    with pytest.raises(ValueError, match="write 64G"):
        units.quantity(text)


@given(st.text(max_size=70))
def test_a_label_is_what_kubernetes_takes(text: str) -> None:
    try:
        units.label(text)
    except ValueError:
        return
    assert 0 < len(text) <= 63
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert "-" not in (text[0], text[-1])


@pytest.mark.parametrize("text", ["a", "0a", "a-b", "a" * 63])
def test_labels(text: str) -> None:
    assert units.label(text) == text


@pytest.mark.parametrize("text", ["", "A", "a_b", "a.b", "-a", "a-", "a" * 64, "a\n"])
def test_no_labels(text: str) -> None:
    with pytest.raises(ValueError, match="no name for Kubernetes"):
        units.label(text)


def test_pairs() -> None:
    assert units.pairs("a=1, b=2,,c=") == (("a", "1"), ("b", "2"), ("c", ""))
    assert units.labels("run.ai/type=h100") == (("run.ai/type", "h100"),)
    assert units.resources("rdma/rdma=1") == (("rdma/rdma", 1),)
    for rule, text in [
        (units.pairs, "a"),
        (units.labels, "/x=1"),
        (units.labels, "a=b c"),
        (units.resources, "rdma=1"),
    ]:
        with pytest.raises(ValueError, match=r"must be|cannot be"):
            rule(text)
