"""A sum over all pods of a multi-node job, with sockets alone: `python3 allreduce.py [SECONDS]`.

It uses the variables that every pod has, as torchrun does. SECONDS is how long a rank tries to reach the master.
"""

from __future__ import annotations

import os
import socket
import sys
import time

RANK, NODES = int(os.environ["PET_NODE_RANK"]), int(os.environ["PET_NNODES"])
MASTER = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))


def gather(number: int) -> int:
    """Rank 0: take a number from each of the others, and give all of them the sum."""
    with socket.create_server(("", MASTER[1])) as server:
        ranks: list[socket.socket] = []
        while len(ranks) < NODES - 1:
            rank, _ = server.accept()
            if text := rank.recv(64):  # not from one that only looked whether somebody is there
                number += int(text)
                ranks.append(rank)
        for rank in ranks:
            rank.sendall(str(number).encode())
    return number


def give(number: int, seconds: float) -> int:
    """Every other rank: hand a number to rank 0, and wait for the sum."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with socket.create_connection(MASTER, timeout=5) as master:
                master.settimeout(None)
                master.sendall(str(number).encode())
                return int(master.recv(64))
        except OSError as error:
            if time.monotonic() > deadline:
                sys.exit(f"rank {RANK} does not reach {MASTER[0]}: {error}")
            time.sleep(0.2)


if __name__ == "__main__":
    total = give(RANK + 1, float(sys.argv[1] if sys.argv[1:] else 300)) if RANK else gather(1)
    print(f"rank {RANK} of {NODES} on {socket.gethostname()}: the sum is {total}", flush=True)
