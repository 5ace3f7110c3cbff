"""SSH keys that live as long as the pod."""

from __future__ import annotations

import binascii
import os

from ..actions import USER, MakeDir, RemoveTree, Warn, WriteFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..actions import Action
    from ..host import Host
    from ..settings import Settings

_KEY_TYPES = (b"ssh-", b"ecdsa-", b"sk-")


def plan(settings: Settings, host: Host) -> Iterator[Action]:
    """~/.ssh anew at every boot, from the secret; one that somebody mounted there is theirs."""
    directory = f"{settings.home}/.ssh"
    if directory in host.mounts:
        return
    yield RemoveTree(USER, directory)
    yield MakeDir(USER, directory, 0o700)
    if settings.ssh_private_key:
        key = _decoded(settings.ssh_private_key)
        if key.startswith(b"-----BEGIN "):
            yield WriteFile(USER, f"{directory}/id_rsa", _lines(key), 0o600)
        else:
            yield Warn(USER, "SSH_PRIVATE_KEY_B64 is no base64 of a private key: give it `base64 -w0 < KEYFILE`")
    if public := os.fsencode(settings.ssh_public_key).strip():
        public = public if public.startswith(_KEY_TYPES) else _decoded(settings.ssh_public_key)
        if public.startswith(_KEY_TYPES):
            yield WriteFile(USER, f"{directory}/id_rsa.pub", _lines(public), 0o644)
        else:
            yield Warn(USER, "SSH_PUBLIC_KEY is no public key, nor the base64 of one: give it the line of KEYFILE.pub")
    if settings.ssh_known_hosts.strip():
        known = os.fsencode(settings.ssh_known_hosts)
        yield WriteFile(USER, f"{directory}/known_hosts", _lines(known), 0o644)


def _decoded(text: str) -> bytes:
    """The bytes of a base64 text, which may be wrapped; empty when it is none."""
    packed = "".join(text.split())
    try:
        decoded = binascii.a2b_base64(packed)
    except ValueError:
        return b""
    # a2b_base64 skips what is no base64: only a text that it gives back is one
    return decoded if binascii.b2a_base64(decoded, newline=False).decode() == packed else b""


def _lines(text: bytes) -> bytes:
    """With Unix line ends and a last one: OpenSSH reads no key without ("error in libcrypto")."""
    return text.replace(b"\r", b"").rstrip(b"\n") + b"\n"
