"""Decisions, kept: a spool on the local disk first, then the database, in chains of hashes.

``keep`` takes them, ``spool`` holds them until the database has them, ``chain`` links them,
``verify`` finds what was changed afterwards, ``erasure`` forgets without breaking a chain.
"""
