"""Shell state that outlives the pod, links to it from the home, and the directories of uv's caches."""

from __future__ import annotations

from ..actions import USER, CopyTree, MakeDir, Symlink, TouchFile, WriteFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..actions import Action
    from ..host import Host
    from ..settings import Settings

EDITORS = (".vscode", ".vscode-server", ".cursor", ".cursor-server")


def plan(settings: Settings, host: Host) -> Iterator[Action]:
    """The dotfiles on scratch, from the image at the first run; the user's own are never touched again."""
    home, scratch = settings.home, settings.scratch_home
    shell = f"{scratch}/.shell"
    yield MakeDir(USER, shell)
    yield CopyTree(USER, f"{shell}/.oh-my-zsh", source="/docker/.oh-my-zsh")
    yield WriteFile(USER, f"{shell}/.zshrc", host.zshrc, 0o660, once=True)
    yield TouchFile(USER, f"{scratch}/.zsh_history", 0o600)
    for name in EDITORS:
        yield MakeDir(USER, f"{scratch}/{name}")  # an editor's server makes no directory behind a dangling link
    for name in (".zsh_history", *EDITORS):
        yield Symlink(USER, f"{home}/{name}", target=f"{scratch}/{name}")
    for name in (".zshrc", ".oh-my-zsh"):
        yield Symlink(USER, f"{home}/{name}", target=f"{shell}/{name}")
    yield MakeDir(USER, settings.uv_cache)
    yield MakeDir(USER, settings.uv_python)
