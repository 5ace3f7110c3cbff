"""What the container's memory cgroup tells: version 2, or version 1."""

from __future__ import annotations

_EVENTS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_UNLIMITED = 1 << 62  # version 1 writes no limit as a number near 2**63


def oom_kills() -> int:
    """How many processes of the container the kernel has killed for want of memory; 0 where nothing tells."""
    for line in _first(_EVENTS).splitlines():
        name, _, count = line.partition(" ")
        if name == "oom_kill":
            return int(count)
    return 0


def memory_limit() -> int | None:
    """The container's memory limit in bytes."""
    text = _first(_LIMITS).strip()
    return int(text) if text.isdecimal() and int(text) < _UNLIMITED else None


def _first(paths: tuple[str, ...]) -> str:
    for path in paths:
        try:
            with open(path) as file:
                return file.read()
        except OSError:
            continue
    return ""
