"""`mlo-submit init`: write a .env, asking for what cannot be guessed."""

from __future__ import annotations

import pwd
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import click

from mlo_submit import env, envfile, kubeconfig, process
from mlo_submit.commands import common
from mlo_submit.commands.manual import Page
from mlo_submit.errors import ConfigError, note
from mlo_submit.machine import Machine

PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=-]*")


def template() -> str:
    """The text of .env.example."""
    return (Path(__file__).parent.parent / "env.example").read_text()


def guesses(machine: Machine) -> dict[str, str]:
    """What this machine tells: the account, the namespace of the kubeconfig's context, git's identity."""
    found: dict[str, str] = {}
    if machine.uid:
        found["LDAP_UID"] = str(machine.uid)
        with suppress(KeyError):  # a container may run as an id that has no account
            found["LDAP_USERNAME"] = pwd.getpwuid(machine.uid).pw_name
    if (context := kubeconfig.current_context(machine)) and (namespace := context.get("namespace")):
        found["K8S_NAMESPACE"] = namespace
        if namespace.startswith("runai-"):
            found["RUNAI_PROJECT"] = namespace.removeprefix("runai-")
    if machine.which("git"):
        for key, name in (("GIT_USER_NAME", "user.name"), ("GIT_USER_EMAIL", "user.email")):
            found[key] = process.run(machine, ["git", "config", "--get", name], timeout=5).stdout.strip()
    return {key: value for key, value in found.items() if value}


def fill(text: str, values: Mapping[str, str]) -> str:
    """The example with values put in; the comments stay. A value keeps its bytes through python-dotenv."""
    for key, value in values.items():
        quoted = value if PLAIN.fullmatch(value) else "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
        line = f"{key}={quoted}"
        text, count = re.subn(rf"(?m)^(?:# ?)?{re.escape(key)}=.*$", line.replace("\\", r"\\"), text, count=1)
        if not count:
            text += f"{key}={quoted}\n"
    return text


@click.command(
    cls=Page,
    short_help="Write a .env, asking for what cannot be guessed.",
    examples={
        "For the project in this directory": "mlo-submit init",
        "For all projects": "mlo-submit init --env-file ~/.config/mlo/.env",
    },
    see_also=(
        "doctor",
        "sync-secret",
        ".env.example",
    ),
)
@common.shared_options
@click.option("--force", is_flag=True, help="Write over a .env that exists.")
@click.pass_obj
def command(shared: common.Shared, force: bool) -> None:
    """Write ./.env (or the file of --env-file), readable by you alone, and see that git ignores it.

    Enter takes the value in brackets.
    """
    machine = shared.machine
    path = machine.path(shared.env_file or ".env")
    if path.exists() and not force:
        raise ConfigError(f"{path} exists: edit it, or write it anew with --force.")
    guess = guesses(machine)

    def ask(key: str, question: str, default: str | None = None) -> str:
        offer = guess.get(key, default)
        answer: str = click.prompt(question, default=offer, err=True, show_default=bool(offer))
        return answer.strip()

    values = {"LDAP_USERNAME": ask("LDAP_USERNAME", "Your account on the cluster")}
    user = values["LDAP_USERNAME"]
    values["LDAP_UID"] = ask("LDAP_UID", "Its uid there (`id -u` on a machine of the lab)")
    values["RUNAI_PROJECT"] = ask("RUNAI_PROJECT", "Your run:ai project", f"mlo-{user}")
    values["K8S_NAMESPACE"] = ask("K8S_NAMESPACE", "Your namespace", f"runai-{values['RUNAI_PROJECT']}")
    values["GIT_USER_NAME"] = ask("GIT_USER_NAME", "Your name in git commits (Enter: none)", "")
    values["GIT_USER_EMAIL"] = ask("GIT_USER_EMAIL", "Your address in git commits (Enter: none)", "")
    text = fill(template().replace("<you>", user), values)
    env.configure(envfile.parse(text, {}, path), machine)
    write(path, text)
    note(f"{path} is written. Put your tokens there (WANDB_API_KEY, HF_TOKEN); then see what `mlo-submit doctor` says.")
    ignore(path, machine)


def write(path: Path, text: str) -> None:
    """Write a file for its owner alone, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    beside.touch(mode=0o600, exist_ok=False)
    beside.write_text(text)
    beside.replace(path)


def ignore(path: Path, machine: Machine) -> None:
    """See that git ignores the file, if it lies in a repository."""
    if not machine.which("git"):
        return
    git = ["git", "-C", str(path.parent)]
    top = process.run(machine, [*git, "rev-parse", "--show-toplevel"], timeout=10)
    if top.code or not process.run(machine, [*git, "check-ignore", "--quiet", path.name], timeout=10).code:
        return
    ignored = Path(top.stdout.strip()) / ".gitignore"
    before = ignored.read_text() if ignored.exists() else ""
    line = "/" + str(path.resolve().relative_to(ignored.parent.resolve()))
    ignored.write_text(before + ("" if before.endswith("\n") or not before else "\n") + line + "\n")
    note(f"{ignored} now names it, so that it is never committed.")
