"""Reproducible traffic with a truth file, faults for the demo, and the sample logs that ship with the repository."""
