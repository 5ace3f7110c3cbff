"""This machine, as far as a submission may know it: a snapshot, taken once, in `main`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

GPU_DEVICES = ("/dev/nvidiactl", "/dev/dxg")  # Linux, and Linux within Windows


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The laptop or server on which `mlo-submit` runs."""

    environ: Mapping[str, str] = field(repr=False)
    home: Path
    cwd: Path
    uid: int
    has_gpu: bool

    @classmethod
    def here(cls, environ: Mapping[str, str]) -> Machine:
        """The machine on which this process runs; `environ` is its environment."""
        home = Path(environ.get("HOME") or "/")
        try:
            cwd = Path.cwd()
        except FileNotFoundError:  # deleted under our feet
            cwd = home
        return cls(
            environ=environ,
            home=home,
            cwd=cwd,
            uid=os.getuid(),
            has_gpu=any(Path(device).exists() for device in GPU_DEVICES),
        )

    @property
    def config(self) -> Path:
        """Where the user's configuration of mlo lies."""
        return self._xdg("XDG_CONFIG_HOME", ".config")

    @property
    def data(self) -> Path:
        """Where the local scratch lies."""
        return self._xdg("XDG_DATA_HOME", ".local/share")

    @property
    def state(self) -> Path:
        """Where the secrets of local jobs lie while they run."""
        return self._xdg("XDG_STATE_HOME", ".local/state")

    @property
    def cache(self) -> Path:
        """Where lies what may be deleted at any time."""
        return self._xdg("XDG_CACHE_HOME", ".cache")

    def _xdg(self, variable: str, default: str) -> Path:
        base = self.environ.get(variable, "")
        return (Path(base) if base.startswith("/") else self.home / default) / "mlo"

    def which(self, tool: str) -> str | None:
        """The path of a program on PATH."""
        return shutil.which(tool, path=self.environ.get("PATH", os.defpath))

    def path(self, text: str) -> Path:
        """A path that the user wrote: `~` is their home, a relative one starts at the working directory."""
        if text == "~" or text.startswith("~/"):
            return self.home / text[2:]
        return self.cwd / text
