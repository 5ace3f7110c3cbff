"""The identity in a git configuration file, which several pods may boot on at once."""

from __future__ import annotations

import os
import time

from . import process

GIT = "/usr/bin/git"
ENVIRON = {"PATH": "/usr/bin:/bin", "HOME": "/", "LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1"}
LOCK_SECONDS = 3.0  # another pod holds git's lock for some milliseconds


def set_identity(path: str, content: bytes, name: str, email: str) -> str | bool:
    """Give the file at `path`, which holds `content`, a user.name and a user.email, where it has none.

    Returns whether it changed, or what is wrong with the file.

    Raises:
        OSError: git cannot be started.
    """
    wanted = {"user.name": name, "user.email": email}
    present = identity_keys(content)
    changed = False
    for key, value in wanted.items():
        if not value or key in present:
            continue
        code, text = 1, ""  # as git tells of a key that is not there
        if content:
            code, text = process.printed([GIT, "config", "--file", path, "--includes", "--get", key], ENVIRON)
        if code == 1:
            code, text = _set(path, key, value)
            changed = not code
        if code:
            return f"{path}: git cannot set {key}: {text or f'exit code {code}'}"
    return changed


def _set(path: str, key: str, value: str) -> tuple[int, str]:
    """Set a key; git holds a lock file meanwhile, so wait while another pod has it."""
    end = time.monotonic() + LOCK_SECONDS
    while True:
        code, text = process.printed([GIT, "config", "--file", path, key, value], ENVIRON)
        if not code or not text.endswith("File exists"):  # "could not lock config file": another pod has it
            return code, text
        if time.monotonic() > end:
            return code, f"{text}. Remove {path}.lock if no git runs"
        time.sleep(0.05)


def identity_keys(content: bytes) -> set[str]:
    """The keys of [user] sections that plainly stand in a configuration; git itself settles what this does not see."""
    found: set[str] = set()
    section = ""
    if b"\\\n" in content:  # a value that goes on may look like a key
        return found
    for line in os.fsdecode(content).splitlines():
        words = line.strip()
        if words.startswith("["):
            section = words.lower()
        elif section == "[user]":
            key, equals, value = words.partition("=")
            if equals and value.strip():
                found.add(f"user.{key.strip().lower()}")
    return found
