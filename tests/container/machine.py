"""What the rig stands on: its constants, mounts, and how it waits."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

BIN = Path("/opt/test/bin")
ENTRY = "/usr/local/bin/mlo-entry"
SEED_UID, UID, GID = 177449, 123456, 83070
USER, GROUP = "jdoe", "MLO-unit"
HOME = f"/mloscratch/homes/{USER}"
RIG = Path("/rig", os.environ.get("PYTEST_XDIST_WORKER", "main"))  # each of several test processes has its own
TIMEOUT = 30.0  # seconds; nothing here takes a tenth of it

Text = str | bytes

_libc = ctypes.CDLL(None, use_errno=True)


MS_REMOUNT, MS_BIND = 32, 4096


def mount(source: str, target: Path, kind: str, options: str = "", flags: int = 0) -> None:
    if _libc.mount(source.encode(), bytes(target), kind.encode(), flags, options.encode()):
        raise OSError(ctypes.get_errno(), f"mount {kind} on {target}")


def unmount(target: Path) -> None:
    _libc.umount2(bytes(target), 2)  # MNT_DETACH: a pod that is just ending does not keep it busy


def until(condition: Callable[[], object], what: str, timeout: float = TIMEOUT) -> None:
    """Wait for a condition that only another process makes true."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"timed out waiting for {what}"
        time.sleep(0.002)


def encode(variables: Mapping[str, Text]) -> dict[bytes, bytes]:
    return {os.fsencode(name): os.fsencode(value) for name, value in variables.items()}
