"""Robustness: pictures, attacks and upload checks of one evaluation, and what they add up to."""
