"""`python -m mlo_submit` is `mlo-submit`."""

from mlo_submit.cli import main

main()
