"""The vocabulary of effects, as plain data: what a plan may ask for. `apply.py` makes each true."""

from __future__ import annotations

from .record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

ROOT, SEED, USER = "root", "seed", "user"  # who acts; `__main__` knows their ids


class Action(Record):
    """Something that shall be true of the machine, and who makes it so. `verb` is for the warning when it fails."""

    actor: str

    verb: ClassVar[str] = "done"


class EditAccounts(Action):
    """The user and group exist with these ids in the account files of `etc`; who holds an id or a name gives way."""

    user: str
    uid: int
    group: str
    gid: int
    supplementary: tuple[int, ...]  # gids that the runtime gave the container
    etc: str = "/etc"


class OwnDir(Action):
    """A directory of the container that belongs to `uid`:`gid`, with all that lies in it on the same file system."""

    path: str
    uid: int
    gid: int
    mode: int

    verb = "made"


class ShareDir(Action):
    """A directory on scratch with this group, mode 770, and setgid where it had it.

    One that exists outside `within` keeps its group: it may be somebody else's.
    """

    path: str
    gid: int
    within: str
    who: str


class UseDir(ShareDir):
    """A directory of that kind that the actor can use. One that is right costs a look; `seed` is asked for another.

    `purpose` is the variable that names it; without a `required` one the boot ends (73), without another it warns.
    """

    purpose: str
    required: bool
    access: int  # os.R_OK | os.W_OK | os.X_OK
    seed: str  # "" where nobody may change what exists

    def asked_of_seed(self) -> ShareDir:
        """The same directory, made or mended by the seed user."""
        return ShareDir(SEED, self.path, self.gid, self.within, self.seed)


class MakeDir(Action):
    """A directory exists; its missing parents are made with it."""

    path: str
    mode: int = 0o770

    verb = "made"


class WriteFile(Action):
    """A file has this content, mode and owner. It is replaced at once (written beside, then renamed), or not at all.

    With `once`, a file that is there already stays as it is. Without a `required` one the boot ends (71).
    """

    path: str
    content: bytes
    mode: int
    uid: int = -1  # -1: the actor's
    gid: int = -1
    once: bool = False
    required: bool = False

    hidden = ("content",)
    verb = "written"


class MakePipe(Action):
    """A named pipe exists, which `uid` alone may read. No job starts without (71)."""

    path: str
    uid: int
    gid: int


class CopyTree(Action):
    """A directory is a copy of `source`, if that exists. A directory that is there already stays as it is."""

    path: str
    source: str

    verb = "copied"


class TouchFile(Action):
    """A file exists, with this mode."""

    path: str
    mode: int

    verb = "written"


class Symlink(Action):
    """A symbolic link exists, unless something else lies there."""

    path: str
    target: str

    verb = "made"


class RemoveTree(Action):
    """Nothing lies at the path."""

    path: str

    verb = "removed"


class SetGitIdentity(Action):
    """A git configuration file has a user.name and user.email; those that it has stay."""

    path: str
    name: str
    email: str

    verb = "written"


class RunHook(Action):
    """A program of a derived image has run."""

    path: str
    environ: tuple[tuple[str, str], ...]

    verb = "run"


class Tell(Action):
    """Something that the plan chose, for the log."""

    message: str


class Warn(Action):
    """Something that the plan found wrong, for the log."""

    message: str
