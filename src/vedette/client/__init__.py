"""The service from Python: one core of requests and answers as data, two thin shells over it.

:class:`~vedette.client.sync.Client` waits, :class:`~vedette.client.async_.AsyncClient` awaits.
"""
