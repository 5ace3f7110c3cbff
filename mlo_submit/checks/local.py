"""Checks of this machine: .env, the account, keys."""

from __future__ import annotations

import binascii
import grp
import pwd
import tempfile
from pathlib import Path

from mlo_submit import process, sshkey
from mlo_submit.checks.context import Context, Finding, UntoldError
from mlo_submit.errors import MloError

ANSWER = 10.0  # seconds
LOGIN = 5.0  # seconds that a login host may take
PASSWD = Path("/etc/passwd")


def file(context: Context) -> Finding:
    """There is a .env."""
    return Finding(ok=True, found=str(_path(context, first=True)))


def _path(context: Context, *, first: bool = False) -> Path:
    if not isinstance(context.path, MloError):
        return context.path
    if first:
        raise context.path
    raise UntoldError("there is none")


def privacy(context: Context) -> Finding:
    """Only its owner can read .env."""
    path = _path(context)
    status = path.stat()
    if status.st_uid not in (context.machine.uid, 0):
        return Finding(ok=False, found=f"{path} belongs to uid {status.st_uid}", remedy="Copy it: it holds secrets.")
    if status.st_mode & 0o077:
        return Finding(
            ok=False, found=f"others can read it (mode {status.st_mode & 0o777:o})", remedy=f"chmod 600 {path}"
        )
    return Finding(ok=True, found=f"for you alone (mode {status.st_mode & 0o777:o})")


def settings(context: Context) -> Finding:
    """All of .env is valid, and what the backend needs is there."""
    path = _path(context)
    if isinstance(context.settings, MloError):
        remedy = f"Correct {path}: .env.example explains each key."
        return Finding(ok=False, found=context.settings.message, remedy=remedy)
    if context.doubts:
        return Finding(ok=None, found=f"valid, but {'; '.join(context.doubts)}")
    return Finding(ok=True, found=f"valid, with what {context.backend} needs")


def ignored(context: Context) -> Finding:
    """No repository holds .env, or could by accident."""
    path = _path(context)
    if not context.machine.which("git"):
        raise UntoldError("git is not on PATH")
    git = ["git", "-C", str(path.parent)]

    def says(*words: str) -> bool:
        return process.run(context.machine, [*git, *words], timeout=ANSWER).code == 0

    if not says("rev-parse", "--is-inside-work-tree"):
        return Finding(ok=True, found=".env is in no repository")
    if says("ls-files", "--error-unmatch", "--", path.name):
        return Finding(
            ok=False,
            found="git tracks .env, so whoever has the repository has its secrets",
            remedy=f"`git -C {path.parent} rm --cached {path.name}`, ignore it, and renew the tokens that it holds.",
        )
    if not says("check-ignore", "--quiet", "--", path.name):
        return Finding(
            ok=False,
            found="git does not ignore .env, so a `git add .` takes it along",
            remedy=f"echo /{path.name} >>{path.parent}/.gitignore",
        )
    return Finding(ok=True, found="ignores .env")


def timezone(context: Context) -> Finding:
    """TZ is a zone."""
    import re
    import zoneinfo

    name = context.config.timezone
    if re.fullmatch(r"[A-Za-z]{3,}[-+]?\d.*", name):
        return Finding(ok=True, found=f"{name}, by its rule")

    def known(name: str) -> bool:
        try:
            return bool(zoneinfo.ZoneInfo(name))
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            return False

    if known(name):
        return Finding(ok=True, found=name)
    if not known("Europe/Zurich"):
        raise UntoldError("this machine has no list of zones")
    return Finding(ok=False, found=f"TZ={name} is no zone", remedy="Write it as in Europe/Zurich.")


def key(context: Context) -> Finding:
    """Pods can use the SSH key, and it belongs to the public one."""
    values = context.config.values
    encoded = values.get("SSH_PRIVATE_KEY_B64")
    if not encoded:
        return Finding(
            ok=None,
            found="none: git in your jobs has no SSH",
            remedy=f"Name one in GITHUB_SSH_KEY_PATH ({sshkey.DEFAULT}).",
        )
    try:
        private = sshkey.normal(binascii.a2b_base64(encoded))
    except binascii.Error:
        return Finding(ok=False, found="SSH_PRIVATE_KEY_B64 is not base64", remedy="`base64 -w0 < KEYFILE` writes it.")
    new = "Make one without (ssh-keygen -t ed25519 -N ''), and name it in GITHUB_SSH_KEY_PATH."
    if sshkey.is_encrypted(private):
        return Finding(ok=False, found="it has a passphrase, for which no pod can ask", remedy=new)
    if not context.machine.which("ssh-keygen"):
        raise UntoldError("it has no passphrase; whether it is whole only ssh-keygen tells, which is not on PATH")
    with tempfile.TemporaryDirectory(prefix="mlo-") as directory:
        path = Path(directory, "key")
        path.touch(mode=0o600)
        path.write_bytes(private)
        derived = process.run(context.machine, ["ssh-keygen", "-y", "-P", "", "-f", str(path)], timeout=ANSWER)
    if derived.code:
        return Finding(ok=False, found="ssh-keygen cannot read it", remedy=new)
    public = values.get("SSH_PUBLIC_KEY", "")
    if public and public.split()[:2] != derived.stdout.split()[:2]:
        return Finding(
            ok=False,
            found="SSH_PUBLIC_KEY belongs to another key",
            remedy="Leave it empty and name the key's own .pub, or correct it: `ssh-keygen -y -f KEYFILE` writes it.",
        )
    return Finding(ok=True, found="without a passphrase" + (", and the public key is its own" if public else ""))


def account(context: Context) -> Finding:
    """LDAP_* are those of the account, where this machine knows it."""
    config = context.config
    try:
        known = pwd.getpwnam(config.username)
    except KeyError:
        raise UntoldError(f"this machine does not know {config.username}: `id` on one of the lab tells") from None
    wrong = []
    if known.pw_uid != config.uid:
        wrong.append(f"LDAP_UID={config.uid}, and here {config.username} is {known.pw_uid}")
    elif known.pw_gid != config.gid:
        wrong.append(f"LDAP_GID={config.gid}, and here the group of {config.username} is {known.pw_gid}")
    else:
        try:
            name = grp.getgrgid(config.gid).gr_name
        except KeyError:
            name = config.group
        if name != config.group:
            wrong.append(f"LDAP_GROUPNAME={config.group}, and here the group {config.gid} is {name}")
    if not wrong:
        return Finding(ok=True, found=f"{config.username} is {config.uid}:{config.gid} on this machine, too")
    if PASSWD.exists() and f"\n{config.username}:" in "\n" + PASSWD.read_text(errors="replace"):
        raise UntoldError(f"{config.username} is an account of this machine alone, which tells nothing of the lab's")
    return Finding(ok=False, found=wrong[0], remedy="`id` on a machine of the lab tells the right values.")


def archive(context: Context) -> Finding:
    """The login host lets us in, has rsync, and has both directories."""
    config = context.config
    if not (config.archive_host and config.archive_root and config.scratch_host_root):
        raise UntoldError("not set up: ARCHIVE_HOST, ARCHIVE_ROOT and SCRATCH_HOST_ROOT in .env")
    from mlo_submit import shell

    script = 'command -v rsync >/dev/null || echo rsync; for path; do [ -d "$path" ] || echo "$path"; done'
    words = ["sh", "-c", script, "sh", config.archive_root, config.scratch_host_root]
    argv = [
        "ssh",
        "-o",
        "BatchMode=yes",
        "-o",
        f"ConnectTimeout={LOGIN:g}",
        "--",
        config.archive_host,
        shell.join(words),
    ]
    result = process.run(context.machine, argv, timeout=ANSWER)
    if result.code and "Permission denied" in result.stderr:
        raise UntoldError(f"{config.archive_host} asks for a password: `mlo-submit archive` will ask you")
    if result.code:
        said = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        return Finding(
            ok=False, found=f"no way in to {config.archive_host}: {said}", remedy=f"Try `ssh {config.archive_host}`."
        )
    if missing := result.stdout.split("\n")[:-1]:
        return Finding(
            ok=False,
            found=f"{config.archive_host} has no {', no '.join(missing)}",
            remedy="See ARCHIVE_ROOT and SCRATCH_HOST_ROOT in .env, or ask its administrator for rsync.",
        )
    return Finding(ok=True, found=f"{config.archive_host} lets you in, and has the store and the scratch")
