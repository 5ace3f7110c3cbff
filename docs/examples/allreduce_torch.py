"""The same sum with torch, on GPUs (NCCL) or processors (gloo): `torchrun allreduce_torch.py`."""

from __future__ import annotations

import os
import socket

import torch
import torch.distributed as dist


def main() -> None:
    """Each process gives its rank + 1, and has the sum of all."""
    device, backend = torch.device("cpu"), "gloo"
    if torch.cuda.is_available():
        device, backend = torch.device("cuda", int(os.environ["LOCAL_RANK"])), "nccl"
        torch.cuda.set_device(device)
    dist.init_process_group(backend)
    rank, processes = dist.get_rank(), dist.get_world_size()
    number = torch.tensor(rank + 1, device=device)
    dist.all_reduce(number)
    print(f"rank {rank} of {processes} on {socket.gethostname()}: the sum is {number.item()} ({backend})", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
