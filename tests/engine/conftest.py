"""A laptop for each test: `MLO_IMAGE=mlo:dev pytest tests/engine`."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.laptop import GID, UID, Laptop


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Laptop]:
    image = os.environ.get("MLO_IMAGE") or pytest.skip("MLO_IMAGE names no image")
    (tmp_path / ".env").write_text(
        f"LDAP_USERNAME=jdoe\nLDAP_UID={UID}\nLDAP_GROUPNAME=lab\nLDAP_GID={GID}\nRUNAI_IMAGE={image}\n"
        "HF_TOKEN='hf_${literal}'\nEXTRA_SECRET_KEYS=NOTE\nNOTE=\"two\nlines\"\n"
    )
    (tmp_path / ".env").chmod(0o600)
    made = Laptop(home=tmp_path, name=f"engine-{secrets.token_hex(3)}")
    yield made
    if jobs := made.docker(
        "ps", "--all", "--quiet", "--filter", f"name={made.name}"
    ).split():  # a test may have several
        made.docker("rm", "--force", *jobs)
