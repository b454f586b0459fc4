"""Fitting calibrators, and choosing thresholds that keep a promise."""
