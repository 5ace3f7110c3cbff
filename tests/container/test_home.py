"""Shell state on scratch, links to it from the home, uv's directories."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.container.conftest import MakePod
from tests.container.machine import GID, HOME, RIG, UID, USER, mount, unmount
from tests.container.pod import Pod
from tests.container.scratch import Scratch
from tests.container.trees import snapshot, tree

LINKS = {
    ".zsh_history": ".zsh_history",
    ".vscode": ".vscode",
    ".vscode-server": ".vscode-server",
    ".cursor": ".cursor",
    ".cursor-server": ".cursor-server",
    ".zshrc": ".shell/.zshrc",
    ".oh-my-zsh": ".shell/.oh-my-zsh",
}


@pytest.fixture
def home(scratch: Scratch) -> Path:
    return scratch.backing / "homes" / USER


def test_the_first_run_copies_the_dotfiles(pod: Pod, home: Path) -> None:
    """.zshrc and .oh-my-zsh as in the image: kinds, contents, executables, links; nothing else is left in .shell."""
    pod.script("true")
    assert tree(home / ".shell/.oh-my-zsh") == tree(RIG / "oh-my-zsh")
    assert (home / ".shell/.zshrc").read_text() == pod.read("/docker/.zshrc")
    assert sorted(os.listdir(home / ".shell")) == [".oh-my-zsh", ".zshrc"]
    for path in home.rglob("*"):
        assert (path.lstat().st_uid, path.lstat().st_gid) == (UID, GID), path
    assert (home / ".zsh_history").stat().st_mode & 0o777 == 0o600


def test_links_lead_from_the_home_to_scratch(pod: Pod) -> None:
    """All seven, made as the user; editors' servers land on scratch."""
    script = (
        "cd; for l in $(ls -A); do [ -L $l ] && echo $l $(readlink $l) $(stat -c %u $l); done; echo x >.vscode-server/x"
    )
    links = dict(line.rsplit(" ", 1)[0].split(" ", 1) for line in pod.script(script).text.splitlines())
    assert links == {name: f"{HOME}/{target}" for name, target in LINKS.items()}


def test_variables_of_the_shell(pod: Pod) -> None:
    """ZDOTDIR, ZSH, HISTFILE and GIT_CONFIG_GLOBAL name the real paths."""
    text = pod.script("echo $ZDOTDIR $ZSH $HISTFILE $GIT_CONFIG_GLOBAL").text
    assert text == f"{HOME}/.shell {HOME}/.shell/.oh-my-zsh {HOME}/.zsh_history {HOME}/.gitconfig\n"


def test_a_users_own_files_are_never_touched(pod: Pod, home: Path, make_pod: MakePod, start: str) -> None:
    """An edited .zshrc, a changed .oh-my-zsh, a history: as they were after the next boot in a new container."""
    pod.script("echo mine >$ZDOTDIR/.zshrc; echo mine >$ZSH/oh-my-zsh.sh; rm $ZSH/tool.sh; echo h >$HISTFILE")
    before = snapshot(home)
    make_pod(start).script("true")
    assert snapshot(home) == before


def test_what_is_there_in_the_home_stays(pod: Pod) -> None:
    """Mounted or planted in the image: a real .vscode directory, a .zshrc file, a directory of another user's."""
    pod.write(f"/home/{USER}/.vscode/settings", "kept")
    pod.write(f"/home/{USER}/.zshrc", "kept")
    data = pod.directory / "data"
    data.mkdir()
    (data / "x").write_text("kept")
    pod.mounts[str(data)] = f"/home/{USER}/data"
    pod.path(f"/home/{USER}/data").mkdir()
    result = pod.script("cd; cat .vscode/settings .zshrc data/x; stat -c %u data/x .zshrc; touch new")
    assert result.text == f"keptkeptkept0\n{UID}\n"


def test_without_oh_my_zsh_in_the_image(pod: Pod, home: Path) -> None:
    """An image built without it: no copy, and a shell that works all the same."""
    del pod.mounts[str(RIG / "oh-my-zsh")]
    for path in pod.path("/docker").glob(".oh-my-zsh"):
        path.rename(path.with_name("away"))
    assert pod.run("/bin/zsh", "-ic", "echo up").text.endswith("up\n")
    assert not (home / ".shell/.oh-my-zsh").exists()


def test_history_survives(pod: Pod, home: Path, make_pod: MakePod, start: str) -> None:
    """What is typed in one pod is in the history of the next, and the file is still 0600 and no copy."""
    for number, current in enumerate((pod, make_pod(start))):
        live = current.start("/bin/zsh", "-i", tty=True)
        live.type(f"echo num''ber {number}\n".encode())
        live.stdout.wait_for(f"number {number}".encode())
        live.type(b"exit\n")
        live.wait(0)
    history = (home / ".zsh_history").read_text()
    assert "ber 0" in history
    assert "ber 1" in history
    assert (home / ".zsh_history").stat().st_mode & 0o777 == 0o600


def test_an_interactive_zsh_loads_oh_my_zsh(pod: Pod) -> None:
    """With no complaint from the shell."""
    result = pod.run("/bin/zsh", "-ic", "echo $OMZ_LOADED $ZSH_THEME $HISTFILE")
    assert result.text.endswith(f"yes robbyrussell {HOME}/.zsh_history\n")
    assert [line for line in result.err.decode().splitlines() if not line.startswith("[mlo] ")] == []


def test_uv_directories(pod: Pod, home: Path) -> None:
    """The cache and the interpreters lie on scratch, the user's own; one file system needs no link mode."""
    text = pod.script("echo $UV_CACHE_DIR $UV_PYTHON_INSTALL_DIR ${UV_LINK_MODE-none}; touch $UV_CACHE_DIR/x").text
    assert text == f"{HOME}/.cache/uv {HOME}/.uv none\n"
    assert (home / ".cache/uv").stat().st_uid == UID
    assert (home / ".uv").is_dir()


def test_uv_copies_between_file_systems(pod: Pod) -> None:
    """WORKING_DIR lies elsewhere: UV_LINK_MODE=copy, unless the user chose."""
    disk = pod.directory / "disk"
    disk.mkdir()
    mount("tmpfs", disk, "tmpfs", "mode=1777")
    pod.mounts[str(disk)] = "/local"
    try:
        env = {"WORKING_DIR": "/local/project"}
        assert pod.script("echo $UV_LINK_MODE", env=env).text == "copy\n"
        assert pod.script("echo $UV_LINK_MODE", env=env | {"UV_LINK_MODE": "symlink"}).text == "symlink\n"
    finally:
        unmount(disk)


PLANTED = {
    ".shell": "/etc",
    ".gitconfig": "/etc/passwd",
    ".zsh_history": "/etc/shadow",
    ".vscode": "/root",
    ".cache": "/etc",
    ".uv": "/nowhere",
    ".cursor": "/etc/passwd",
    ".huggingface": "/root",
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_links_lead_root_nowhere(pod: Pod, scratch: Scratch, name: str) -> None:
    """A link in the scratch home to the system's files: neither followed as root nor removed, and the job runs."""
    home = scratch.home()
    (home / name).symlink_to(PLANTED[name])
    os.lchown(home / name, UID, GID)
    pod.script("true", env={"WORKING_DIR": "/mloscratch/homes"}, expect=None)
    etc = snapshot(pod.path("/etc"), pod.path("/root"))
    env = {"GIT_USER_NAME": "x", "GIT_USER_EMAIL": "y", "WORKING_DIR": "/mloscratch/homes"}
    assert pod.script("id -u", env=env, expect=None).text == f"{UID}\n"
    assert snapshot(pod.path("/etc"), pod.path("/root")) == etc
    assert os.readlink(home / name) == PLANTED[name]


def test_links_planted_in_the_containers_home(pod: Pod) -> None:
    """The user turned .ssh into a link to /etc: the next boot removes the link, not what it names."""
    pod.script("cd; rm -rf .ssh; ln -s /etc .ssh; ln -sf /etc/passwd .zshrc")
    before = snapshot(pod.path("/etc"))
    pod.script("test -d ~/.ssh; test ! -L ~/.ssh", env={"SSH_KNOWN_HOSTS": "host key"})
    assert snapshot(pod.path("/etc")) == before


def test_a_home_that_is_a_link(pod: Pod) -> None:
    """/home/jdoe of the image is a link to /etc: nothing there changes hands."""
    pod.path(f"/home/{USER}").symlink_to("/etc")
    pod.run("/bin/true", code=None, expect=None)
    assert pod.stat("/etc").st_uid == 0
    assert pod.stat("/etc/passwd").st_uid == 0
