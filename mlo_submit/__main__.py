"""`mlo-submit`, which also is `python -m mlo_submit`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line. A Ctrl-C while it is still imported, which takes a quarter of a second, is one, too."""
    try:
        from mlo_submit.cli import main as commands
    except KeyboardInterrupt:
        sys.exit(130)
    commands()


if __name__ == "__main__":
    main()
