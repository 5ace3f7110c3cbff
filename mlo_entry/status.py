"""`mlo-status`: the boot of this pod as a small table."""

from __future__ import annotations

import json
import sys


def show(path: str) -> int:
    """Print the report at `path`. Returns the exit code: 1 where no boot left one."""
    try:
        with open(path) as file:
            told = json.load(file)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"mlo-status: no report of a boot: {error}\n")
        return 1
    print(f"{told['user']}, started as {told['start']}, ready in {told['ms']:.0f} ms\n")
    print(f"{'step':<10} {'ms':>8}  changed")
    for step in told["steps"]:
        first, *others = step["changed"] or ["-"]
        print(f"{step['step']:<10} {step['ms']:>8.1f}  {first}")
        for other in others:
            print(f"{'':<21}{other}")
    for warning in told["warnings"]:
        print(f"\nWARNING: {warning}")
    return 0
