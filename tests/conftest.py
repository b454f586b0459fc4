"""Property tests draw the same examples on every run, and a slow machine does not fail them."""

from hypothesis import settings

settings.register_profile("house", derandomize=True, deadline=None, database=None)
settings.load_profile("house")
