"""Classifiers: one file for each family, found by :mod:`vedette.models.registry`."""
