"""The pod's environment becomes settings, or one error that lists every problem."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlo_entry import settings
from mlo_entry.errors import SettingsError
from tests.unit.entry.pods import ENVIRON

HOSTILE_NAMES = [
    "root",
    "ALL",
    "1abc",
    "-x",
    ".x",
    "a b",
    "a:b",
    "a\n",
    "a\0b",
    "ü",
    "a" * 33,
    "a/b",
    "#1",
    "%sudo",
    "$(id)",
]
HOSTILE_IDS = ["0", "-1", "+1", "1e3", "0x10", "007", " 1", "1 ", "1\n", "4294967294", "9" * 5000, "٣", "1.0", "one"]
HOSTILE_PATHS = ["x", "./x", "../x", "/a/../b", "/..", "/a\n", "/a\x1b[2J", "/a\x85", "/" + "a" * 4095, "~", " /a"]


def test_the_defaults(environ: dict[str, str]) -> None:
    wanted = settings.from_environ(environ)
    assert (wanted.user, wanted.uid, wanted.group, wanted.gid) == ("jdoe", 123456, "mlo", 83070)
    assert wanted.scratch_home == "/mloscratch/homes/jdoe"
    assert wanted.hf_home == "/mloscratch/hf_cache"
    assert wanted.seed_user == "mljaggi-admin"
    assert wanted.git_config == "/mloscratch/homes/jdoe/.gitconfig"
    assert wanted.home == "/home/jdoe"


def test_missing_and_empty_are_the_same(environ: dict[str, str]) -> None:
    environ["NB_USER"] = ""
    del environ["WORKING_DIR"]
    assert settings.missing(environ) == ["NB_USER", "WORKING_DIR"]
    with pytest.raises(SettingsError, match="NB_USER is missing or empty; WORKING_DIR is missing or empty"):
        settings.from_environ(environ)


@pytest.mark.parametrize(
    ("variable", "value"),
    [(name, value) for name in ("NB_USER", "NB_GROUP", "SCRATCH_SEED_USER") for value in HOSTILE_NAMES]
    + [(name, value) for name in ("NB_UID", "NB_GID") for value in HOSTILE_IDS]
    + [
        (name, value)
        for name in (
            "SCRATCH_HOME_ROOT",
            "SCRATCH_HOME",
            "WORKING_DIR",
            "HF_HOME",
            "MLO_SECRETS_DIR",
            "GIT_CONFIG_GLOBAL",
            "UV_CACHE_DIR",
            "UV_PYTHON_INSTALL_DIR",
        )
        for value in HOSTILE_PATHS
    ],
)
def test_a_hostile_value_is_named(environ: dict[str, str], variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable}=") as caught:
        settings.from_environ({**environ, variable: value})
    assert caught.value.exit_code == 64
    assert "\n" not in str(caught.value)


def test_one_error_lists_every_problem(environ: dict[str, str]) -> None:
    environ |= {"NB_USER": "root", "NB_UID": "0", "NB_GID": "x", "WORKING_DIR": "../x", "HF_HOME": "hf"}
    with pytest.raises(SettingsError) as caught:
        settings.from_environ(environ)
    for name in ("NB_USER", "NB_UID", "NB_GID", "WORKING_DIR", "HF_HOME"):
        assert f"{name}=" in str(caught.value)
    assert "NB_GROUP" not in str(caught.value)


@pytest.mark.parametrize("home", ["/home/jdoe", "/home/jdoe/scratch"])
def test_the_scratch_home_is_not_the_home(environ: dict[str, str], home: str) -> None:
    with pytest.raises(SettingsError, match="ends with the pod"):
        settings.from_environ({**environ, "SCRATCH_HOME": home})


def test_paths_are_normalised(environ: dict[str, str]) -> None:
    wanted = settings.from_environ({**environ, "SCRATCH_HOME_ROOT": "//s//homes/./", "WORKING_DIR": "/s/w/"})
    assert (wanted.scratch_home, wanted.working_dir) == ("/s/homes/jdoe", "/s/w")


def test_a_secret_file_is_as_if_set_but_a_variable_wins(environ: dict[str, str]) -> None:
    given_ = {**environ, "HF_TOKEN": "mine", "GIT_USER_NAME": ""}
    wanted = settings.from_environ(given_, {"HF_TOKEN": "file", "GIT_USER_NAME": "J", "WANDB_API_KEY": "w"})
    assert wanted.environ["HF_TOKEN"] == "mine"
    assert wanted.git_name == "J"
    assert wanted.environ["WANDB_API_KEY"] == "w"
    assert set(wanted.secrets) == {"GIT_USER_NAME", "WANDB_API_KEY"}


@given(st.dictionaries(st.sampled_from(sorted([*ENVIRON, "HF_HOME", "SCRATCH_HOME"])), st.text(max_size=40)))
def test_any_text_gives_settings_or_an_error(values: dict[str, str]) -> None:
    try:
        wanted = settings.from_environ({**ENVIRON, **values})
    except SettingsError:
        return
    assert 0 < wanted.uid <= settings.MAX_ID
    assert wanted.user not in ("root", "ALL", "")
    for path in (wanted.scratch_home, wanted.working_dir, wanted.hf_home):
        assert path.startswith("/")
        assert ".." not in path.split("/")


def test_no_secret_is_printed(environ: dict[str, str]) -> None:
    wanted = settings.from_environ({**environ, "SSH_PRIVATE_KEY_B64": "c2VjcmV0", "WANDB_API_KEY": "hunter2"})
    assert "c2VjcmV0" not in repr(wanted)
    assert "hunter2" not in repr(wanted)
