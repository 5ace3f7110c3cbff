"""Who follows a page: types its commands, answers what they ask, and compares what they print."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.examples import ROOT, Example, matches

SECONDS = 60  # nearly nothing on a page takes half of it
ASKS = "mlo-submit init"
LOOKS = re.compile(r"mlo-submit (?:--backend \w+ )?(?:list|describe|queue|doctor|code)\b")
"""What can be repeated until it shows what is on the page: a cluster takes its time."""


@dataclass(frozen=True)
class Reader:
    """A project, an environment, what the words of the pages are called here, and the answers to `mlo-submit init`.

    An answer stands behind how its question begins. A command has `seconds`.
    """

    project: Path
    environ: Mapping[str, str]
    words: Mapping[str, str]
    answers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = SECONDS

    def here(self, text: str) -> str:
        for shown, real in self.words.items():
            text = text.replace(shown, real)
        return text

    def run(self, command: str) -> tuple[int, str]:
        """Type this into a shell. Returns the exit code, and what stood on the terminal, the answers with it."""
        questions = dict(self.answers) if ASKS in command else {}
        argv = ("timeout", str(self.seconds), "bash", "-euo", "pipefail", "-c", self.here(command))
        with subprocess.Popen(
            argv,
            env=self.environ,
            cwd=self.project,
            stdin=subprocess.PIPE if questions else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            assert process.stdout
            printed = b""
            while some := os.read(process.stdout.fileno(), 1 << 16):
                printed += some
                line = printed.decode(errors="replace").rpartition("\n")[2]
                asked = next((question for question in questions if line.startswith(question)), "")
                if asked and line.endswith(": "):
                    assert process.stdin
                    answer = f"{questions.pop(asked)}\n".encode()
                    process.stdin.write(answer)
                    process.stdin.flush() if questions else process.stdin.close()
                    printed += answer
        text = re.sub(" +$", "", printed.decode(), flags=re.MULTILINE)
        return process.returncode, text if text.endswith("\n") or not text else f"{text}\n"

    def follow(self, page: Path, examples: list[Example]) -> None:
        """Do what a page says, one block after the other; each must show what the page does."""
        for example in examples:
            for step in example.steps:
                shown = self.here(step.output)
                deadline = time.monotonic() + SECONDS / 2
                while True:
                    code, printed = self.run(step.command)
                    as_shown = matches(shown, printed) if shown else not code
                    if as_shown or time.monotonic() > deadline or not LOOKS.match(step.command):
                        break
                where = f"{page.relative_to(ROOT)}:{example.line}: {step.command}"
                assert as_shown, f"{where}shows\n{shown}but it ended with {code} and printed\n{printed}"
