"""Words pass through YAML and the kubelet as they are."""

from __future__ import annotations

import pytest
import yaml as pyyaml
from hypothesis import given
from hypothesis import strategies as st

from mlo_submit import yaml
from mlo_submit.backends.kubernetes.manifest import literal


def kubelet(text: str, environ: dict[str, str]) -> str:
    """How the kubelet expands args and values (k8s.io/kubernetes, third_party/forked/golang/expansion)."""
    out, at = "", 0
    while at < len(text):
        if text[at] == "$" and at + 1 < len(text):
            if text[at + 1] == "$":
                out, at = out + "$", at + 2
                continue
            end = text.find(")", at)
            if text[at + 1] == "(" and end > 0:
                name = text[at + 2 : end]
                out, at = out + environ.get(name, f"$({name})"), end + 1
                continue
        out, at = out + text[at], at + 1
    return out


@given(st.text(st.sampled_from("$()TZa ")))
def test_the_kubelet_gives_back_what_the_user_typed(text: str) -> None:
    assert kubelet(literal(text), {"TZ": "expanded", "a": "b"}) == text


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(PLAIN)
def test_the_yaml_that_is_shown_is_what_is_sent(value: object) -> None:
    assert pyyaml.safe_load(yaml.dump(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "no",
        "On",
        "null",
        "~",
        "1",
        "1e3",
        "0x1",
        "",
        " ",
        "- a",
        "a: b",
        "a #b",
        "2026-11-24",
        "\x85",
        "\u2028",
        ".inf",
        "=",
    ],
)
def test_what_yaml_would_take_for_something_else_is_quoted(text: str) -> None:
    assert pyyaml.safe_load(yaml.dump({"k": [text]})) == {"k": [text]}
