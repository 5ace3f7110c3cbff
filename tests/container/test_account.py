"""The account: whoever held an id or a name gives way, and the end is exactly the four values."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Callable

import pytest

from tests.container.conftest import MakePod
from tests.container.machine import GID, GROUP, SEED_UID, UID, USER
from tests.container.pod import Pod
from tests.container.scratch import Scratch
from tests.container.trees import snapshot

CACHE_SECONDS = 1

SETTLED = f"{UID}:{GID}:{USER}:{GROUP}\n"
WHO = "echo $(id -u):$(id -g):$(id -un):$(id -gn)"
FILES = ("passwd", "group", "shadow", "gshadow", "sudoers.d/mlo", "gitconfig")


def assert_settled(pod: Pod) -> None:
    """Names and ids belong to each other and to nobody else, in every account file."""
    assert [a.name for a in pod.accounts() if a.uid == UID] == [USER]
    assert [(a.uid, a.gid, a.home, a.shell) for a in pod.accounts() if a.name == USER] == [
        (UID, GID, f"/home/{USER}", "/bin/zsh")
    ]
    assert [name for name, gid, _ in pod.group_rows() if gid == GID] == [GROUP]
    assert [gid for name, gid, _ in pod.group_rows() if name == GROUP] == [GID]
    for file in filter(lambda name: pod.path(f"/etc/{name}").exists(), ("passwd", "group", "shadow", "gshadow")):
        names = [line.split(":")[0] for line in pod.read(f"/etc/{file}").splitlines()]
        assert len(names) == len(set(names)), f"{file} has a name twice"
    gids = {gid for _, gid, _ in pod.group_rows()}
    assert all(account.gid in gids for account in pod.accounts() if account.name != "placeholder")


def test_the_account(pod: Pod) -> None:
    """Ids, groups sudo and adm, zsh, an ephemeral home of its own, passwordless sudo, no password."""
    result = pod.script(f"{WHO}; id -nG; sudo -n id -u; echo $HOME; stat -c '%u:%g %A' $HOME; touch $HOME/x")
    who, groups, sudo, home, owner = result.text.splitlines()
    assert who + "\n" == SETTLED
    assert set(groups.split()) == {GROUP, "sudo", "adm"}
    assert sudo == "0"
    assert home == f"/home/{USER}"
    assert re.fullmatch(f"{UID}:{GID} drwx.*---", owner)
    assert_settled(pod)
    (shadow,) = [line for line in pod.read("/etc/shadow").splitlines() if line.startswith(f"{USER}:")]
    assert shadow.split(":")[1] in ("*", "!", "!*")
    assert [pod.mode(f"/etc/{file}") for file in ("passwd", "group", "sudoers.d/mlo")] == ["0o644", "0o644", "0o440"]
    assert pod.mode("/etc/shadow") in ("0o640", "0o600", "0o0")
    checks = "/usr/sbin/visudo -c >&2; /usr/sbin/grpck -r >&2; getent shadow jdoe"
    pod.run("-c", checks, entry="/bin/sh") if pod.uid == 0 else None


def test_a_second_boot_changes_nothing(pod: Pod) -> None:
    """In the same container, whatever was changed the first time: not even a file is written anew."""
    pod.script("true")
    paths = [pod.path(f"/etc/{file}") for file in FILES if pod.path(f"/etc/{file}").exists()]
    before = snapshot(*paths)
    assert pod.script(WHO).text == SETTLED
    assert snapshot(*paths) == before


def shared_uid(pod: Pod) -> None:
    pod.add_user("other", UID, 7)


def shared_gid(pod: Pod) -> None:
    pod.add_group("other", GID)


def shared_both(pod: Pod) -> None:
    pod.add_group("placeholder2", GID)
    pod.add_user("placeholder2", UID, GID)


def group_elsewhere(pod: Pod) -> None:
    pod.add_group(GROUP, 4000)
    pod.add_user("member", 4001, 4000)


def group_elsewhere_and_gid_taken(pod: Pod) -> None:
    group_elsewhere(pod)
    shared_gid(pod)


def user_elsewhere(pod: Pod) -> None:
    pod.add_group("old", 4000)
    pod.add_user(USER, 4001, 4000)


def user_elsewhere_and_uid_taken(pod: Pod) -> None:
    user_elsewhere(pod)
    shared_uid(pod)


def wrong_primary_group(pod: Pod) -> None:
    pod.add_group("wrong", 4000)
    pod.add_user(USER, UID, 4000)


def all_at_once(pod: Pod) -> None:
    user_elsewhere_and_uid_taken(pod)
    group_elsewhere_and_gid_taken(pod)
    pod.add_user("third", UID, GID)
    pod.add_group("third", GID, USER)


def user_has_the_groups_name(pod: Pod) -> None:
    pod.add_group(USER, UID)
    pod.add_user(GROUP, 4002, GID)


def user_is_a_member_already(pod: Pod) -> None:
    text = re.sub(r"^(sudo:.*:)(.*)$", rf"\1{USER},nobody", pod.read("/etc/group"), flags=re.M)
    pod.write("/etc/group", text)


def no_last_newline(pod: Pod) -> None:
    for file in ("passwd", "group", "shadow"):
        pod.write(f"/etc/{file}", pod.read(f"/etc/{file}").rstrip("\n"), pod.stat(f"/etc/{file}").st_mode & 0o777)


def rubbish_lines(pod: Pod) -> None:
    for file in ("passwd", "group", "shadow"):
        with pod.path(f"/etc/{file}").open("a") as text:
            text.write("\n# comment\n+::::::\nshort:x\nbad:x:abc:def:::\n")


def no_gshadow(pod: Pod) -> None:
    pod.path("/etc/gshadow").unlink(missing_ok=True)


def no_sudo_or_adm_group(pod: Pod) -> None:
    text = re.sub(r"^(sudo|adm):.*\n", "", pod.read("/etc/group"), flags=re.M)
    pod.write("/etc/group", text)


@pytest.mark.parametrize(
    "collide",
    [
        shared_uid, shared_gid, shared_both, group_elsewhere, group_elsewhere_and_gid_taken, user_elsewhere,
        user_elsewhere_and_uid_taken, wrong_primary_group, all_at_once, user_has_the_groups_name,
        user_is_a_member_already, no_last_newline, no_gshadow, no_sudo_or_adm_group,
    ],
    ids=lambda function: function.__name__,
)  # fmt: skip
def test_collisions(pod: Pod, collide: Callable[[Pod], None]) -> None:
    """Whatever the image's accounts are, the user is the user, root is root, and a second boot has nothing to do."""
    collide(pod)
    assert pod.script(f"{WHO}; sudo -n id -u").text == SETTLED + "0\n"
    assert_settled(pod)
    assert pod.account("root").uid == 0
    assert pod.account("root").gid == 0
    before = snapshot(*(pod.path(f"/etc/{file}") for file in FILES[:3]))
    assert pod.script(WHO).text == SETTLED
    assert snapshot(*(pod.path(f"/etc/{file}") for file in FILES[:3])) == before


def test_lines_that_are_no_accounts_are_kept(pod: Pod) -> None:
    """NIS markers, comments and broken lines of the image stay as they are."""
    rubbish_lines(pod)
    assert pod.script(WHO).text == SETTLED
    for file in ("passwd", "group", "shadow"):
        assert "# comment\n+::::::\nshort:x\nbad:x:abc:def:::\n" in pod.read(f"/etc/{file}")


@pytest.mark.parametrize("held", ["ubuntu", "placeholder"])
def test_the_images_own_account_gives_way(pod: Pod, held: str) -> None:
    """A user who is 1000, or the placeholder, in an image that has ubuntu:1000, or the placeholder."""
    if held == "ubuntu":
        pod.add_group("ubuntu", 1000)
        pod.add_user("ubuntu", 1000, 1000)
        env = {"NB_UID": "1000", "NB_GID": "1000"}
    else:
        account = pod.account("placeholder")
        env = {"NB_UID": str(account.uid), "NB_GID": str(account.gid), "NB_GROUP": "placeholder"}
    result = pod.script(WHO, env=env)
    assert result.text == f"{env['NB_UID']}:{env['NB_GID']}:{USER}:{env.get('NB_GROUP', GROUP)}\n"


def test_a_seed_user_at_another_uid(pod: Pod, scratch: Scratch) -> None:
    """The image's seed user has the uid that the image says; an account of that name elsewhere is the one that acts."""
    text = pod.read("/etc/passwd").replace(f":{SEED_UID}:", ":5555:")
    pod.write("/etc/passwd", text)
    for path in ("", "homes"):
        scratch.make(path, 5555, GID, 0o755)
    pod.script("true")
    assert (scratch.backing / "homes" / USER).stat().st_uid == 5555


def test_a_seed_user_that_the_image_lacks(pod: Pod, scratch: Scratch) -> None:
    """A WARNING; the user makes the directories where it may."""
    scratch.make("homes", UID, GID, 0o755)
    env = {"SCRATCH_SEED_USER": "nobody-here", "HF_HOME": "/mloscratch/homes/hf"}
    pod.script("true", env=env, expect=["WARNING.*nobody-here"])
    assert (scratch.backing / "homes" / USER).stat().st_uid == UID


def test_the_user_may_be_the_seed_user(pod: Pod, scratch: Scratch) -> None:
    """NB_USER=mljaggi-admin at its uid, and at another one."""
    env = {"NB_USER": "mljaggi-admin", "NB_UID": str(SEED_UID)}
    assert pod.script(WHO, env=env).text == f"{SEED_UID}:{GID}:mljaggi-admin:{GROUP}\n"
    scratch.make("homes/other", UID, GID, 0o770)
    env = {
        "NB_USER": "mljaggi-admin",
        "SCRATCH_HOME": "/mloscratch/homes/other",
        "WORKING_DIR": "/mloscratch/homes/other",
    }
    assert pod.script(WHO, env=env, expect=None).text == f"{UID}:{GID}:mljaggi-admin:{GROUP}\n"


def test_the_uid_of_the_seed_user_may_be_taken(pod: Pod) -> None:
    """NB_UID is the seed user's: the user gets it."""
    assert pod.script(WHO, env={"NB_UID": str(SEED_UID)}).text == f"{SEED_UID}:{GID}:{USER}:{GROUP}\n"


def test_supplementary_groups_reach_the_command(pod: Pod) -> None:
    """Those that the runtime gave, with or without a name in the image, beside the user's own."""
    pod.groups = [5000, 5001, 44]
    result = pod.script("id -G")
    assert {5000, 5001, 44, GID} <= set(map(int, result.text.split()))
    assert_settled(pod)
    assert {5000, 5001, 44, GID} <= set(map(int, pod.script("id -G").text.split()))


def test_the_lock_of_shadow_utils_is_honoured(make_pod: MakePod) -> None:
    """While another program holds it, the account files are not touched; then the boot goes on."""
    pod = make_pod("root")
    lock = pod.path("/etc/.pwd.lock")
    with lock.open("w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        live = pod.start("/bin/echo", "ran")
        with pytest.raises(AssertionError, match="did not come"):
            live.stdout.wait_for(b"ran", timeout=0.5)
        assert USER not in pod.read("/etc/passwd")
        fcntl.lockf(file, fcntl.LOCK_UN)
        assert live.wait(0).out == b"ran\n"
