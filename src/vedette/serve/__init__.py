"""The service: the one pipeline behind HTTP, for platforms that check an upload before it is seen.

What a request costs is bounded before it is begun, every request ends, and what was not scanned is
never called safe.
"""
