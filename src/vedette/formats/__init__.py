"""Readers of other frameworks' weight files, without those frameworks and without pickle."""
