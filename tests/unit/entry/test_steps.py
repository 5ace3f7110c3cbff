"""Each step's plan, as data."""

from __future__ import annotations

import base64

import pytest

from mlo_entry import actions, boot, host, settings
from mlo_entry.actions import ROOT, SEED, USER
from mlo_entry.host import Identity
from mlo_entry.steps import account, git, home, hooks, session, ssh, storage

KEY = b"-----BEGIN OPENSSH PRIVATE KEY-----\r\nabc\r\n-----END OPENSSH PRIVATE KEY-----"
PUBLIC = "ssh-ed25519 AAAA jdoe@laptop"


def changed(record: host.Host, **values: object) -> host.Host:
    return host.Host(**{**record.values(), **values})


def test_the_account(wanted: settings.Settings, machine: host.Host) -> None:
    edit, sudoers, pipe, own = account.plan(wanted, changed(machine, groups=(7000,)))
    assert edit == actions.EditAccounts(ROOT, "jdoe", 123456, "mlo", 83070, (7000,))
    assert isinstance(sudoers, actions.WriteFile)
    assert sudoers.content.endswith(b"\n#123456 ALL=(ALL:ALL) NOPASSWD: ALL\n")
    assert pipe == actions.MakePipe(ROOT, "/run/mlo/job.sh", 123456, 83070)
    assert own == actions.OwnDir(ROOT, "/home/jdoe", 123456, 83070, 0o750)


def test_storage_asks_the_seed_user(wanted: settings.Settings, machine: host.Host) -> None:
    plan = list(storage.plan(wanted, machine))
    assert all(isinstance(action, actions.UseDir) and action.actor == USER for action in plan)
    assert [(action.purpose, action.required) for action in plan if isinstance(action, actions.UseDir)] == [
        ("SCRATCH_HOME", True),
        ("WORKING_DIR", True),
        ("HF_HOME", False),
    ]
    first = plan[0]
    assert isinstance(first, actions.UseDir)
    assert first.asked_of_seed() == actions.ShareDir(
        SEED, "/mloscratch/homes/jdoe", 83070, "/mloscratch/homes/jdoe", "mljaggi-admin"
    )


@pytest.mark.parametrize("working_dir", ["/", "/mloscratch", "/mloscratch/homes"])
def test_what_lies_above_the_home_is_changed_by_nobody(
    environ: dict[str, str], machine: host.Host, working_dir: str
) -> None:
    wanted = settings.from_environ({**environ, "WORKING_DIR": working_dir})
    use = list(storage.plan(wanted, machine))[1]
    assert isinstance(use, actions.UseDir)
    assert (use.path, use.seed) == (working_dir, "")


def test_the_home(wanted: settings.Settings, machine: host.Host) -> None:
    plan = list(home.plan(wanted, machine))
    scratch = "/mloscratch/homes/jdoe"
    assert {action.actor for action in plan} == {USER}
    assert actions.WriteFile(USER, f"{scratch}/.shell/.zshrc", b"# zshrc\n", 0o660, once=True) in plan
    assert actions.CopyTree(USER, f"{scratch}/.shell/.oh-my-zsh", "/docker/.oh-my-zsh") in plan
    links = {action.path: action.target for action in plan if isinstance(action, actions.Symlink)}
    assert links == {
        "/home/jdoe/.zsh_history": f"{scratch}/.zsh_history",
        "/home/jdoe/.vscode": f"{scratch}/.vscode",
        "/home/jdoe/.vscode-server": f"{scratch}/.vscode-server",
        "/home/jdoe/.cursor": f"{scratch}/.cursor",
        "/home/jdoe/.cursor-server": f"{scratch}/.cursor-server",
        "/home/jdoe/.zshrc": f"{scratch}/.shell/.zshrc",
        "/home/jdoe/.oh-my-zsh": f"{scratch}/.shell/.oh-my-zsh",
    }


def test_no_identity_no_git(wanted: settings.Settings, machine: host.Host) -> None:
    (trust,) = git.plan(wanted, machine)
    assert isinstance(trust, actions.WriteFile)
    assert trust.content == (
        b'[safe]\n\tdirectory = "/mloscratch/homes/jdoe"\n[safe]\n\tdirectory = "/mloscratch/homes/jdoe/project"\n'
    )
    assert list(git.plan(wanted, changed(machine, gitconfig=trust.content.decode()))) == []


def test_an_identity(environ: dict[str, str], machine: host.Host) -> None:
    wanted = settings.from_environ({**environ, "GIT_USER_NAME": "J Doe"})
    assert next(iter(git.plan(wanted, machine))) == actions.SetGitIdentity(
        USER, "/mloscratch/homes/jdoe/.gitconfig", "J Doe", ""
    )


def ssh_files(environ: dict[str, str], machine: host.Host, **values: str) -> tuple[dict[str, tuple[bytes, int]], str]:
    plan = list(ssh.plan(settings.from_environ({**environ, **values}), machine))
    assert plan[:2] == [actions.RemoveTree(USER, "/home/jdoe/.ssh"), actions.MakeDir(USER, "/home/jdoe/.ssh", 0o700)]
    files = {a.path.rpartition("/")[2]: (a.content, a.mode) for a in plan if isinstance(a, actions.WriteFile)}
    return files, " ".join(a.message for a in plan if isinstance(a, actions.Warn))


@pytest.mark.parametrize("wrap", [0, 64])
def test_a_key_gets_unix_line_ends_and_a_last_one(environ: dict[str, str], machine: host.Host, wrap: int) -> None:
    text = base64.encodebytes(KEY).decode() if wrap else base64.b64encode(KEY).decode()
    files, warnings = ssh_files(
        environ, machine, SSH_PRIVATE_KEY_B64=text, SSH_PUBLIC_KEY=PUBLIC, SSH_KNOWN_HOSTS="h k"
    )
    assert files == {
        "id_rsa": (KEY.replace(b"\r", b"") + b"\n", 0o600),
        "id_rsa.pub": (PUBLIC.encode() + b"\n", 0o644),
        "known_hosts": (b"h k\n", 0o644),
    }
    assert not warnings


def test_a_public_key_may_come_as_base64(environ: dict[str, str], machine: host.Host) -> None:
    files, _ = ssh_files(environ, machine, SSH_PUBLIC_KEY=base64.b64encode(PUBLIC.encode()).decode())
    assert files["id_rsa.pub"] == (PUBLIC.encode() + b"\n", 0o644)


@pytest.mark.parametrize("key", ["not base64!", "YQ", "YQ=", "ü", base64.b64encode(b"no key").decode(), "\udcff"])
def test_a_key_that_does_not_decode_leaves_no_file(environ: dict[str, str], machine: host.Host, key: str) -> None:
    files, warnings = ssh_files(environ, machine, SSH_PRIVATE_KEY_B64=key)
    assert files == {}
    assert "SSH_PRIVATE_KEY_B64" in warnings
    assert key not in warnings


def test_a_mounted_ssh_directory_is_the_users(wanted: settings.Settings, machine: host.Host) -> None:
    assert list(ssh.plan(wanted, changed(machine, mounts=("/", "/home/jdoe/.ssh")))) == []


def test_the_environment_of_sessions_is_the_users_alone(wanted: settings.Settings, machine: host.Host) -> None:
    (file,) = session.plan(wanted, machine)
    assert isinstance(file, actions.WriteFile)
    assert (file.path, file.mode, file.uid) == ("/run/mlo/env.sh", 0o400, 123456)


def test_a_variable_that_nothing_can_pass_is_told(environ: dict[str, str], machine: host.Host) -> None:
    wanted = settings.from_environ({**environ, "a,b": "1"})
    (warning,) = [a.message for a in session.plan(wanted, machine) if isinstance(a, actions.Warn)]
    assert "'a,b'" in warning


def test_hooks_know_the_identity_and_nothing_of_the_pods_environment(
    environ: dict[str, str], machine: host.Host
) -> None:
    wanted = settings.from_environ({**environ, "LD_PRELOAD": "/evil.so", "WANDB_API_KEY": "w"})
    (hook,) = hooks.plan(wanted, changed(machine, hooks=("/etc/mlo/boot.d/10",)))
    assert isinstance(hook, actions.RunHook)
    assert set(dict(hook.environ)) == {
        *("PATH", "HOME", "NB_USER", "NB_UID", "NB_GROUP", "NB_GID", "SCRATCH_HOME", "WORKING_DIR")
    }


def test_the_seed_user_acts_with_the_users_group(wanted: settings.Settings, machine: host.Host) -> None:
    actors, problems = boot.identities(wanted, machine)
    assert actors == {USER: Identity(123456, 83070), SEED: Identity(177449, 83070, (500, 7000))}
    assert not problems


def test_a_missing_seed_user_is_told(environ: dict[str, str], machine: host.Host) -> None:
    wanted = settings.from_environ({**environ, "SCRATCH_SEED_USER": "nobody-here"})
    actors, problems = boot.identities(wanted, machine)
    assert actors[SEED] == actors[USER]
    assert "SCRATCH_SEED_USER=nobody-here" in problems[0]


def test_the_user_may_be_the_seed_user(environ: dict[str, str], machine: host.Host) -> None:
    wanted = settings.from_environ({**environ, "SCRATCH_SEED_USER": "jdoe"})
    assert boot.identities(wanted, machine) == ({USER: Identity(123456, 83070), SEED: Identity(123456, 83070)}, [])


def test_a_plan_does_not_show_what_it_writes(environ: dict[str, str], machine: host.Host) -> None:
    secret = base64.b64encode(KEY).decode()
    wanted = settings.from_environ({**environ, "SSH_PRIVATE_KEY_B64": secret}, {"WANDB_API_KEY": "hunter2"})
    text = repr(boot.plan(wanted, machine))
    assert "hunter2" not in text
    assert "abc" not in text
