"""Acting as somebody: a forked child that drops to their ids, for good, and does its work there.

Paths on scratch and in the user's home are theirs, and they may have planted links: root never writes through them.
An export that squashes root lets nobody else in anyway.
"""

from __future__ import annotations

import marshal
import os

from .errors import RefusedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from .host import Identity

    T = TypeVar("T")

UMASK = 0o007


def run_as(identity: Identity, work: Callable[[], T]) -> T:
    """What `work` returns (plain data, as `marshal` takes it), done by a child that is `identity` and nobody else.

    Raises:
        RefusedError: the child could not become `identity`, or died.
    """
    read, write = os.pipe()
    if not (pid := os.fork()):
        try:
            drop_to(identity)
            os.umask(UMASK)
            with open(write, "wb") as pipe:
                pipe.write(marshal.dumps(work()))  # type: ignore[arg-type]  # plain data, as the docstring asks
        except BaseException as error:  # a child must never return into its parent's code
            os.write(2, f"[mlo] ERROR: the work of uid {identity.uid} failed: {error!r}\n".encode(errors="replace"))
            os._exit(1)
        os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        answer = pipe.read()
    if not answer:  # else it is about to exit, and the supervisor reaps it
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        raise RefusedError(f"the boot's work as uid {identity.uid} ended with {code}; see the line before")
    result: T = marshal.loads(answer)  # noqa: S302  # from our own child, through a pipe that nobody else has
    return result


def drop_to(identity: Identity) -> None:
    """Become `identity` for good: all of its ids, and no other."""
    os.setgroups(identity.groups)
    os.setresgid(identity.gid, identity.gid, identity.gid)
    os.setresuid(identity.uid, identity.uid, identity.uid)
