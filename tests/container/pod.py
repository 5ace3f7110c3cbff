"""Pods that boot for real.

`Pod` is a copy-on-write copy of this container's root, in which the entrypoint boots as PID 1 of its own namespaces, as
many times as a test likes: `run` to the end, or `start` for a `Live` pod that takes signals, input and `exec` sessions.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.container.live import Live, Result
from tests.container.machine import ENTRY, GID, GROUP, HOME, RIG, UID, USER, Text, encode, mount, unmount
from tests.container.scratch import Scratch


def image_environ() -> dict[bytes, bytes]:
    """The variables of the image, as the engine gave them to this container."""
    items = Path("/proc/self/environ").read_bytes().split(b"\0")
    variables = (item.partition(b"=") for item in items if item)
    return {name: value for name, _, value in variables if name not in {b"HOME", b"HOSTNAME", b"TERM"}}


@dataclass(frozen=True)
class Account:
    """A line of passwd."""

    name: str
    password: str
    uid: int
    gid: int
    gecos: str
    home: str
    shell: str


class Pod:
    """A container's root, and the boots in it."""

    def __init__(self, directory: Path, scratch: Scratch, start: str = "uid") -> None:
        self.directory, self.scratch, self.start_as = directory, scratch, start
        self.root = directory / "root"
        for name in ("root", "upper", "work"):
            (directory / name).mkdir(parents=True)
        layers = f"lowerdir=/,upperdir={directory}/upper,workdir={directory}/work"
        mount("overlay", self.root, "overlay", layers)
        self.write("etc/hosts", "127.0.0.1 localhost\n127.0.1.1 pod\n")  # the engine's; sudo looks itself up
        self.uid, self.gid = (0, 0) if start == "root" else (UID, GID)
        self.groups: list[int] = []
        self.options: list[str] = []
        self.mounts = {str(scratch.path): "/mloscratch", str(RIG / "oh-my-zsh"): "/docker/.oh-my-zsh"}
        self.environ = image_environ() | encode(
            {
                "HOSTNAME": "pod",
                "HOME": "/root" if start == "root" else "/",
                "NB_USER": USER,
                "NB_UID": str(UID),
                "NB_GROUP": GROUP,
                "NB_GID": str(GID),
                "SCRATCH_HOME_ROOT": "/mloscratch/homes",
                "WORKING_DIR": HOME,
            }
        )
        self._lives: list[Live] = []

    def close(self) -> None:
        for live in self._lives:
            live.kill()
        unmount(self.root)
        shutil.rmtree(self.directory, ignore_errors=True)

    # What a test plants before a boot and reads after it.

    def path(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def write(self, path: str, text: str, mode: int = 0o644) -> Path:
        file = self.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        return file

    def read(self, path: str) -> str:
        return self.path(path).read_text()

    def stat(self, path: str) -> os.stat_result:
        return self.path(path).lstat()

    def mode(self, path: str) -> str:
        return oct(stat.S_IMODE(self.stat(path).st_mode))

    def accounts(self) -> list[Account]:
        rows = [line.split(":") for line in self.read("etc/passwd").splitlines()]
        return [Account(n, p, int(u), int(g), c, h, s) for n, p, u, g, c, h, s in rows]

    def account(self, name: str = USER) -> Account:
        (found,) = [account for account in self.accounts() if account.name == name]
        return found

    def group_rows(self) -> list[tuple[str, int, list[str]]]:
        rows = [line.split(":") for line in self.read("etc/group").splitlines()]
        return [(name, int(gid), list(filter(None, members.split(",")))) for name, _, gid, members in rows]

    def identity(self, user: str | tuple[int, int]) -> tuple[int, int, list[int], str]:
        """Uid, gid, supplementary groups and home, as an engine resolves --user in the container."""
        if isinstance(user, tuple):
            homes = [account.home for account in self.accounts() if account.uid == user[0]]
            return (*user, [], [*homes, "/"][0])
        account = self.account(user)
        groups = [gid for _, gid, members in self.group_rows() if user in members]
        return account.uid, account.gid, groups, account.home

    def add_user(self, name: str, uid: int, gid: int) -> None:
        """An account of the image, as useradd leaves it."""
        for file, line in (("passwd", f"{name}:x:{uid}:{gid}::/home/{name}:/bin/sh"), ("shadow", f"{name}:!:1::::::")):
            with self.path(f"etc/{file}").open("a") as text:
                text.write(line + "\n")

    def add_group(self, name: str, gid: int, members: str = "") -> None:
        for file, line in (("group", f"{name}:x:{gid}:{members}"), ("gshadow", f"{name}:!::{members}")):
            if self.path(f"etc/{file}").exists():
                with self.path(f"etc/{file}").open("a") as text:
                    text.write(line + "\n")

    # Boots.

    def start(
        self,
        *argv: Text,
        env: Mapping[str, Text | None] | None = None,
        raw_env: Iterable[bytes] = (),
        tty: bool = False,
        stdin: bytes | None = None,
        entry: str = ENTRY,
    ) -> Live:
        """Boot, and let it live. A variable that is None is left out; `raw_env` is added, whatever its bytes are."""
        environ = self.environ | ({b"TERM": b"xterm"} if tty else {})
        for name, value in (env or {}).items():
            environ.pop(os.fsencode(name), None)
            if value is not None:
                environ |= encode({name: value})
        options = ["--root", str(self.root), "--tmpfs", "/opt/test", *self.options]
        options += ["--uid", str(self.uid), "--gid", str(self.gid)]
        for source, target in self.mounts.items():
            options += ["--bind", f"{source}={target}"]
        options += [word for group in self.groups for word in ("--group", str(group))]
        variables = [name + b"=" + value for name, value in environ.items()]
        live = Live(self, options, [entry, *argv], [*variables, *raw_env], tty, stdin)
        self._lives.append(live)
        return live

    def run(
        self,
        *argv: Text,
        env: Mapping[str, Text | None] | None = None,
        raw_env: Iterable[bytes] = (),
        tty: bool = False,
        stdin: bytes | None = None,
        entry: str = ENTRY,
        code: int | None = 0,
        expect: Iterable[str] | None = (),
    ) -> Result:
        """Boot, run a command to its end, and check how it went."""
        return self.start(*argv, env=env, raw_env=raw_env, tty=tty, stdin=stdin, entry=entry).wait(code, expect)

    def script(
        self,
        text: str,
        *,
        env: Mapping[str, Text | None] | None = None,
        code: int | None = 0,
        expect: Iterable[str] | None = (),
    ) -> Result:
        """Boot, and run a shell script as the command."""
        return self.run("/bin/sh", "-euc", text, env=env, code=code, expect=expect)
