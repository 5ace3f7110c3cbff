"""A login host: a real sshd and rsync, and a laptop that may log in there."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"not within 30 s: {what}"
        time.sleep(0.02)


@dataclass(frozen=True)
class Lab:
    """A login host that has scratch and the store, and a laptop that may log in there."""

    laptop: Path
    scratch: Path  # jdoe's home
    store: Path  # jdoe's part
    bin: Path  # comes first on the host's PATH
    sshd: psutil.Process

    def start(self, *argv: str) -> subprocess.Popen[str]:
        environ = {"HOME": str(self.laptop), "PATH": f"{self.laptop}/bin:/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            [sys.executable, "-m", "mlo_submit", "archive", *argv],
            env=environ,
            cwd=self.laptop,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def archive(self, *argv: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*argv)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(argv, process.returncode, out, err)

    def on_host(self, *flags: str) -> None:
        """Have the host's rsync called with these flags, too."""
        program = self.bin / "rsync"
        program.write_text(f'#!/bin/sh\nexec /usr/bin/rsync {shlex.join(flags)} "$@"\n')
        program.chmod(0o755)

    def rsyncs(self) -> list[psutil.Process]:
        """The transfers that run."""
        found = []
        for process in psutil.process_iter(["name", "cmdline"]):
            if process.info["name"] == "rsync" and f"{self.store}/" in (process.info["cmdline"] or ()):
                found.append(process)
        return found


@contextmanager
def login_host(tmp_path: Path, shell: str) -> Iterator[Lab]:
    """`shell` is the login shell there, which reads what ssh sends."""
    sshd_path = shutil.which("sshd", path="/usr/sbin:/usr/bin")
    assert sshd_path, "needs the package openssh-server"
    host, laptop = tmp_path / "ho st", tmp_path / "laptop"
    for directory in (host / "bin", host / "scratch/homes/jdoe", host / "store", laptop / "bin"):
        directory.mkdir(parents=True)
    for name in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)  # noqa: S607
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    (tmp_path / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {tmp_path}/host_key\nAuthorizedKeysFile {tmp_path}/user_key.pub\n"
        "StrictModes no\nUsePAM no\nPidFile none\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        "PermitRootLogin prohibit-password\n"
        f'SetEnv "PATH={host}/bin:/usr/bin:/bin"\n'
        + (f'ForceCommand {shutil.which(shell)} -c "$SSH_ORIGINAL_COMMAND"\n' if shell != "sh" else "")
    )
    key = " ".join((tmp_path / "host_key.pub").read_text().split()[:2])
    (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{port} {key}\n")
    (tmp_path / "ssh_config").write_text(
        f"Host login-host\nHostName 127.0.0.1\nPort {port}\nUser {pwd.getpwuid(os.getuid()).pw_name}\n"
        f"IdentityFile {tmp_path}/user_key\nIdentitiesOnly yes\nUserKnownHostsFile {tmp_path}/known_hosts\n"
    )
    # ssh looks for its configuration in the home of the account, wherever HOME points.
    (laptop / "bin/ssh").write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {tmp_path}/ssh_config "$@"\n')
    (laptop / "bin/ssh").chmod(0o755)
    (laptop / ".env").write_text(
        "LDAP_USERNAME=jdoe\nLDAP_UID=123456\nLDAP_GROUPNAME=lab\nLDAP_GID=83070\nRUNAI_PROJECT=jdoe\n"
        f"ARCHIVE_HOST=login-host\nARCHIVE_ROOT='{host}/store'\nSCRATCH_HOST_ROOT='{host}/scratch'\n"
    )
    (laptop / ".env").chmod(0o600)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    log = tmp_path / "sshd.log"
    with subprocess.Popen([sshd_path, "-D", "-f", tmp_path / "sshd_config", "-E", log]) as sshd:
        until(lambda: log.exists() and "listening" in log.read_text(), "sshd listens")
        process = psutil.Process(sshd.pid)
        yield Lab(laptop, host / "scratch/homes/jdoe", host / "store/jdoe", host / "bin", process)
        sshd.terminate()
