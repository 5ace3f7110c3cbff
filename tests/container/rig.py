"""The container rig: scratch as NFS shows it, and pods that boot for real.

`Scratch` is one mounted export with its control socket. `Pod` is a copy-on-write copy of this container's
root, in which the entrypoint boots as PID 1 of its own namespaces, as many times as a test likes: `run` to the
end, or `start` for a `Live` pod that takes signals, input and `exec` sessions. Every `Result` is checked: a
WARNING, an ERROR or a traceback that the test does not expect fails it.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import errno
import os
import re
import select
import shutil
import signal
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

BIN = Path("/opt/test/bin")
ENTRY = "/usr/local/bin/mlo-entry"
SEED_UID, UID, GID = 177449, 123456, 83070
USER, GROUP = "jdoe", "MLO-unit"
HOME = f"/mloscratch/homes/{USER}"
RIG = Path("/rig", os.environ.get("PYTEST_XDIST_WORKER", "main"))  # each of several test processes has its own
TIMEOUT = 30.0  # seconds; nothing here takes a tenth of it
ALARM = re.compile(rb"WARNING|ERROR|Traceback|^bootns: ")
DEFECT = re.compile(rb"Traceback|defect|^bootns: ")
ANY = None  # as `expect`: whatever it warns of

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


@dataclass(frozen=True)
class Calls:
    """What was asked of scratch since the last reset, by kind."""

    by_kind: Mapping[str, int]
    changing: int

    @property
    def total(self) -> int:
        return sum(self.by_kind.values())


class Scratch:
    """A root-squashed export, mounted at `path`; `backing` is what the server stores, for root to change."""

    def __init__(self, directory: Path, timeout: float = 0) -> None:
        self.path, self.backing = directory / "mnt", directory / "backing"
        self._control = directory / "control"
        self.path.mkdir(parents=True)
        self.make("", SEED_UID, GID, 0o755)
        self.make("homes", SEED_UID, GID, 0o755)
        self._server = subprocess.Popen(
            [BIN / "scratchfs", self.backing, self.path, self._control, str(timeout)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        assert self._server.stdout
        assert self._server.stdout.readline() == b"ready\n"

    def close(self) -> None:
        self.command("clear")
        self._server.terminate()  # it unmounts itself
        self._server.wait()
        if self._server.stdout:
            self._server.stdout.close()

    def command(self, text: str) -> str:
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(TIMEOUT)
            control.connect(str(self._control))
            control.send(text.encode())
            answer = b"".join(iter(lambda: control.recv(4096), b"")).decode()
        assert not answer.startswith("unknown"), answer
        return answer

    def calls(self) -> Calls:
        rows = [line.split() for line in self.command("counts").splitlines()]
        return Calls(
            {kind: int(count) for kind, count, _ in rows if count != "0"},
            sum(int(count) for _, count, changes in rows if changes == "1"),
        )

    def kinds(self) -> list[str]:
        """Every kind of operation that can fail or be slow."""
        return [line.split()[0] for line in self.command("counts").splitlines()]

    def fail(self, kind: str, error: int, times: int = 0, under: str = "/") -> None:
        self.command(f"fail {kind} {error} {times} {under}")

    def make(self, path: str, uid: int, gid: int, mode: int) -> Path:
        """Make a directory on the server, whoever may do so there."""
        directory = self.backing / path
        directory.mkdir(exist_ok=True)
        os.chown(directory, uid, gid)
        directory.chmod(mode)
        return directory

    def home(self, uid: int = SEED_UID, gid: int = GID, mode: int = 0o2770) -> Path:
        """The user's scratch home, as an earlier boot left it."""
        return self.make(f"homes/{USER}", uid, gid, mode)

    def put(self, path: str, text: str, uid: int = UID, gid: int = GID, mode: int = 0o660) -> Path:
        """Write a file on the server."""
        file = self.backing / path
        file.write_text(text)
        os.chown(file, uid, gid)
        file.chmod(mode)
        return file


@dataclass(frozen=True)
class Result:
    """How a program in a pod ended, and what it wrote."""

    code: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        return self.out.decode(errors="replace")

    @property
    def log(self) -> list[str]:
        """The lines of the boot."""
        return [line for line in self.err.decode(errors="replace").splitlines() if line.startswith("[mlo] ")]

    def check(self, code: int | None, expect: Iterable[str] | None) -> Result:
        """Fail on another exit code, on an alarm that nobody expects, and on an expected one that lacks."""
        alarms = [line for line in self.err.splitlines() if ALARM.search(line)]
        if expect is ANY:
            alarms = [alarm for alarm in alarms if DEFECT.search(alarm)]
        wanted = [re.compile(pattern.encode()) for pattern in expect or ()]
        err = self.err.decode(errors="replace")
        report = f"exit code {self.code}\n--- stdout\n{self.text[-4000:]}\n--- stderr\n{err[-8000:]}"
        assert code is None or self.code == code, f"wanted exit code {code}, got {report}"
        unexpected = [alarm for alarm in alarms if not any(pattern.search(alarm) for pattern in wanted)]
        assert not unexpected, f"unexpected: {unexpected}\n{report}"
        for pattern in wanted:
            assert any(map(pattern.search, alarms)), f"no alarm has {pattern.pattern!r}\n{report}"
        return self


class Stream:
    """What comes out of a descriptor, gathered as it comes."""

    def __init__(self, fd: int) -> None:
        self.data = b""
        self._news = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._read, args=(fd,), daemon=True)
        self._thread.start()

    def _read(self, fd: int) -> None:
        with contextlib.suppress(OSError):  # EIO: the terminal's last process is gone
            while data := os.read(fd, 65536):
                with self._news:
                    self.data += data
                    self._news.notify_all()
        os.close(fd)
        with self._news:
            self._ended = True
            self._news.notify_all()

    def wait_for(self, text: bytes, timeout: float = TIMEOUT) -> bytes:
        """All that has come so far, as soon as `text` is in it."""
        with self._news:
            self._news.wait_for(lambda: text in self.data or self._ended, timeout)
            assert text in self.data, f"{text!r} did not come: {self.data[-4000:]!r}"
            return self.data

    def end(self, timeout: float = TIMEOUT) -> bytes:
        self._thread.join(timeout)
        assert not self._thread.is_alive(), f"the stream did not end: {self.data[-4000:]!r}"
        return self.data


class Live:
    """A running program in a pod: its boot, or an exec session."""

    def __init__(
        self,
        pod: Pod,
        options: list[str],
        argv: Iterable[Text],
        env: Iterable[bytes],
        tty: bool,
        stdin: bytes | None,
    ) -> None:
        self._pod = pod
        self._terminal = -1
        variables = os.memfd_create("env", 0)
        os.write(variables, b"".join(variable + b"\0" for variable in env))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            command = [str(BIN / "bootns"), *options, "--env-fd", str(variables), "--socket", str(theirs.fileno())]
            self._process = subprocess.Popen(
                [*command, *(["--tty"] if tty else []), "--", *argv],
                stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(variables, theirs.fileno()),
            )
            os.close(variables)
            theirs.close()
            assert self._process.stdout
            assert self._process.stderr
            self.stdout = Stream(os.dup(self._process.stdout.fileno()))
            self.stderr = Stream(os.dup(self._process.stderr.fileno()))
            self._process.stdout.close()
            self._process.stderr.close()
            ours.settimeout(TIMEOUT)
            self.pid = 0
            for _ in range(1 + tty):
                packet, control, _, _ = ours.recvmsg(64, socket.CMSG_SPACE(4))
                if control:
                    self._terminal = array.array("i", control[0][2])[0]
                    self.stdout = Stream(os.dup(self._terminal))
                elif packet:
                    self.pid = int(packet)
        if self._process.stdin:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(stdin or b"")
                self._process.stdin.close()

    def signal(self, number: int) -> None:
        """What `docker kill` does: a signal to the program, from outside."""
        os.kill(self.pid, number)

    def type(self, text: bytes) -> None:
        os.write(self._terminal, text)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait(self, code: int | None = None, expect: Iterable[str] | None = (), timeout: float = TIMEOUT) -> Result:
        ended = os.pidfd_open(self._process.pid)  # Popen.wait(timeout) sleeps between looks, up to 50 ms
        in_time, _, _ = select.select([ended], [], [], timeout)
        os.close(ended)
        if not in_time:
            self.kill()
            seen = f"{self.stdout.data!r} {self.stderr.data!r}"
            raise AssertionError(f"still running after {timeout} s: {seen}")
        self._close_terminal()
        return Result(self._process.wait(), self.stdout.end(), self.stderr.end()).check(code, expect)

    def kill(self) -> None:
        """The end that nothing survives and nobody can see coming, as when a node fails."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._process.wait()
        self._close_terminal()

    def _close_terminal(self) -> None:
        if self._terminal >= 0:
            os.close(self._terminal)
            self._terminal = -1

    def processes(self) -> dict[int, list[bytes]]:
        """argv of the processes in the pod, by PID as this container sees it."""
        namespace = os.readlink(f"/proc/{self.pid}/ns/pid")
        found = {}
        for entry in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{entry}/ns/pid") == namespace:
                    found[int(entry)] = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")[:-1]
        return found

    def exec(
        self,
        *argv: Text,
        user: str | tuple[int, int] = USER,
        env: Mapping[str, Text] | None = None,
        tty: bool = False,
        stdin: bytes | None = None,
    ) -> Live:
        """`docker exec --user`: another process in the pod, with the environment that the pod was given."""
        uid, gid, groups, home = self._pod.identity(user)
        options = ["--join", str(self.pid), "--uid", str(uid), "--gid", str(gid)]
        options += [word for group in groups for word in ("--group", str(group))]
        environ = self._pod.environ | {b"HOME": home.encode()} | encode(env or {})
        environ |= {b"TERM": b"xterm"} if tty else {}
        return Live(self._pod, options, argv, [k + b"=" + v for k, v in environ.items()], tty, stdin)


def encode(variables: Mapping[str, Text]) -> dict[bytes, bytes]:
    return {os.fsencode(name): os.fsencode(value) for name, value in variables.items()}


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


def grow_tree(top: Path, files: int, size: int) -> None:
    """A directory like oh-my-zsh, the same each time: `files` files of `size` bytes in all.

    An eighth of them in one directory, as its themes, and the rest by threes in directories of one parent, as plugins.
    """
    top.mkdir(parents=True)
    (top / "oh-my-zsh.sh").write_text("OMZ_LOADED=yes\n")
    (top / "tool.sh").write_text("#!/bin/sh\n")
    (top / "tool.sh").chmod(0o755)
    (top / "link").symlink_to("oh-my-zsh.sh")
    for number in range(files - 2):
        directory = top / "themes" if number % 8 == 0 else top / "plugins" / f"p{number // 3}"
        directory.mkdir(parents=True, exist_ok=True)
        length = size * 2 * number // files**2  # from small to large, as real trees are
        (directory / f"f{number}").write_bytes((f"# file {number}\n".encode() * (length // 8 + 1))[:length])


def tree(top: Path) -> dict[str, tuple[object, ...]]:
    """What a copy must have in common with its source."""
    return {
        str(path.relative_to(top)): (stat.S_IFMT(path.lstat().st_mode), path.lstat().st_mode & 0o100, content(path))
        for path in _walk(top)
    }


def content(path: Path) -> object:
    return str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else b""


def snapshot(*directories: Path) -> dict[str, tuple[object, ...]]:
    """Every path below, with all that may not change: kind, mode, owner, content, and the time of the last change."""
    return {str(path): _facts(path) for top in directories for path in _walk(top)}


def _walk(top: Path) -> Iterator[Path]:
    yield top
    if top.is_dir() and not top.is_symlink():
        for child in sorted(top.iterdir()):
            yield from _walk(child)


def _facts(path: Path) -> tuple[object, ...]:
    info = path.lstat()
    return info.st_mode, info.st_uid, info.st_gid, info.st_ino, info.st_ctime_ns, content(path)


ERRORS = {name: getattr(errno, name) for name in ("EDQUOT", "ENOSPC", "ESTALE", "EIO", "EROFS")}
