"""A stand-in for `runai`, version 1 or 2: strict as to flags, it records what it is given.

`install` puts it on PATH. Its environment steers it:

    MLO_STANDIN_LOG         a file to which it appends its argv, a JSON list a line
    MLO_STANDIN_KUBECONFIG  a cluster in which it makes what run:ai would, in runai-PROJECT, through kubectl

Without a cluster a submission succeeds, and no job exists afterwards. An unknown flag, a flag without its value, and a
value that cannot be end with exit code 2; an unknown command with 1, as it does there.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import Literal, NoReturn

Version = Literal["v1", "v2.18", "v2.25"]

ROOT = Path(__file__).resolve().parents[3]


def install(directory: Path, version: Version) -> Path:
    """Write an executable `runai` of that version into a directory."""
    path = directory / "runai"
    path.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        f"from tests.standins.runai import main\nmain({version!r}, sys.argv[1:])\n"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def main(version: Version, argv: list[str]) -> NoReturn:
    """What `runai` does."""
    from tests.standins.runai import v1, v2
    from tests.standins.runai.flags import Wrong

    if log := os.environ.get("MLO_STANDIN_LOG"):
        with Path(log).open("a") as file:
            file.write(json.dumps(argv) + "\n")
    try:
        code = v1.run(argv) if version == "v1" else v2.run(version, argv)
    except Wrong as error:
        print(f"Error: {error}", file=sys.stderr)
        code = error.code
    sys.exit(code)
