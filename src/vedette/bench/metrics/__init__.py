"""Metrics, intervals and tests, in numpy only; docs/metrics.md has the definitions."""
