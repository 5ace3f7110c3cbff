"""The commands of `mlo-submit`, one file for each group: flags to values, no decisions."""
