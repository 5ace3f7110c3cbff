"""The SSH key for a pod's git: from .env, or picked up from the laptop's ~/.ssh."""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field

from mlo_submit.machine import Machine

DEFAULT = "~/.ssh/github"


@dataclass(frozen=True, kw_only=True)
class PickedUp:
    """What the key files give: values for .env's empty variables, and what to tell the user."""

    values: Mapping[str, str] = field(repr=False)
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    problems: tuple[tuple[str, str], ...]


def pick_up(given: Mapping[str, str], machine: Machine) -> PickedUp:
    """Read the key files for whichever of SSH_PRIVATE_KEY_B64 and SSH_PUBLIC_KEY is empty.

    A default file that does not exist is no key; one that GITHUB_SSH_* names must exist.
    """
    values: dict[str, str] = {}
    notes: list[str] = []
    warnings: list[str] = []
    problems: list[tuple[str, str]] = []

    def load(setting: str, default: str) -> bytes | None:
        path = machine.path(given.get(setting) or default)
        try:
            return path.read_bytes()
        except OSError as error:
            if given.get(setting):
                problems.append((setting, f"names {path}, which cannot be read: {error.strerror}"))
            elif not isinstance(error, FileNotFoundError):
                warnings.append(f"{path} cannot be read: {error.strerror}; the job goes without this key")
        return None

    private = given.get("GITHUB_SSH_KEY_PATH") or DEFAULT
    if not given.get("SSH_PRIVATE_KEY_B64"):
        if (raw := load("GITHUB_SSH_KEY_PATH", DEFAULT)) is not None:
            key = normal(raw)
            if b"PRIVATE KEY-----" not in key:
                problems.append(
                    ("GITHUB_SSH_KEY_PATH", f"({machine.path(private)}) is no private key in OpenSSH or PEM form")
                )
            elif is_encrypted(key):
                warnings.append(
                    f"the SSH key {machine.path(private)} has a passphrase, and no pod can ask for it: "
                    "git over SSH will not work there. Make a key without one (ssh-keygen -t ed25519 -N ''), "
                    "and name it in GITHUB_SSH_KEY_PATH"
                )
            values["SSH_PRIVATE_KEY_B64"] = binascii.b2a_base64(key, newline=False).decode()
            notes.append(f"SSH_PRIVATE_KEY_B64 comes from {machine.path(private)}")
    else:
        try:
            key = binascii.a2b_base64(given["SSH_PRIVATE_KEY_B64"])
        except binascii.Error:
            warnings.append(
                "SSH_PRIVATE_KEY_B64 is not base64, so that pods will have no key: `base64 -w0 < KEYFILE` writes it"
            )
        else:
            if is_encrypted(normal(key)):
                warnings.append(
                    "the key in SSH_PRIVATE_KEY_B64 has a passphrase, and no pod can ask for it: use one without"
                )
    if not given.get("SSH_PUBLIC_KEY") and (raw := load("GITHUB_SSH_PUBLIC_KEY_PATH", f"{private}.pub")) is not None:
        values["SSH_PUBLIC_KEY"] = raw.decode("utf-8", "replace").strip()
        path = machine.path(given.get("GITHUB_SSH_PUBLIC_KEY_PATH") or f"{private}.pub")
        notes.append(f"SSH_PUBLIC_KEY comes from {path}")
    return PickedUp(values=values, notes=tuple(notes), warnings=tuple(warnings), problems=tuple(problems))


def normal(key: bytes) -> bytes:
    """A private key as OpenSSH reads it: no CR, and a newline at its end."""
    return key.replace(b"\r", b"").rstrip(b"\n") + b"\n"


def is_encrypted(key: bytes) -> bool:
    """Whether a private key asks for a passphrase."""
    if b"ENCRYPTED" in key:
        return True
    if b"BEGIN OPENSSH PRIVATE KEY" not in key:
        return False
    try:
        body = binascii.a2b_base64(b"".join(key.splitlines()[1:-1]))
    except binascii.Error:
        return False
    # "openssh-key-v1\0", then the cipher's name with its length in four bytes.
    return body.startswith(b"openssh-key-v1\0") and body[19:23] != b"none"
