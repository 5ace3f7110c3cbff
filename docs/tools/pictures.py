"""Draws the pictures of terminals in docs/assets anew, from what mlo-submit prints: `python -m docs.tools.pictures`.

It launches four jobs of Ada's in Docker on this machine, with the image MLO_IMAGE (else mlo:dev), runs on a terminal
each command that is shown, and deletes the jobs. Times and dates are those of the run.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from tests.terminal import Terminal

ROOT = Path(__file__).parents[2]
COLUMNS = 84
IMAGE = os.environ.get("MLO_IMAGE", "mlo:dev")
ENV = f"""\
LDAP_USERNAME=ada
LDAP_UID=123456
LDAP_GROUPNAME=mlo
LDAP_GID=83070
RUNAI_IMAGE={IMAGE}
WORKING_DIR=/mloscratch/homes/ada/names
MLO_BACKEND=docker
"""
TRAIN = "for epoch in $(seq 1 90); do echo epoch $epoch of 90; sleep 1; done"
JOBS = {
    "tokenize-names": ("--train", "--", "sh", "-c", "echo 273 names; sleep 1"),
    "train-small": ("--train", "--", "python3", "train.py"),  # which is not there
    "train-large": ("--train", "-t", "2h", "--", "sh", "-c", TRAIN),
    "notebook": ("-t", "4h"),
}
SHOWN = {"list": "list", "describe": "describe train-small", "doctor": "doctor"}
THEME = TerminalTheme(
    (22, 32, 38),
    (222, 232, 236),
    [(22, 32, 38), (240, 113, 120), (139, 205, 122), (242, 177, 52), (124, 183, 233), (205, 153, 232), (111, 208, 208),
     (222, 232, 236)],
    [(128, 146, 156), (255, 145, 150), (170, 225, 155), (250, 205, 110), (160, 207, 245), (224, 184, 245),
     (150, 230, 230), (255, 255, 255)],
)  # fmt: skip
# Nothing is fetched from elsewhere: whoever looks has a font.
FORMAT = re.sub(r"@font-face {{.*?}}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace(
    "Fira Code", "DejaVu Sans Mono"
)


def drawn(name: str, command: str, printed: str) -> str:
    """An SVG of a terminal in which this command printed this, colours and all."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
    shown = Text.from_ansi(printed.replace("\r\n", "\n"))
    shown.rstrip()
    console.print(shown)
    return console.export_svg(title="", theme=THEME, code_format=FORMAT, unique_id=name)


def main() -> None:
    """Launch the jobs, wait until they are as they are shown, and draw."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ada-", ignore_cleanup_errors=True)))
        (home / ".env").touch(mode=0o600)
        (home / ".env").write_text(ENV)
        environ = {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
        mlo = [sys.executable, "-m", "mlo_submit"]
        stack.callback(subprocess.run, [*mlo, "delete", "--yes", *JOBS], env=environ, cwd=home, check=False)
        for job, words in JOBS.items():
            subprocess.run([*mlo, "run", "-n", job, *words], env=environ, cwd=home, check=True)
        deadline = time.monotonic() + 60
        while not {"Succeeded", "Failed"} <= set(
            (states := subprocess.check_output([*mlo, "list"], env=environ, cwd=home, text=True)).split()
        ):
            if time.monotonic() > deadline:
                raise SystemExit(f"The jobs do not get on:\n{states}")
            time.sleep(0.5)
        for name, command in SHOWN.items():
            terminal = Terminal([*mlo, *command.split()], env=environ, cwd=home, rows=50, columns=COLUMNS)
            terminal.wait()
            printed = terminal.seen.decode().replace(str(home), "/home/ada")
            (ROOT / f"docs/assets/{name}.svg").write_text(drawn(name, f"mlo-submit {command}", printed))


if __name__ == "__main__":
    main()
