"""The picture of the README."""

from __future__ import annotations

from xml.etree import ElementTree

from docs.tools import flow


def test_the_picture_is_what_its_source_draws() -> None:
    assert flow.PICTURE.read_text() == flow.picture(), "run `python -m docs.tools.flow`"


def test_the_picture_holds_all_that_it_draws() -> None:
    """Well-formed, and each box within its edges."""
    _, _, width, height = map(int, ElementTree.fromstring(flow.picture()).attrib["viewBox"].split())  # noqa: S314
    for box in flow.BOXES:
        assert 0 <= box.x <= box.x + box.width <= width, box.title
        assert 0 <= box.y <= box.y + box.height <= height, box.title


def test_the_readme_tells_what_the_picture_shows() -> None:
    assert f'alt="{flow.TOLD}"' in (flow.PICTURE.parents[2] / "README.md").read_text()
