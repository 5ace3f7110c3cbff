"""The variables of a pod that works with others: rank and rendezvous, and NCCL over RDMA. Pure.

What the pod's environment has stays. run:ai sets WORLD_SIZE, RANK, MASTER_ADDR, MASTER_PORT, PET_NNODES and
RUNAI_NUM_OF_GPUS, Kubernetes the index of a Job's pod; torchrun reads PET_*.
"""

from __future__ import annotations

from .record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .host import RdmaPort

PORT = "29500"  # torchrun's own
ASKED = "MLO_RDMA"  # the resource that the job asked for, such as rdma/rdma=1

# For what still goes over TCP. NCCL opens threads times sockets connections, at most 64.
SOCKETS = {"NCCL_SOCKET_NTHREADS": "4", "NCCL_NSOCKS_PERTHREAD": "8"}


class Rdma(Record):
    """What was found out about RDMA: variables, and a sentence that tells of it; or why there is none."""

    variables: dict[str, str]
    chosen: str = ""
    missing: str = ""


def variables(environ: Mapping[str, str], ports: Sequence[RdmaPort]) -> dict[str, str]:
    """All that is derived."""
    return {**rendezvous(environ), **rdma(environ, ports).variables}


def rendezvous(environ: Mapping[str, str]) -> dict[str, str]:
    """Rank and rendezvous under the names of torchrun and of run:ai; nothing for a pod that works alone."""

    def first(*names: str) -> str:
        return next((environ[name] for name in names if environ.get(name)), "")

    gpus = first("PET_NPROC_PER_NODE", "RUNAI_NUM_OF_GPUS")
    processes = gpus if gpus.isdecimal() and gpus != "0" else "1"
    nodes = first("PET_NNODES")
    address = first("PET_MASTER_ADDR", "MASTER_ADDR")
    if not nodes.isdecimal() or int(nodes) < 2 or not address:
        return {}
    rank = first("PET_NODE_RANK", "RANK", "JOB_COMPLETION_INDEX") or "0"
    port = first("PET_MASTER_PORT", "MASTER_PORT") or PORT
    derived = {
        "PET_NNODES": nodes,
        "PET_NPROC_PER_NODE": gpus if gpus and gpus != "0" else "1",
        "PET_NODE_RANK": rank,
        "PET_MASTER_ADDR": address,
        "PET_MASTER_PORT": port,
        "MASTER_ADDR": address,
        "MASTER_PORT": port,
        "RANK": rank,
        "WORLD_SIZE": str(int(nodes) * int(processes)),
        "RUNAI_NUM_OF_GPUS": gpus if gpus.isdecimal() else "0",
    }
    return {name: value for name, value in derived.items() if not environ.get(name)}


def rdma(environ: Mapping[str, str], ports: Sequence[RdmaPort]) -> Rdma:
    """NCCL's choice of devices, and of the address by which RoCE reaches the others.

    NCCL has one GID index for all devices: where ports differ, those with the most common one are used.
    """
    asked = environ.get(ASKED, "")
    active = [port for port in ports if port.active]
    if not active:
        why = "all its ports are down" if ports else "the pod has no RDMA device"
        return Rdma({}, missing=f"{asked} was asked for, but {why}: NCCL goes over TCP" if asked else "")
    infiniband = [port for port in active if port.link == "InfiniBand"]
    indices = [port.gid_index for port in active if port.gid_index is not None]
    if infiniband:
        used, index = infiniband, None
    elif indices:
        index = max(sorted(set(indices)), key=indices.count)
        used = [port for port in active if port.gid_index == index]
    else:
        why = "no active port has a RoCE v2 address for IPv4"
        return Rdma({}, missing=f"{asked} was asked for, but {why}: NCCL goes over TCP" if asked else "")
    gid = {} if index is None else {"NCCL_IB_GID_INDEX": str(index)}
    found = {"NCCL_IB_HCA": _devices(used, ports), **gid, **SOCKETS}
    kind = "InfiniBand" if index is None else f"RoCE v2, GID index {index}"
    count = f"{len(used)} port{'s' if len(used) > 1 else ''}"
    return Rdma(
        {name: value for name, value in found.items() if not environ.get(name)},
        chosen=f"RDMA through {found['NCCL_IB_HCA']} ({count}, {kind})",
    )


def _devices(used: Sequence[RdmaPort], ports: Sequence[RdmaPort]) -> str:
    """As NCCL_IB_HCA has it: the prefix that the used devices share and no other has, else their exact names."""
    prefixes = {port.device.rstrip("0123456789") for port in used}
    if len(prefixes) == 1:
        (prefix,) = prefixes
        if all(port in used for port in ports if port.device.startswith(prefix)):
            return prefix
    return "=" + ",".join(f"{port.device}:{port.number}" for port in used)
