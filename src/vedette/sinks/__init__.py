"""Sinks: what Records are written to, one file each."""
