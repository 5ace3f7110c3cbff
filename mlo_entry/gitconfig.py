"""The identity in a git configuration file, which several pods may boot on at once."""

from __future__ import annotations

import errno
import os
import time

from . import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

GIT = "/usr/bin/git"
ENVIRON = {"PATH": "/usr/bin:/bin", "HOME": "/", "LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1"}
LOCK_SECONDS = 3.0  # another pod holds git's lock for some milliseconds


def set_identity(path: str, read: Callable[[], bytes], name: str, email: str) -> str | bool:
    """Give the file at `path` a user.name and a user.email, where it has none. `read` gives what it holds now.

    Returns whether it changed, or what is wrong with the file.

    Raises:
        OSError: the file cannot be read, or git cannot be started.
    """
    changed = False
    for key, value in (("user.name", name), ("user.email", email)):
        if value:
            done = _set_absent(path, read, key, value)
            if isinstance(done, str):
                return f"{path}: git cannot set {key}: {done}"
            changed = changed or done
    return changed


def _set_absent(path: str, read: Callable[[], bytes], key: str, value: str) -> str | bool:
    """Set a key that the file does not have. git holds a lock file meanwhile, so look again when another pod had it."""
    end = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            content = read()
        except OSError as error:
            if error.errno == errno.ESTALE and time.monotonic() < end:
                continue  # another pod has just replaced the file
            raise
        if key in identity_keys(content):
            return False
        if content:
            code, text = process.printed([GIT, "config", "--file", path, "--includes", "--get", key], ENVIRON)
            if code != 1:  # 1: there is none
                return (text or f"exit code {code}") if code else False
        code, text = process.printed([GIT, "config", "--file", path, key, value], ENVIRON)
        if not code:
            return True
        if not text.endswith("File exists"):  # "could not lock config file": another pod has it
            return text or f"exit code {code}"
        if time.monotonic() > end:
            return f"{text}. Remove {path}.lock if no git runs"
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
