"""A training that outlives its pod: `python3 train.py`. The pattern, for a model of yours.

* It starts from the last checkpoint: the same command begins the training and resumes it.
* At TERM it ends the step that it is in, writes a checkpoint, and ends with 143: it was stopped, and is not done. All
  that must fit into the grace period (`mlo-submit run --grace`).
* It writes one every few steps, too: when memory runs out, or a node dies, there is no TERM.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

CHECKPOINT = Path("checkpoint.json")  # in WORKING_DIR, which is on scratch

stops: list[int] = []


def stop(number: int, frame: FrameType | None) -> None:
    """Only remember it: the loop looks between two steps, when the state is whole."""
    os.write(1, b"TERM: a checkpoint follows this step\n")  # not print, which the signal may have interrupted
    stops.append(number)


def load() -> dict[str, float]:
    """The state at the last checkpoint, or at the beginning."""
    if not CHECKPOINT.exists():
        print("starting anew", flush=True)
        return {"step": 0, "loss": 1.0}
    state: dict[str, float] = json.loads(CHECKPOINT.read_text())  # torch.load
    print(f"resuming at step {state['step']}", flush=True)
    return state


def save(state: dict[str, float]) -> None:
    """Replace the checkpoint as a whole: whoever reads it, even after a crash, finds the old one or the new one."""
    partial = CHECKPOINT.with_suffix(".partial")
    with partial.open("w") as file:
        json.dump(state, file)  # torch.save, with the optimizer, the scheduler and the random states in it
        file.flush()
        os.fsync(file.fileno())
    partial.replace(CHECKPOINT)
    print(f"checkpoint at step {state['step']}", flush=True)


def train(state: dict[str, float], seconds: float) -> None:
    """One step. Yours trains a model."""
    time.sleep(seconds)
    state["step"] += 1
    state["loss"] *= 0.9


def main() -> None:
    """From the last checkpoint, if there is one, to the last step."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=1, help="how long a step takes")
    parser.add_argument("--every", type=int, default=10, help="steps between two checkpoints")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, stop)
    state = load()
    while state["step"] < options.steps:
        train(state, options.seconds)
        if stops or state["step"] % options.every == 0:
            save(state)
        if stops:
            sys.exit(128 + stops[0])
    print(f"trained: loss {state['loss']:.3f}", flush=True)


if __name__ == "__main__":
    main()
