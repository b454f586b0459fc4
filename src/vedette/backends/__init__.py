"""Backends: one compiled network behind :class:`~vedette.backends.base.Session`."""
