"""Learns how Swiss places are named, letter by letter, and makes some names up.

The model is log-linear in the last letters, and pure Python. What counts is what any job on a cluster needs: its data
come from scratch, its loss is in the log, and its checkpoint is never half-written. A run that is told to stop writes
it and ends; the next one goes on from there. How, for any model, is docs/examples/train.py.
"""

# ruff: noqa: S311  # chance, not cryptography

import argparse
import json
import math
import os
import random
import signal
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
DATA = HERE / "places.txt"
CHECKPOINT = HERE / "checkpoint.json"

LETTERS_BACK = 3  # how many letters the model sees of what comes before the next one
LEARNING_RATE = 0.02
END = "."  # before and after each name


def examples(names):
    """Pairs of a context and the letter that follows it."""
    for name in names:
        padded = END * LETTERS_BACK + name + END
        for at in range(LETTERS_BACK, len(padded)):
            yield padded[at - LETTERS_BACK : at], padded[at]


def probabilities(weights, context):
    """How likely each letter comes next: the softmax of one row of weights for each letter of the context."""
    rows = [weights[back][letter] for back, letter in enumerate(context)]
    scores = [math.exp(sum(column)) for column in zip(*rows, strict=True)]
    total = sum(scores)
    return rows, [score / total for score in scores]


def train_epoch(weights, alphabet, names):
    """One pass of stochastic gradient descent; returns the mean loss."""
    loss = count = 0
    for context, letter in examples(names):
        rows, likely = probabilities(weights, context)
        target = alphabet.index(letter)
        loss -= math.log(likely[target])
        count += 1
        likely[target] -= 1  # now the gradient
        for row in rows:
            for column, slope in enumerate(likely):
                row[column] -= LEARNING_RATE * slope
    return loss / count


def mean_loss(weights, alphabet, names):
    """The mean loss on names that the training does not see."""
    losses = [
        -math.log(probabilities(weights, context)[1][alphabet.index(letter)]) for context, letter in examples(names)
    ]
    return sum(losses) / len(losses)


def made_up(weights, alphabet, chance):
    """A name that the model makes up."""
    name = ""
    while not name.endswith(END) and len(name) < 20:
        context = (END * LETTERS_BACK + name)[-LETTERS_BACK:]
        name += chance.choices(alphabet, probabilities(weights, context)[1])[0]
    return name.rstrip(END).capitalize()


def save(state):
    """Replace the checkpoint as a whole: whoever reads it, even after a crash, finds the old one or the new one."""
    partial = CHECKPOINT.with_suffix(".partial")
    with partial.open("w") as file:
        json.dump(state, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(CHECKPOINT)


def log(text):
    """A line that is in the job's log at once."""
    print(text, flush=True)


def main():
    """From the checkpoint, if there is one, to the end of the training."""
    parser = argparse.ArgumentParser(description="Learns how Swiss places are named.")
    parser.add_argument("--epochs", type=int, default=10, help="how many (more) passes over the data; default: 10")
    epochs = parser.parse_args().epochs

    stop = []
    signal.signal(signal.SIGTERM, lambda number, frame: stop.append(number))

    names = DATA.read_text(encoding="utf-8").split()
    held_out, training = names[::10], [name for at, name in enumerate(names) if at % 10]
    alphabet = sorted({END, *"".join(names)})
    log(f"{len(training)} names to learn from, {len(held_out)} held out, {len(alphabet)} letters")

    if CHECKPOINT.exists():
        state = json.loads(CHECKPOINT.read_text())
        log(f"resuming from {CHECKPOINT.name} at epoch {state['epoch']}")
    else:
        weights = [{letter: [0.0] * len(alphabet) for letter in alphabet} for _ in range(LETTERS_BACK)]
        state = {"epoch": 0, "goal": 0, "weights": weights}
        log("starting anew")
    if state["epoch"] >= state["goal"]:  # else the last run was stopped: this one completes it
        state["goal"] = state["epoch"] + epochs

    while state["epoch"] < state["goal"]:
        began = time.perf_counter()
        # The order depends on the epoch alone: a run that was stopped ends where it would have without.
        order = random.Random(state["epoch"]).sample(training, len(training))
        loss = train_epoch(state["weights"], alphabet, order)
        state["epoch"] += 1
        save(state)
        log(
            f"epoch {state['epoch']:3} of {state['goal']}  loss {loss:.3f}  "
            f"held out {mean_loss(state['weights'], alphabet, held_out):.3f}  {time.perf_counter() - began:.2f} s"
        )
        if stop and state["epoch"] < state["goal"]:
            log(f"told to stop: the checkpoint is at epoch {state['epoch']}")
            sys.exit(128 + stop[0])  # not 0: a job that was stopped is not done

    chance = random.Random(state["epoch"])
    log("made up: " + ", ".join(made_up(state["weights"], alphabet, chance) for _ in range(6)))


if __name__ == "__main__":
    main()
