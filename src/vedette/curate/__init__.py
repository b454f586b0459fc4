"""Checks on whole data sets: what is in them twice, wrong, or leaks; and collecting new ones."""
