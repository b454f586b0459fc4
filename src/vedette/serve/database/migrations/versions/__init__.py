"""The changes, in order: each file names the one before it."""
