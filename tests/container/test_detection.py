"""Detection: what a boot needs, what it does without, and what it refuses before it touches anything."""

from __future__ import annotations

import pytest

from tests.container.machine import UID
from tests.container.pod import Pod
from tests.container.scratch import Scratch
from tests.container.trees import snapshot

CACHE_SECONDS = 1

REQUIRED = ("NB_USER", "NB_UID", "NB_GROUP", "NB_GID", "SCRATCH_HOME_ROOT", "WORKING_DIR")


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("value", [None, ""], ids=["missing", "empty"])
def test_without_a_required_variable_the_command_just_runs(pod: Pod, name: str, value: str | None) -> None:
    """One WARNING; the command has the container's own user and environment, and its exit code is the container's."""
    before = pod.read("/etc/passwd")
    result = pod.run("/bin/sh", "-c", "id -u; exit 9", env={name: value}, code=9, expect=[f"WARNING.*{name}"])
    assert result.text == f"{pod.uid}\n"
    assert pod.read("/etc/passwd") == before
    assert not list((pod.scratch.backing / "homes").iterdir())


def test_one_warning_names_all_that_is_missing(pod: Pod) -> None:
    """Not a line for each."""
    result = pod.run("/bin/true", env=dict.fromkeys(REQUIRED), expect=["WARNING.*" + ".*".join(REQUIRED)])
    assert sum("WARNING" in line for line in result.log) == 1


def test_then_the_environment_is_untouched(pod: Pod) -> None:
    """Byte for byte, whatever is in it, and the command's ids, groups, directory and umask are the container's too."""
    pod.groups = [5000]
    raw = [b"A.B=1", b"N=a\nb", b"LD_LIBRARY_PATH=/x", b"SSH_PRIVATE_KEY_B64=x", b"BIG=" + b"x" * 100_000]
    env: dict[str, str | bytes | None] = dict.fromkeys(REQUIRED)
    result = pod.run("/bin/cat", "/proc/self/environ", env=env, raw_env=raw, expect=["WARNING"])
    given = {name + b"=" + value for name, value in pod.environ.items() if name.decode() not in REQUIRED}
    assert set(result.out.split(b"\0")[:-1]) == given | set(raw)
    result = pod.run("/bin/sh", "-c", "id -u; id -G; pwd; umask", env=env, expect=["WARNING"])
    assert result.text == f"{pod.uid}\n{pod.gid} 5000\n/\n0022\n"


def test_then_a_missing_command_is_an_interactive_shell(pod: Pod) -> None:
    """With nothing to run and nothing to be: a shell all the same, and no traceback."""
    live = pod.start(env={"NB_USER": None}, tty=True)
    live.stdout.wait_for(b"WARNING")
    live.type(b"exit 5\n")
    result = live.wait(5)
    assert b"Error" not in result.out


BAD: dict[str, list[str | bytes]] = {
    "NB_USER": [
        *["root", "ALL", "a b", "a:b", "a\nb", "-x", "1a", "../x", "a/b", "é", "x" * 33, "a,b", "%wheel", "#0", "a\\b"],
        *["$(id)", " ", "a=b"],
        b"\xff",
    ],
    "NB_GROUP": ["root", "a b", "a:b", "a\nroot:x:0", "-x", "1a", "x" * 33, "a,b", b"\xff", "ALL"],
    "NB_UID": [
        "0",
        "-1",
        "4294967294",
        "4294967295",
        "99999999999999999999",
        "1.0",
        "0x10",
        "1e3",
        " 1",
        "1 ",
        "+1",
        "01",
        "١٢",
        "a",
        "1\n2",
    ],
    "NB_GID": ["0", "-1", "4294967294", "4294967295", "0010", "1_000", "²"],
    "SCRATCH_HOME_ROOT": ["x", "./x", "/a/../b", "/a\nb", "/..", "/a\tb", "/a\x7fb"],
    "WORKING_DIR": ["x", "~/x", "/a/..", "/a\rb", "/\x1b[31m", "$HOME"],
    "SCRATCH_HOME": ["x", "/mloscratch/../etc", "/a\nb"],
    "HF_HOME": ["cache", "/x/../y", "/a\nb"],
    "SCRATCH_SEED_USER": ["root", "a b", "x" * 40, "a:b"],
    "MLO_SECRETS_DIR": ["x", "/a/../b"],
}


@pytest.mark.parametrize("name", BAD)
def test_a_value_that_cannot_be_is_refused(pod: Pod, scratch: Scratch, name: str) -> None:
    """Exit 64, one line that names the variable, and nothing has changed: not in the container, not on scratch."""
    pod.run("-c", "true", entry="/bin/sh")  # makes the mount points
    before = snapshot(pod.directory / "upper", scratch.backing)
    for value in BAD[name]:
        result = pod.run("/bin/echo", "ran", env={name: value}, code=64, expect=[f"ERROR.*{name}"])
        assert result.out == b"", value
        assert len(result.log) == len(result.err.splitlines()) == 1, value
    assert snapshot(pod.directory / "upper", scratch.backing) == before


def test_every_problem_is_in_one_message(pod: Pod) -> None:
    """So that a user mends the environment once."""
    bad = {name: values[1] for name, values in BAD.items()}
    (line,) = pod.run("/bin/echo", env=bad, code=64, expect=["ERROR"]).log
    assert all(name in line for name in bad), line


GOOD = [
    {"NB_USER": "_x"},
    {"NB_USER": "j.d-o_e1"},
    {"NB_USER": "x" * 32},
    {"NB_USER": "J"},
    {"NB_GROUP": "G.-_9"},
    {"NB_GROUP": "g" * 32},
    {"NB_UID": "1"},
    {"NB_UID": "4294967293"},
    {"NB_UID": "1000"},
    {"NB_GID": "1"},
    {"NB_GID": "4294967293"},
    {"NB_GID": "27"},
    {"WORKING_DIR": "/mloscratch/homes/a b/c'd\"e/$(id)/`f`/*/é"},
    {"WORKING_DIR": "/mloscratch/homes/-x"},
    {"WORKING_DIR": "//mloscratch//homes/./x/"},
    {"SCRATCH_HOME": "/mloscratch/homes/with space/%n"},
    {"SCRATCH_HOME_ROOT": "/mloscratch/homes/new/root"},
    {"HF_HOME": "/mloscratch/hf cache"},
    {"TZ": "Europe/Zurich"},
    {"TZ": "../../etc/passwd"},
    {"GIT_USER_NAME": 'A "B" \\ #;\n[x]', "GIT_USER_EMAIL": "a@b"},
]


@pytest.mark.parametrize("env", GOOD, ids=lambda env: repr(env)[:40])
def test_a_value_that_is_only_odd_works(pod: Pod, env: dict[str, str]) -> None:
    """Odd, yet within the rules: the boot is complete, and the command is who and where it should be."""
    wanted = {key.decode(): value.decode() for key, value in pod.environ.items()} | env
    result = pod.run("/bin/sh", "-c", "id -u; id -g; id -un; id -gn; pwd; echo $TZ; sudo -n id -u", env=env)
    uid, gid, user, group, cwd, zone, sudo = result.text.splitlines()
    assert (uid, gid, user, group) == (wanted["NB_UID"], wanted["NB_GID"], wanted["NB_USER"], wanted["NB_GROUP"])
    assert cwd == wanted["WORKING_DIR"].replace("//", "/").replace("/./", "/").rstrip("/")
    assert (zone, sudo) == (wanted.get("TZ", ""), "0")


def test_hostile_optional_values_harm_nothing(pod: Pod) -> None:
    """Keys, names and settings that are rubbish cost a WARNING at most."""
    rubbish: list[str | bytes] = [
        "\n",
        "x" * 100_000,
        "$(id)",
        "'; id; '",
        b"\xff\xfe",
        "\x1b[2J",
        "[mlo] forged\n[mlo] line",
        "../..",
        "%s%n",
    ]
    names = ("SSH_PRIVATE_KEY_B64", "SSH_PUBLIC_KEY", "SSH_KNOWN_HOSTS", "GIT_USER_NAME", "GIT_USER_EMAIL", "TZ")
    for value in [*rubbish, ""]:
        env: dict[str, str | bytes | None] = dict.fromkeys((*names, "UV_PYTHON_VERSION"), value)
        result = pod.run("/usr/bin/id", "-u", env=env, expect=None)
        assert result.out == f"{UID}\n".encode()
        assert not any("forged" in line and "WARNING" not in line for line in result.log)


@pytest.mark.parametrize("env", [{}, {"NB_USER": None}], ids=["account", "none"])
def test_what_has_no_name_is_no_variable(pod: Pod, env: dict[str, str | bytes | None]) -> None:
    """A runtime may hand over `=x` and a word without '='; the command runs without them."""
    result = pod.run("/usr/bin/env", env=env, raw_env=[b"=x=y", b"noequals"], expect=["WARNING"] if env else [])
    assert not [line for line in result.text.splitlines() if line.startswith(("=", "noequals"))]
