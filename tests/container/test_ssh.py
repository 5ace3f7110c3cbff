"""SSH keys: they live as long as the pod, and nowhere else."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest

from tests.container.machine import HOME, UID, USER
from tests.container.pod import Pod
from tests.container.scratch import Scratch

MARK = "KEY-MATERIAL"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A real key pair: private and public text."""
    path = tmp_path_factory.mktemp("keys") / "id"
    subprocess.run(["/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", MARK, "-f", str(path)], check=True)
    return path.read_text(), path.with_suffix(".pub").read_text()


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_keys_and_known_hosts(pod: Pod, keys: tuple[str, str]) -> None:
    """~/.ssh 0700, id_rsa 0600, id_rsa.pub 0644, known_hosts 0644, all the user's, and the key is one to OpenSSH."""
    env = {
        "SSH_PRIVATE_KEY_B64": b64(keys[0]),
        "SSH_PUBLIC_KEY": keys[1],
        "SSH_KNOWN_HOSTS": "github.com ssh-ed25519 AAAA",
    }
    script = "cd ~/.ssh; stat -c '%n %a %u' . *; ssh-keygen -y -f id_rsa; cat id_rsa.pub known_hosts; ls -A"
    lines = pod.script(script, env=env).text.splitlines()
    assert lines[:4] == [f". 700 {UID}", f"id_rsa 600 {UID}", f"id_rsa.pub 644 {UID}", f"known_hosts 644 {UID}"]
    assert lines[4] == lines[5] == keys[1].strip()
    assert lines[6] == "github.com ssh-ed25519 AAAA"


@pytest.mark.parametrize("mangle", ["crlf", "no newline", "wrapped", "spaces"])
def test_a_mangled_key_is_mended(pod: Pod, keys: tuple[str, str], mangle: str) -> None:
    """CRLF line ends and a missing last newline, which OpenSSH does not read; base64 that was wrapped."""
    text = {"crlf": keys[0].replace("\n", "\r\n"), "no newline": keys[0].rstrip("\n")}.get(mangle, keys[0])
    value = b64(text)
    if mangle == "wrapped":
        value = "\n".join(value[i : i + 76] for i in range(0, len(value), 76)) + "\n"
    if mangle == "spaces":
        value = f" {value} "
    result = pod.script("ssh-keygen -y -f ~/.ssh/id_rsa", env={"SSH_PRIVATE_KEY_B64": value})
    assert result.text.split()[:2] == keys[1].split()[:2]


@pytest.mark.parametrize("value", ["not base64!", "abc", "====", "é", "A" * 1001, b64("no key"), b64("")])
def test_what_is_no_key_is_a_warning(pod: Pod, value: str) -> None:
    """And no file is left. The value is not in the log."""
    result = pod.script(
        "ls -A ~/.ssh", env={"SSH_PRIVATE_KEY_B64": value}, expect=["WARNING.*SSH_PRIVATE_KEY_B64"] if value else []
    )
    assert result.out == b""
    assert not value or value not in result.err.decode()


def test_each_boot_makes_it_anew(pod: Pod, keys: tuple[str, str]) -> None:
    """What the last boot, or its user, left there is gone."""
    pod.script(
        "echo x >~/.ssh/config; mkdir -p ~/.ssh/d/e; touch ~/.ssh/d/e/f", env={"SSH_PRIVATE_KEY_B64": b64(keys[0])}
    )
    assert pod.script("ls -A ~/.ssh; stat -c %a ~/.ssh").text == "700\n"


def test_a_mounted_ssh_directory_is_its_owners(pod: Pod) -> None:
    """A volume at ~/.ssh stays as it is."""
    volume = pod.directory / "volume"
    volume.mkdir()
    (volume / "config").write_text("kept")
    pod.mounts[str(volume)] = f"/home/{USER}/.ssh"
    pod.path(f"/home/{USER}/.ssh").mkdir(parents=True)
    pod.script("true", expect=None)
    assert (volume / "config").read_text() == "kept"


@pytest.mark.parametrize("way", ["variable", "file"])
def test_the_key_is_nowhere_else(pod: Pod, scratch: Scratch, keys: tuple[str, str], way: str) -> None:
    """Not on scratch, in argv, in the log, in the environment of command or session, nor in another file of the pod."""
    encoded = b64(keys[0])
    env: dict[str, str] = {}
    if way == "variable":
        env["SSH_PRIVATE_KEY_B64"] = encoded
        pod.environ[b"SSH_PRIVATE_KEY_B64"] = encoded.encode()
    else:
        pod.write("/run/secrets/mlo/SSH_PRIVATE_KEY_B64", encoded)
    live = pod.start(
        "/bin/sh",
        "-c",
        "env -0; echo; ssh-keygen -y -f ~/.ssh/id_rsa; sudo -n cat /proc/1/cmdline; echo up; read x",
        tty=True,
    )
    live.stdout.wait_for(b"up\r\n")  # a key may have these two letters, too
    argv = b"\0".join(word for words in live.processes().values() for word in words)
    session = live.exec("/bin/zsh", "-lc", "env").wait(0)
    live.type(b"\n")
    result = live.wait(0)
    secret = keys[0].splitlines()[2][:40]
    for text in (result.out, result.err, argv, session.out):
        assert encoded[:200].encode() not in text
        assert secret.encode() not in text
    assert keys[1].split()[1].encode() in result.out
    for top in (scratch.backing, pod.directory / "upper"):
        for path in filter(Path.is_file, top.rglob("*")):
            if path.name not in ("id_rsa", "SSH_PRIVATE_KEY_B64"):
                assert secret.encode() not in path.read_bytes(), path
                assert encoded[:200].encode() not in path.read_bytes(), path
    assert HOME not in str(list(pod.path(f"/home/{USER}/.ssh").iterdir()))
