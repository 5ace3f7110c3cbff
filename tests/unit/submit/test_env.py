from __future__ import annotations

import string
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlo_submit import env, envfile
from mlo_submit.backends import kubernetes
from mlo_submit.errors import ConfigError
from mlo_submit.machine import Machine
from tests.unit.submit.conftest import ENV, config_of

PATH = Path(".env")


def values(text: str, environ: dict[str, str] | None = None) -> dict[str, str]:
    file = envfile.parse(text, environ or {}, PATH)
    assert file.problems == ()
    return dict(file.values)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("K=v", "v"),
        ("export K=v", "v"),
        ("K = v", "v"),
        ("K=", ""),
        ("K= # a comment", ""),
        ("K=v # a comment", "v"),
        ("K=v#no comment", "v#no comment"),
        ("K=#v", "#v"),
        ("K='a # b'", "a # b"),
        ('K="a\\nb"', "a\nb"),
        ("K='a\nb'", "a\nb"),
        ('K="two\r\nlines"\r\n', "two\nlines"),
        ("K=v\r\n", "v"),
        ("K=a=b", "a=b"),
        ("K='${HOME}'", "${HOME}"),
        ("export  K =  '${HOME}'", "${HOME}"),
        ('K="${OTHER}/x"', "set/x"),
        ("K=${OTHER}/x", "set/x"),
        ("K=${NONE:-else}", "else"),
        ("K=$OTHER", "$OTHER"),
        ("K='it\\'s'", "it's"),
    ],
)
def test_a_value(text: str, value: str) -> None:
    assert values(text, {"OTHER": "set"}) == {"K": value}


def test_a_key_above_wins_over_the_environment() -> None:
    assert values("A=file\nB=${A}", {"A": "environ"}) == {"A": "file", "B": "file"}


def test_an_unknown_name_counts_as_empty_and_is_a_warning() -> None:
    file = envfile.parse("\n\nPASSWORD=a${b}c", {}, PATH)
    assert file.values == {"PASSWORD": "ac"}
    assert "line 3" in file.warnings[0]
    assert "PASSWORD has a ${NAME} that is not set" in file.warnings[0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("A=1\n\n# c\nBARE\n", "line 4: has no '='"),
        ("A=1\nB='open\nC=2\n", "line 2: cannot be read"),
        ("A=1\n\n\na b=1\n", "line 4:"),
        ("A B=1", "line 1: cannot be read"),
        ("K/hidden=1", "line 1: what stands before '=' cannot be a key"),
    ],
)
def test_a_line_that_cannot_be_is_refused_with_its_number(text: str, problem: str) -> None:
    problems = envfile.parse(text, {}, PATH).problems
    assert [text for text in problems if text.startswith(problem)], problems
    assert "hidden" not in str(problems), "it may be part of a secret"


WORDS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\r"), max_size=30)


@given(st.dictionaries(st.text(string.ascii_uppercase, min_size=1, max_size=8), WORDS, max_size=5))
def test_single_quotes_keep_any_value(given: dict[str, str]) -> None:
    def quoted(value: str) -> str:
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"

    assert values("".join(f"{key}={quoted(value)}\n" for key, value in given.items())) == given


@given(st.text(max_size=200))
def test_no_text_gives_a_traceback(text: str) -> None:
    file = envfile.parse(text, {}, PATH)
    assert set(file.lines) == set(file.values)
    assert all(1 <= line <= text.count("\n") + text.count("\r") + 1 for line in file.lines.values())


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(b"\xef\xbb\xbfA=1\r\nB=2\r\n")
    assert envfile.read(path, {}).values == {"A": "1", "B": "2"}


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(b"A=\xff")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        envfile.read(path, {})
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        envfile.read(tmp_path, {})


def test_a_world_readable_file_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("A=1")
    path.chmod(0o644)
    assert "chmod 600" in envfile.read(path, {}).warnings[0]
    path.chmod(0o640)
    assert envfile.read(path, {}).warnings == ()


def test_the_file_is_searched_in_order(laptop: Machine, tmp_path: Path) -> None:
    """--env-file, MLO_ENV_FILE, ./.env, ~/.config/mlo/.env; the first two must exist where they are named."""
    with pytest.raises(ConfigError, match=r"there is no \.env, neither .*/work/\.env nor .*/\.config/mlo/\.env"):
        envfile.find(laptop, None)
    last = laptop.config / ".env"
    last.parent.mkdir(parents=True)
    last.touch()
    assert envfile.find(laptop, None) == last
    here = laptop.cwd / ".env"
    here.touch()
    assert envfile.find(laptop, None) == here
    named, given = tmp_path / "named", tmp_path / "given"
    machine = replace(laptop, environ={"MLO_ENV_FILE": str(named)})
    with pytest.raises(ConfigError, match=r"named \(MLO_ENV_FILE\) does not exist"):
        envfile.find(machine, None)
    named.touch()
    assert envfile.find(machine, None) == named
    given.touch()
    assert envfile.find(machine, str(given)) == given
    with pytest.raises(ConfigError, match=r"missing \(--env-file\) does not exist"):
        envfile.find(machine, "missing")


def test_defaults(laptop: Machine) -> None:
    config = config_of(laptop, "LDAP_USERNAME=jdoe\nLDAP_UID=1\nLDAP_GROUPNAME=g\nLDAP_GID=2\nRUNAI_PROJECT=mlo-jdoe\n")
    assert (config.namespace, config.project) == ("mlo-jdoe", "mlo-jdoe")
    assert (config.mount_path, config.home_root) == ("/mloscratch", "/mloscratch/homes")
    assert (config.working_dir, config.hf_home) == ("/mloscratch/homes/jdoe", "/mloscratch/hf_cache")
    assert config.local_scratch == laptop.home / ".local/share/mlo/scratch"
    assert config.worker_resources == (("rdma/rdma", 1),)
    assert config.secret_keys == ()


def test_an_empty_value_turns_the_extras_of_workers_off(laptop: Machine) -> None:
    config = config_of(laptop, ENV + "MLO_WORKER_ANNOTATIONS=\nMLO_WORKER_RESOURCES=\n")
    assert (config.worker_annotations, config.worker_resources) == ((), ())


def test_secret_keys_are_those_that_have_a_value(laptop: Machine) -> None:
    config = config_of(laptop, ENV + "EXTRA_SECRET_KEYS= OPENAI_KEY,  ABSENT ,\nOPENAI_KEY=x\nGITHUB_TOKEN=\n")
    assert config.secret_keys == ("HF_TOKEN", "OPENAI_KEY", "WANDB_API_KEY")
    assert "GITHUB_TOKEN" not in config.values


def test_every_problem_is_in_one_error(laptop: Machine) -> None:
    text = """\
LDAP_USERNAME=root
LDAP_UID=00000
LDAP_GID=
RUNAI_PROJECT=mlo-<you>
K8S_NAMESPACE=No_Namespace
RUNAI_IMAGE=a b

HF_TOKEN=<token>
WORKING_DIR=homes/../x
EXTRA_SECRET_KEYS=1x
MLO_IMAGE_PULL_POLICY=always
MLO_TTL_AFTER_FINISHED=soon
MLO_NODE_SELECTOR=gpu
BARE
"""
    with pytest.raises(ConfigError) as caught:
        config_of(laptop, text, "RUNAI_SECRET_NAME", "SCRATCH_PVC", "K8S_NAMESPACE")
    lines = caught.value.message.splitlines()
    assert lines[0] == ".env has 16 problems:"
    assert sorted(line.strip().split("=")[0].split(" is ")[0] for line in lines[1:]) == sorted(
        [
            "line 14: has no '",
            "line 1: LDAP_USERNAME",
            "line 2: LDAP_UID",
            "LDAP_GROUPNAME",
            "line 3: LDAP_GID",
            "line 4: RUNAI_PROJECT",
            "line 5: K8S_NAMESPACE",
            "line 6: RUNAI_IMAGE",
            "line 8: HF_TOKEN still holds a placeholder: put your own value there, or nothing",
            "line 9: WORKING_DIR",
            "line 10: EXTRA_SECRET_KEYS",
            "line 11: MLO_IMAGE_PULL_POLICY",
            "line 12: MLO_TTL_AFTER_FINISHED",
            "line 13: MLO_NODE_SELECTOR",
            "RUNAI_SECRET_NAME",
            "SCRATCH_PVC",
        ]
    )
    assert "<token>" not in caught.value.message


def test_a_scratch_home_in_the_pods_own_home_is_refused(laptop: Machine) -> None:
    with pytest.raises(ConfigError, match="line 13: SCRATCH_HOME_ROOT=/home/ is where pods have their own homes"):
        config_of(laptop, ENV + "SCRATCH_HOME_ROOT=/home/\n")


def test_more_than_a_secret_holds_is_refused(laptop: Machine) -> None:
    with pytest.raises(ConfigError, match=r"take 1\d{6} bytes, and a Secret holds 1048576"):
        config_of(laptop, ENV + f"BIG={'x' * 2**20}\n")


def test_the_example_names_every_key_and_is_refused_for_its_placeholders_alone(laptop: Machine) -> None:
    text = (Path(__file__).parents[3] / ".env.example").read_text()
    with pytest.raises(ConfigError) as caught:
        config_of(laptop, text)
    assert all("placeholder" in line for line in caught.value.message.splitlines()[1:])
    filled = config_of(laptop, text.replace("<you>", "jdoe").replace("<uid>", "123456"), *kubernetes.REQUIRED)
    assert filled.image == "ic-registry.epfl.ch/mlo/mlo-base:uv1"
    source = Path(env.__file__).read_text() + Path(env.__file__).with_name("sshkey.py").read_text()
    for key in envfile.parse(text, {}, PATH).values:
        assert f'"{key}"' in source, f"{key} is documented, and nothing reads it"


def test_a_variable_that_is_not_utf_8_is_a_problem(laptop: Machine) -> None:
    """Python has such bytes as surrogates, which no Secret can hold."""
    with pytest.raises(ConfigError, match=r"line 13: TOKEN has a \$\{NAME\} whose value is not UTF-8"):
        env.configure(envfile.parse(ENV + "TOKEN=${ODD}\n", {"ODD": "\udcff"}, Path(".env")), laptop)


def test_a_directory_is_no_env_file(laptop: Machine) -> None:
    with pytest.raises(ConfigError, match=r"work \(--env-file\) is no file"):
        envfile.find(laptop, str(laptop.cwd))
