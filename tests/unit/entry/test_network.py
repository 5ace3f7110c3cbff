"""Rank and rendezvous from what each launcher sets; RDMA from trees of /sys files as real machines have them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from mlo_entry import actions, environment, host, network, settings
from mlo_entry.host import RdmaPort, read_rdma
from mlo_entry.steps import network as step
from tests.unit.entry.test_steps import changed

ASKED = {"MLO_RDMA": "rdma/rdma=1"}
NONE = "0000:0000:0000:0000:0000:0000:0000:0000"
LINK_LOCAL = "fe80:0000:0000:0000:ba3f:d2ff:fe4e:0001"
V4 = "0000:0000:0000:0000:0000:ffff:0a00:0001"


def test_a_pod_that_works_alone_gets_nothing() -> None:
    assert network.rendezvous({"JOB_COMPLETION_INDEX": "7", "RUNAI_NUM_OF_GPUS": "8"}) == {}
    assert network.rendezvous({"PET_NNODES": "1", "MASTER_ADDR": "m", "RANK": "0"}) == {}


def test_a_pod_of_an_indexed_job() -> None:
    given = {
        "PET_NNODES": "4",
        "PET_MASTER_ADDR": "train-0.train",
        "RUNAI_NUM_OF_GPUS": "8",
        "JOB_COMPLETION_INDEX": "3",
    }
    assert given | network.rendezvous(given) == {
        **given,
        "PET_NPROC_PER_NODE": "8",
        "PET_NODE_RANK": "3",
        "PET_MASTER_PORT": "29500",
        "MASTER_ADDR": "train-0.train",
        "MASTER_PORT": "29500",
        "RANK": "3",
        "WORLD_SIZE": "32",
    }


def test_a_pod_of_runai_keeps_what_runai_sets() -> None:
    given = {
        "PET_NNODES": "2",
        "RUNAI_NUM_OF_GPUS": "4",
        "WORLD_SIZE": "8",
        "RANK": "1",
        "LOCAL_RANK": "0",
        "MASTER_ADDR": "train-master-0",
        "MASTER_PORT": "23456",
    }
    assert network.rendezvous(given) == {
        "PET_NPROC_PER_NODE": "4",
        "PET_NODE_RANK": "1",
        "PET_MASTER_ADDR": "train-master-0",
        "PET_MASTER_PORT": "23456",
    }


def test_without_gpus_there_is_a_process_a_node() -> None:
    found = network.rendezvous({"PET_NNODES": "3", "PET_MASTER_ADDR": "m"})
    assert (found["PET_NPROC_PER_NODE"], found["WORLD_SIZE"], found["RUNAI_NUM_OF_GPUS"]) == ("1", "3", "0")


def sys_tree(root: Path, devices: Mapping[str, Mapping[str, object]]) -> tuple[RdmaPort, ...]:
    """Write the files of devices with one port each, and read them."""
    for device, about in devices.items():
        port = root / device / "ports/1"
        (port / "gids").mkdir(parents=True)
        (port / "gid_attrs/types").mkdir(parents=True)
        (port / "state").write_text(f"{about.get('state', '4: ACTIVE')}\n")
        (port / "link_layer").write_text(f"{about.get('link', 'Ethernet')}\n")
        gids = about.get("gids", ())
        assert isinstance(gids, tuple)
        for index, (gid, kind) in enumerate(gids):
            (port / f"gids/{index}").write_text(f"{gid}\n")
            if kind:
                (port / f"gid_attrs/types/{index}").write_text(f"{kind}\n")
    return read_rdma(str(root))


ROCE = ((LINK_LOCAL, "IB/RoCE v1"), (LINK_LOCAL, "RoCE v2"), (V4, "IB/RoCE v1"), (V4, "RoCE v2"), (NONE, ""))
SHORT = ((LINK_LOCAL, "RoCE v2"), (V4, "RoCE v2"))


@pytest.mark.parametrize(
    ("devices", "hca", "index", "chosen"),
    [
        ({"mlx5_bond_0": {"gids": ROCE}}, "mlx5_bond_", "3", "(1 port, RoCE v2, GID index 3)"),
        ({f"mlx5_{n}": {"gids": ROCE} for n in range(4)}, "mlx5_", "3", "(4 ports, RoCE v2, GID index 3)"),
        ({f"mlx5_{n}": {"link": "InfiniBand"} for n in (0, 3)}, "mlx5_", None, "(2 ports, InfiniBand)"),
        (
            {"mlx5_0": {"gids": ROCE}, "mlx5_1": {"gids": ROCE}, "mlx5_2": {"gids": SHORT}},
            "=mlx5_0:1,mlx5_1:1",
            "3",
            "(2 ports, RoCE v2, GID index 3)",
        ),
        (
            {"mlx5_0": {"state": "1: DOWN", "gids": ROCE}, "mlx5_1": {"gids": ROCE}},
            "=mlx5_1:1",
            "3",
            "(1 port, RoCE v2, GID index 3)",
        ),
        ({"mlx5_bond_0": {"gids": ROCE}, "mlx5_9": {"state": "1: DOWN"}}, "mlx5_bond_", "3", "(1 port"),
    ],
    ids=["one bond", "four HCAs", "InfiniBand", "indices that differ", "a port is down", "another kind is down"],
)
def test_devices_are_chosen(
    tmp_path: Path, devices: dict[str, dict[str, object]], hca: str, index: str | None, chosen: str
) -> None:
    found = network.rdma(ASKED, sys_tree(tmp_path, devices))
    assert found.variables.pop("NCCL_SOCKET_NTHREADS") == "4"
    assert found.variables.pop("NCCL_NSOCKS_PERTHREAD") == "8"
    assert found.variables == {"NCCL_IB_HCA": hca, **({"NCCL_IB_GID_INDEX": index} if index else {})}
    assert f"RDMA through {hca} {chosen}" in found.chosen
    assert not found.missing


@pytest.mark.parametrize(
    ("devices", "why"),
    [
        ({}, "the pod has no RDMA device"),
        ({"mlx5_0": {"state": "1: DOWN", "gids": ROCE}}, "all its ports are down"),
        ({"mlx5_0": {"gids": ((LINK_LOCAL, "RoCE v2"), (V4, "IB/RoCE v1"))}}, "no active port has a RoCE v2 address"),
        ({"mlx5_0": {"state": "", "link": "", "gids": (("nonsense", "RoCE v2"), (V4, ""))}}, "all its ports are down"),
        ({"mlx5_0": {"gids": (("nonsense", "RoCE v2"), (V4, ""))}}, "no active port has a RoCE v2 address"),
    ],
    ids=["none", "down", "no address", "malformed", "malformed addresses"],
)
def test_why_there_is_none_is_told_where_it_was_asked_for(
    tmp_path: Path, devices: dict[str, dict[str, object]], why: str
) -> None:
    ports = sys_tree(tmp_path, devices)
    found = network.rdma(ASKED, ports)
    assert not found.variables
    assert found.missing == f"rdma/rdma=1 was asked for, but {found.missing.split('but ')[1]}"
    assert why in found.missing
    assert not network.rdma({}, ports).missing


def test_what_is_no_port_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "mlx5_0/ports/x").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    assert read_rdma(str(tmp_path)) == ()
    assert read_rdma(str(tmp_path / "absent")) == ()


def test_the_users_own_choice_stays(environ: dict[str, str], machine: host.Host) -> None:
    port = RdmaPort("mlx5_0", 1, True, "Ethernet", 3)
    wanted = settings.from_environ({**environ, "NCCL_IB_HCA": "mlx5_7", "PET_NNODES": "2", "MASTER_ADDR": "m"})
    found = environment.session(wanted, changed(machine, rdma=(port,)))
    assert (found.get("NCCL_IB_HCA", "mlx5_7"), found["NCCL_IB_GID_INDEX"]) == ("mlx5_7", "3")
    assert found["PET_MASTER_ADDR"] == "m"


def test_the_step_tells(environ: dict[str, str], machine: host.Host) -> None:
    port = RdmaPort("mlx5_0", 1, True, "Ethernet", 3)
    wanted = settings.from_environ({**environ, **ASKED})
    (told,) = step.plan(wanted, changed(machine, rdma=(port,)))
    assert isinstance(told, actions.Tell)
    (warned,) = step.plan(wanted, machine)
    assert isinstance(warned, actions.Warn)
    assert list(step.plan(settings.from_environ(environ), machine)) == []
