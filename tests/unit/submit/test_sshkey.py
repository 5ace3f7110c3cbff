from __future__ import annotations

import base64
from pathlib import Path

import pytest

from mlo_submit import sshkey
from mlo_submit.errors import ConfigError
from mlo_submit.machine import Machine
from tests.unit.submit.conftest import ENV, config_of


def openssh(cipher: bytes) -> bytes:
    body = b"openssh-key-v1\0" + len(cipher).to_bytes(4, "big") + cipher + b"\0" * 40
    text = base64.encodebytes(body).decode()
    return f"-----BEGIN OPENSSH PRIVATE KEY-----\n{text}-----END OPENSSH PRIVATE KEY-----\n".encode()


@pytest.fixture
def ssh(laptop: Machine) -> Path:
    (laptop.home / ".ssh").mkdir()
    return laptop.home / ".ssh"


def test_the_default_key_is_picked_up_and_mended(laptop: Machine, ssh: Path) -> None:
    """A key with CRLF and no final newline is none for OpenSSH."""
    key = openssh(b"none")
    (ssh / "github").write_bytes(key.replace(b"\n", b"\r\n").rstrip())
    (ssh / "github.pub").write_text("ssh-ed25519 AAAA jdoe\n")
    config = config_of(laptop)
    assert base64.b64decode(config.values["SSH_PRIVATE_KEY_B64"]) == key
    assert config.values["SSH_PUBLIC_KEY"] == "ssh-ed25519 AAAA jdoe"
    assert config.secret_keys == ("HF_TOKEN", "SSH_PRIVATE_KEY_B64", "SSH_PUBLIC_KEY", "WANDB_API_KEY")
    assert config.notes == (
        f"SSH_PRIVATE_KEY_B64 comes from {ssh / 'github'}",
        f"SSH_PUBLIC_KEY comes from {ssh / 'github.pub'}",
    )
    assert config.warnings == ()


def test_what_env_says_goes_before_a_file(laptop: Machine, ssh: Path) -> None:
    (ssh / "github").write_bytes(openssh(b"none"))
    config = config_of(laptop, ENV + "SSH_PRIVATE_KEY_B64=a2V5\nSSH_PUBLIC_KEY=pub\n")
    assert (config.values["SSH_PRIVATE_KEY_B64"], config.values["SSH_PUBLIC_KEY"]) == ("a2V5", "pub")
    assert config.notes == ()


def test_a_named_key_has_a_public_part_beside_it_or_where_it_is_named(laptop: Machine, ssh: Path) -> None:
    (ssh / "other").write_bytes(openssh(b"none"))
    (ssh / "other.pub").write_text("beside")
    text = ENV + "GITHUB_SSH_KEY_PATH=~/.ssh/other\n"
    assert config_of(laptop, text).values["SSH_PUBLIC_KEY"] == "beside"
    (ssh / "elsewhere").write_text("named")
    text += "GITHUB_SSH_PUBLIC_KEY_PATH=~/.ssh/elsewhere\n"
    assert config_of(laptop, text).values["SSH_PUBLIC_KEY"] == "named"


def test_a_named_key_that_is_missing_is_a_problem(laptop: Machine) -> None:
    with pytest.raises(ConfigError, match=r"line 13: GITHUB_SSH_KEY_PATH names .*/none, which cannot be read: No such"):
        config_of(laptop, ENV + "GITHUB_SSH_KEY_PATH=none\n")


def test_a_named_key_that_is_none_is_a_problem(laptop: Machine) -> None:
    (laptop.cwd / "key").write_text("ssh-ed25519 AAAA")
    with pytest.raises(ConfigError, match="is no private key"):
        config_of(laptop, ENV + "GITHUB_SSH_KEY_PATH=key\n")


@pytest.mark.parametrize(
    "key",
    [
        openssh(b"aes256-ctr"),
        b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n-----END RSA PRIVATE KEY-----\n",
    ],
)
def test_a_passphrase_is_a_warning(laptop: Machine, ssh: Path, key: bytes) -> None:
    (ssh / "github").write_bytes(key)
    (warning,) = config_of(laptop).warnings
    assert "passphrase" in warning
    given = config_of(laptop, ENV + f"SSH_PRIVATE_KEY_B64={base64.b64encode(key).decode()}\n")
    assert "passphrase" in given.warnings[0]


def test_a_key_without_passphrase_is_none(laptop: Machine) -> None:
    assert not sshkey.is_encrypted(openssh(b"none"))
    assert not sshkey.is_encrypted(b"-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n")
    assert not sshkey.is_encrypted(b"nothing")
