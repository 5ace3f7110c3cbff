"""Who becomes root, and what never runs as root."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.container.conftest import MakePod
from tests.container.live import ANY
from tests.container.machine import BIN, ENTRY, UID, USER
from tests.container.pod import Pod
from tests.container.scratch import Scratch
from tests.container.trees import snapshot

CACHE_SECONDS = 1

KNOWN_SETUID = {"su", "sudo", "passwd", "chsh", "chfn", "gpasswd", "newgrp", "mount", "umount", "pkexec", "fusermount3",
                "dbus-daemon-launch-helper", "ssh-keysign", "polkit-agent-helper-1"}  # fmt: skip


def test_the_helper_is_the_only_new_setuid_file(make_pod: MakePod) -> None:
    """Of the image: nothing but distributions' programs, and the helper, which root owns and nobody else writes."""
    found = (
        make_pod("root")
        .run("-c", "find / -xdev -perm /6000 -type f -user root -perm -4000", entry="/bin/sh")
        .text.split()
    )
    assert {Path(path).name for path in found} - KNOWN_SETUID == {"mlo-entry"}
    assert (make_pod("root").stat(ENTRY).st_uid, make_pod("root").mode(ENTRY)) == (0, "0o4755")


def test_nobody_has_a_password(make_pod: MakePod) -> None:
    """No account of the image, root neither."""
    for line in make_pod("root").read("/etc/shadow").splitlines():
        assert line.split(":")[1][:1] in ("*", "!"), line.split(":")[0]


def test_the_helper_is_inert_in_a_running_pod(pod: Pod) -> None:
    """For the user and for a stranger it runs a command as themselves; it says that the pod has booted."""
    live = pod.start("/bin/sh", "-c", "echo up; read x", tty=True)
    live.stdout.wait_for(b"up")
    before = snapshot(pod.path("/etc"))
    for user in ((UID, 83070), (4242, 4242)):
        result = live.exec(ENTRY, "/usr/bin/id", "-u", user=user).wait(0)
        assert result.text == f"{user[0]}\n"
        assert "booted already" in result.err.decode()
        live.exec(ENTRY, "/usr/bin/touch", "/etc/x", user=user).wait(1)
        live.exec(ENTRY, "/bin/sh", "-c", "exit 9", user=user).wait(9)
        live.exec(ENTRY, user=user, env={"SHELL": "/bin/sh"}, stdin=b"exit 4\n").wait(4, expect=())
    assert snapshot(pod.path("/etc")) == before
    live.type(b"\n")
    live.wait(0)


def test_the_helper_is_inert_in_a_user_namespace(pod: Pod) -> None:
    """PID 1 of a namespace that a user made is nobody special: no file of root's changes."""
    before = snapshot(pod.path("/etc"))
    script = "unshare --user --map-root-user --pid --fork --mount-proc /usr/local/bin/mlo-entry touch /etc/x; echo $?"
    if pod.uid == 0:
        script = f"exec setpriv --reuid 4242 --regid 4242 --clear-groups sh -c '{script}'"
    assert pod.run("-c", script, entry="/bin/sh", expect=ANY).text.strip() not in ("", "0")
    assert snapshot(pod.path("/etc")) == before


def test_argv_of_the_helper_is_no_way_in(make_pod: MakePod) -> None:
    """Options of python's, of bash's and of our own are names of commands, which do not exist."""
    pod = make_pod("uid")
    for argv in (["-c", "import os; print('x')"], ["--plan"], ["--status"], ["-m", "http.server"], ["-"]):
        assert "not found" in pod.run(*argv, code=127).err.decode()


HOSTILE_ENV = {
    "LD_PRELOAD": "/tmp/evil/hostile.so",
    "LD_AUDIT": "/tmp/evil/hostile.so",
    "LD_LIBRARY_PATH": "/tmp/evil",
    "OPENSSL_CONF": "/tmp/evil/openssl.cnf",
    "OPENSSL_MODULES": "/tmp/evil",
    "OPENSSL_ENGINES": "/tmp/evil",
    "GCONV_PATH": "/tmp/evil",
    "PYTHONPATH": "/tmp/evil",
    "PYTHONHOME": "/tmp/evil",
    "PYTHONSTARTUP": "/tmp/evil/startup.py",
    "PYTHONINSPECT": "1",
    "PYTHONUSERBASE": "/tmp/evil",
    "PYTHONPLATLIBDIR": "/tmp/evil",
    "PYTHONBREAKPOINT": "evil.run",
    "PYTHONWARNINGS": "error",
    "BASH_ENV": "/tmp/evil/env.sh",
    "ENV": "/tmp/evil/env.sh",
    "SHELLOPTS": "xtrace",
    "BASHOPTS": "extdebug",
    "PS4": "$(/tmp/evil/run)",
    "IFS": "/",
    "CDPATH": "/tmp/evil",
    "PATH": "/tmp/evil/bin:/usr/bin:/bin",
    "ZDOTDIR": "/tmp/evil",
    "TMPDIR": "/tmp/evil",
    "GIT_CONFIG_GLOBAL": "/tmp/evil/gitconfig",
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "core.pager",
    "GIT_CONFIG_VALUE_0": "/tmp/evil/run",
    "GIT_EXEC_PATH": "/tmp/evil/bin",
    "GIT_SSH_COMMAND": "/tmp/evil/run",
    "SUDO_ASKPASS": "/tmp/evil/run",
    "SUDO_EDITOR": "/tmp/evil/run",
    "EDITOR": "/tmp/evil/run",
    "LOCPATH": "/tmp/evil",
    "NLSPATH": "/tmp/evil/%N",
    "HOSTALIASES": "/tmp/evil/hosts",
    "RES_OPTIONS": "debug",
    "MALLOC_PERTURB_": "1",
    "GLIBC_TUNABLES": "glibc.malloc.check=3",
    "BASH_FUNC_cd%%": '() { /tmp/evil/run; builtin cd "$@"; }',
    "BASH_FUNC_exec%%": '() { /tmp/evil/run; builtin exec "$@"; }',
    "BASH_FUNC_shift%%": "() { /tmp/evil/run; builtin shift; }",
    "GIT_USER_NAME": "x",
    "GIT_USER_EMAIL": "y",
}
LOG = "/tmp/hostile.log"


def plant(pod: Pod) -> None:
    """Programs, modules and a library that log the uid of whoever runs or loads them."""
    pod.write(LOG, "", 0o666)
    pod.write(
        "/tmp/evil/openssl.cnf",
        "openssl_conf = i\n[i]\nproviders = p\n[p]\nevil = e\n[e]\nmodule = /tmp/evil/hostile.so\nactivate = 1\n",
    )
    shutil.copy(BIN / "hostile.so", pod.path("/tmp/evil/hostile.so"))
    run = f'#!/bin/sh\necho "$(/usr/bin/id -u) $0" >>{LOG}\n'
    pod.write("/tmp/evil/run", run, 0o755)
    pod.write("/tmp/evil/env.sh", f'echo "$(/usr/bin/id -u) env.sh" >>{LOG}\n')
    pod.write("/tmp/evil/.zshenv", f'echo "$(/usr/bin/id -u) zshenv" >>{LOG}\n')
    for name in ("sudo", "bash", "git", "python", "python3", "env", "getent", "chown", "ssh-keygen"):
        pod.write(f"/tmp/evil/bin/{name}", run, 0o755)
    module = f'import os\nwith open("{LOG}", "a") as f: f.write(f"{{os.geteuid()}} {{__name__}}\\n")\n'
    for name in (
        "sitecustomize",
        "usercustomize",
        "startup",
        "os",
        "ssl",
        "fcntl",
        "evil",
        "mlo_entry",
        "json",
        "shutil",
    ):
        pod.write(f"/tmp/evil/{name}.py", module)


@pytest.mark.parametrize("command", [("/bin/sh", "-c", "/bin/true"), ("/bin/bash", "-c", ":")], ids=["sh", "bash"])
def test_no_variable_influences_root(pod: Pod, command: tuple[str, ...]) -> None:
    """All of them at once: what is planted runs as the user, in the user's command, and never as root."""
    plant(pod)
    pod.run(*command, env=HOSTILE_ENV, code=None, expect=None)
    uids = {line.split()[0] for line in pod.read(LOG).splitlines()}
    assert "0" not in uids, pod.read(LOG)
    assert "hostile" not in pod.read(LOG) or uids == {str(UID)}


@pytest.mark.parametrize("name", sorted(HOSTILE_ENV))
def test_each_variable_by_itself(make_pod: MakePod, name: str) -> None:
    """One after the other, so that none hides another; the boot is complete and the value is the command's."""
    pod = make_pod("uid")
    plant(pod)
    result = pod.run("/usr/bin/printenv", name, env={name: HOSTILE_ENV[name]}, code=None, expect=None)
    if not name.startswith(("BASH_FUNC", "BASHOPTS", "SHELLOPTS", "SUDO_")):  # bash's own, and sudo's
        assert result.text == HOSTILE_ENV[name] + "\n"
    assert "0" not in {line.split()[0] for line in pod.read(LOG).splitlines()}, pod.read(LOG)


@pytest.mark.parametrize(("name", "command"), [
    ("LD_PRELOAD", ("/bin/true",)),
    ("OPENSSL_CONF", ("/usr/bin/python3", "-c", "import ssl; ssl.SSLContext")),
    ("BASH_ENV", ("/bin/bash", "-c", ":")),
])  # fmt: skip
def test_they_reach_the_command(pod: Pod, name: str, command: tuple[str, ...]) -> None:
    """The library, the provider and the script work where they belong: in the user's command."""
    plant(pod)
    pod.run(*command, env={name: HOSTILE_ENV[name]}, code=None)
    assert {line.split()[0] for line in pod.read(LOG).splitlines()} == {str(UID)}


def test_variables_of_secrets_are_no_way_in_either(pod: Pod) -> None:
    """The same as files in the secrets' directory."""
    plant(pod)
    for name, value in HOSTILE_ENV.items():
        if "%" not in name and name != "PATH":
            pod.write(f"/run/secrets/mlo/{name}", value)
    pod.run("/bin/true", code=None, expect=None)
    assert "0" not in {line.split()[0] for line in pod.read(LOG).splitlines()}, pod.read(LOG)


def test_no_new_privs_is_told(make_pod: MakePod) -> None:
    """A bare UID cannot become anybody: 71, one line, at once."""
    pod = make_pod("uid")
    pod.options += ["--no-new-privs"]
    result = pod.run("/bin/echo", "ran", code=71, expect=["ERROR.*no_new_privs"])
    assert result.out == b""
    assert len(result.err.splitlines()) == 1


def test_no_new_privs_as_root(make_pod: MakePod) -> None:
    """A root start needs no new privileges for the boot."""
    pod = make_pod("root")
    pod.options += ["--no-new-privs"]
    result = pod.run("/usr/bin/id", "-u", code=None, expect=None)
    assert (result.code, result.text) in [(0, f"{UID}\n"), (71, "")]


@pytest.mark.parametrize("what", ["etc", "everything"])
def test_a_read_only_root_is_told(pod: Pod, what: str) -> None:
    """71, one line, and the command does not run."""
    pod.options += ["--ro-bind", f"{pod.path('/etc')}=/etc"] if what == "etc" else ["--read-only"]
    pod.run("-c", "true", entry="/bin/sh", expect=None)
    result = pod.run("/bin/echo", "ran", code=71, expect=["ERROR"])
    assert result.out == b""
    assert len(result.err.splitlines()) == 1


def test_files_of_the_boot_are_the_users_alone(pod: Pod) -> None:
    """Another uid of the pod reads no variable of the session, and cannot release or take the pod's lock for good."""
    live = pod.start("/bin/sh", "-c", "echo up; read x", tty=True, env={"WANDB_API_KEY": "very-secret"})
    live.stdout.wait_for(b"up")
    for path in ("/run/mlo/env.sh", "/run/mlo/job.sh"):
        live.exec("/bin/cat", path, user=(4242, 4242)).wait(1)
        live.exec("/usr/bin/test", "-O", path).wait(0)
    live.exec("/bin/sh", "-c", "echo x >/run/mlo/boot.json", user=(4242, 4242)).wait(2)
    live.exec("/bin/sh", "-c", "echo x >/run/mlo/x", user=USER).wait(2)
    live.type(b"\n")
    live.wait(0)


def test_scratch_that_names_etc(pod: Pod, scratch: Scratch) -> None:
    """SCRATCH_HOME=/etc, WORKING_DIR=/root: root's directories stay root's."""
    before = {path: (pod.stat(path).st_uid, pod.stat(path).st_mode) for path in ("/etc", "/root", "/", "/usr", "/var")}
    for path in before:
        pod.run("/bin/true", env={"SCRATCH_HOME": path, "WORKING_DIR": path, "HF_HOME": path}, code=None, expect=None)
    assert {path: (pod.stat(path).st_uid, pod.stat(path).st_mode) for path in before} == before
