"""The account files as text: the user and group of a pod in, whoever stands in their way moved aside. Pure."""

from __future__ import annotations

from .record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    Rows = list[list[str]]

GROUPS = ("sudo", "adm")
SHELL = "/bin/zsh"
_MOVED_FROM = 60001  # ids for those that give way: Debian hands out none of its own from here to 64999


class Accounts(Record):
    """The texts of the account files; None for a shadow file that the image does not have."""

    passwd: str
    group: str
    shadow: str | None = None
    gshadow: str | None = None


def edit(before: Accounts, user: str, uid: int, group: str, gid: int, supplementary: Collection[int] = ()) -> Accounts:
    """The account files in which `user` has `uid` and the primary group `group`, which has `gid`.

    The user gets /bin/zsh, /home/<user>, a locked password, and is a member of sudo, adm and the `supplementary` gids.
    Another holder of the uid or gid keeps its name under a new number, and so do those whose primary group moves.
    Applied to its own result it changes nothing.
    """
    passwd, groups = _rows(before.passwd), _rows(before.group)
    renumbered = _claim(groups, 4, group, gid, [group, "x", str(gid), ""])
    _claim(passwd, 7, user, uid, [user, "x", str(uid), str(gid), "", f"/home/{user}", SHELL])
    for row in passwd:
        if row[0] == user and len(row) == 7:
            row[1:] = ["x" if before.shadow is not None else "*", str(uid), str(gid), row[4], f"/home/{user}", SHELL]
        elif len(row) == 7:
            row[3] = renumbered.get(row[3], row[3])

    gids = {int(row[2]) for row in groups if len(row) == 4 and row[2].isdecimal()}
    groups += [[f"gid-{extra}", "x", str(extra), ""] for extra in supplementary if extra not in gids]
    names = {row[0] for row in groups}
    groups += [[name, "x", str(_free(groups)), ""] for name in GROUPS if name not in names]
    joined = {row[0] for row in groups if len(row) == 4 and (row[0] in GROUPS or row[2] in map(str, supplementary))}
    _join(groups, 4, joined, user)

    shadow, gshadow = before.shadow, before.gshadow
    if shadow is not None:
        rows = _rows(shadow)
        _set(rows, user, [user, "*", "", "0", "99999", "7", "", "", ""])
        shadow = _text(rows)
    if gshadow is not None:
        rows = _rows(gshadow)
        _set(rows, group, next((row for row in rows if row[0] == group), [group, "!", "", ""]))
        _join(rows, 4, joined, user)
        gshadow = _text(rows)
    return Accounts(_text(passwd), _text(groups), shadow, gshadow)


def supplementary(environ_groups: Collection[int], start_gid: int, gid: int) -> tuple[int, ...]:
    """The gids that the runtime gave beside the user's own; root's is never passed on."""
    return tuple(sorted({*environ_groups, start_gid} - {0, gid}))


def find(passwd: str, group: str, user: str) -> tuple[int, tuple[int, ...]] | None:
    """The uid of `user` and the gids of its groups; None when passwd does not have it."""
    for row in _rows(passwd):
        if row[0] == user and len(row) == 7 and row[2].isdecimal() and row[3].isdecimal():
            member = [int(g[2]) for g in _rows(group) if len(g) == 4 and g[2].isdecimal() and user in g[3].split(",")]
            return int(row[2]), tuple(dict.fromkeys([int(row[3]), *member]))
    return None


def _claim(rows: Rows, width: int, name: str, number: int, new: list[str]) -> dict[str, str]:
    """Give `name` the `number`, in place; who held it moves. Returns the numbers that changed, old to new."""
    changed: dict[str, str] = {}
    for row in rows:
        if len(row) == width and row[0] != name and row[2] == str(number):
            row[2] = changed.setdefault(row[2], str(_free(rows)))
    own = next((row for row in rows if row[0] == name and len(row) == width), None)
    rows[:] = [row for row in rows if row[0] != name or row is own]
    if own is None:
        rows.append(new)
    elif own[2] != str(number):
        changed[own[2]] = str(number)
        own[2] = str(number)
    return changed


def _free(rows: Rows) -> int:
    used = {row[2] for row in rows if len(row) > 2}
    return next(number for number in range(_MOVED_FROM, 1 << 31) if str(number) not in used)


def _set(rows: Rows, name: str, new: list[str]) -> None:
    """One row for `name`: `new`, where the first one stood."""
    at = next((i for i, row in enumerate(rows) if row[0] == name), len(rows))
    rows[:] = [row for row in rows[:at] if row[0] != name] + [new] + [row for row in rows[at:] if row[0] != name]


def _join(rows: Rows, width: int, groups: Collection[str], user: str) -> None:
    for row in rows:
        if len(row) == width and row[0] in groups and user not in row[3].split(","):
            row[3] = ",".join(filter(None, [row[3], user]))


def _rows(text: str) -> Rows:
    return [line.split(":") for line in text.removesuffix("\n").split("\n")] if text else []


def _text(rows: Rows) -> str:
    return "".join(":".join(row) + "\n" for row in rows)
