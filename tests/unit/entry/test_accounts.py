"""Account files in, account files out: the end is exactly the four values, whoever held them before."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlo_entry import accounts
from mlo_entry.accounts import Accounts

BASE = Accounts(
    passwd="root:x:0:0:root:/root:/bin/bash\nwww-data:x:33:33::/var/www:/usr/sbin/nologin\n",
    group="root:x:0:\nadm:x:4:syslog\nsudo:x:27:\nwww-data:x:33:\n",
    shadow="root:*:19000:0:99999:7:::\nwww-data:*:19000:0:99999:7:::\n",
    gshadow="root:*::\nadm:*::syslog\nsudo:*::\n",
)


def edit(before: Accounts, extra: tuple[int, ...] = ()) -> Accounts:
    return accounts.edit(before, "jdoe", 123456, "mlo", 83070, extra)


def rows(text: str | None, name: str) -> list[list[str]]:
    return [line.split(":") for line in (text or "").splitlines() if line.split(":")[0] == name]


def check(after: Accounts, user: str = "jdoe", uid: int = 123456, group: str = "mlo", gid: int = 83070) -> None:
    """The four values, each held by nobody else; nothing changes when it is done again."""
    assert rows(after.passwd, user) == [[user, "x", str(uid), str(gid), *rows(after.passwd, user)[0][4:]]]
    assert rows(after.passwd, user)[0][5:] == [f"/home/{user}", "/bin/zsh"]
    assert [row[2] for row in rows(after.group, group)] == [str(gid)]
    for text, number in ((after.passwd, uid), (after.group, gid)):
        assert sum(line.split(":")[2:3] == [str(number)] for line in text.splitlines()) == 1
    assert rows(after.shadow, user) == [[user, "*", "", "0", "99999", "7", "", "", ""]]
    for name in ("sudo", "adm"):
        assert user in rows(after.group, name)[0][3].split(",")
        assert user in rows(after.gshadow, name)[0][3].split(",")
    assert accounts.edit(after, user, uid, group, gid) == after


def test_a_clean_image() -> None:
    after = edit(BASE)
    check(after)
    assert after.passwd == BASE.passwd + "jdoe:x:123456:83070::/home/jdoe:/bin/zsh\n"
    assert after.group == "root:x:0:\nadm:x:4:syslog,jdoe\nsudo:x:27:jdoe\nwww-data:x:33:\nmlo:x:83070:\n"
    assert after.gshadow == "root:*::\nadm:*::syslog,jdoe\nsudo:*::jdoe\nmlo:!::\n"


@pytest.mark.parametrize(
    ("passwd", "group"),
    [
        ("other:x:123456:1000:::\n", ""),
        ("other:x:1000:83070:::\n", "other:x:83070:\n"),
        ("other:x:123456:83070:::\n", "other:x:83070:\n"),
        ("", "mlo:x:1000:\n"),
        ("other:x:1000:1000:::\n", "mlo:x:1000:\nother:x:83070:\n"),
        ("jdoe:x:1000:1000:::\n", "jdoe:x:1000:\n"),
        ("jdoe:x:1000:1000:::\nother:x:123456:1000:::\n", "jdoe:x:1000:\n"),
        ("jdoe:x:123456:1000:J Doe:/old:/bin/sh\n", "jdoe:x:1000:\n"),
        (
            "jdoe:x:1:1:::\njdoe:x:2:2:::\na:x:123456:1:::\nb:x:123456:1:::\n",
            "a:x:83070:\nb:x:83070:\nmlo:x:5:\nmlo:x:6:\n",
        ),
        ("other:x:60001:60001:::\nthird:x:123456:1:::\n", "other:x:60001:\nthird:x:83070:\n"),
    ],
)
def test_whoever_is_in_the_way_gives_way(passwd: str, group: str) -> None:
    before = Accounts(BASE.passwd + passwd, BASE.group + group, BASE.shadow, BASE.gshadow)
    after = edit(before)
    check(after)
    for line in (passwd + group).splitlines():  # nobody loses their entry
        name = line.split(":")[0]
        assert rows(after.passwd, name) or rows(after.group, name)


def test_a_primary_group_moves_with_its_users() -> None:
    before = Accounts(BASE.passwd + "other:x:1000:83070:::\n", BASE.group + "other:x:83070:\n", BASE.shadow, None)
    after = edit(before)
    assert rows(after.passwd, "other")[0][3] == rows(after.group, "other")[0][2] == "60001"


def test_sudo_keeps_its_members_when_its_gid_is_the_users() -> None:
    after = accounts.edit(BASE, "jdoe", 123456, "mlo", 27)
    check(after, gid=27)


@pytest.mark.parametrize(("user", "group"), [("www-data", "mlo"), ("jdoe", "sudo"), ("adm", "adm")])
def test_names_of_the_system(user: str, group: str) -> None:
    check(accounts.edit(BASE, user, 123456, group, 83070), user=user, group=group)


def test_supplementary_gids_become_groups_of_the_user() -> None:
    after = edit(BASE, (33, 7000))
    assert rows(after.group, "www-data")[0][3] == "jdoe"
    assert rows(after.group, "gid-7000") == [["gid-7000", "x", "7000", "jdoe"]]
    assert edit(after, (33, 7000)) == after


def test_root_is_never_passed_on() -> None:
    assert accounts.supplementary([0, 5, 83070, 7], 0, 83070) == (5, 7)


def test_without_shadow_files_the_password_is_locked_in_passwd() -> None:
    after = edit(Accounts(BASE.passwd, BASE.group))
    assert rows(after.passwd, "jdoe")[0][1] == "*"
    assert (after.shadow, after.gshadow) == (None, None)


def test_a_known_password_is_locked() -> None:
    before = Accounts(BASE.passwd, BASE.group, (BASE.shadow or "") + "jdoe:$6$x$y:19000:0:99999:7::1:\n", BASE.gshadow)
    check(edit(before))


def test_other_lines_stay_to_the_byte() -> None:
    odd = "# a comment\n\n+::::::\nshort:x\nuni\x85\u2028:x:7:7:\x0b:/:/bin/sh\n"
    after = edit(Accounts(odd + BASE.passwd, odd + BASE.group, BASE.shadow, BASE.gshadow))
    assert after.passwd.startswith(odd)
    assert after.group.startswith(odd)


def test_find() -> None:
    passwd, group = "seed:x:177449:500:::\n", "a:x:600:x,seed\nb:x:700:seedling\n"
    assert accounts.find(passwd, group, "seed") == (177449, (500, 600))
    assert accounts.find(passwd, group, "nobody") is None


NAMES = st.sampled_from(["jdoe", "mlo", "sudo", "adm", "root", "a", "b"])
IDS = st.sampled_from(["0", "27", "1000", "83070", "123456", "60001", "60002"])
USERS = st.builds(lambda n, u, g: f"{n}:x:{u}:{g}:::", NAMES, IDS, IDS)
LINES = st.one_of(USERS, st.text(st.characters(exclude_characters="\n", codec="utf-8"), max_size=12))
GROUPS = st.builds(lambda n, g, m: f"{n}:x:{g}:{m}", NAMES, IDS, st.sampled_from(["", "a", "jdoe,a"]))


@given(st.lists(LINES, max_size=8), st.lists(GROUPS, max_size=8))
def test_any_files_end_in_the_four_values(users: list[str], groups: list[str]) -> None:
    users = [user for user in users if not user.startswith(("jdoe:x:0:", "root"))]
    before = Accounts("\n".join([*users, ""]), "\n".join([*groups, ""]), "", "")
    after = edit(before)
    assert [row[1:4] for row in rows(after.passwd, "jdoe")] == [["x", "123456", "83070"]]
    assert [row[2] for row in rows(after.group, "mlo")] == ["83070"]
    assert sum(line.split(":")[2:3] == ["123456"] and line.count(":") == 6 for line in after.passwd.split("\n")) == 1
    assert edit(after) == after
