"""The smallest settings and machine of a boot, for tests that plan."""

from __future__ import annotations

import pytest

from mlo_entry import host, settings
from tests.unit.entry.pods import ENVIRON, GROUP, PASSWD


@pytest.fixture
def environ() -> dict[str, str]:
    return dict(ENVIRON)


@pytest.fixture
def machine() -> host.Host:
    return host.Host(
        passwd=PASSWD,
        group=GROUP,
        gitconfig="",
        zshrc=b"# zshrc\n",
        mounts=("/", "/proc", "/mloscratch", "/data"),
        groups=(),
        hooks=(),
    )


@pytest.fixture
def wanted(environ: dict[str, str]) -> settings.Settings:
    return settings.from_environ(environ)
