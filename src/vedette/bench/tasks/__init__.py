"""The tasks of a benchmark, one file each."""
