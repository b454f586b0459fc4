"""Property tests draw the same examples on every run; no test touches the user's own models."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("house", derandomize=True, deadline=None, database=None)
settings.load_profile("house")


@pytest.fixture(scope="session", autouse=True)
def own_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store of weights, and a cache, that live and die with the tests."""
    for name in ("VEDETTE_MODELS", "VEDETTE_CACHE", "HF_HUB_CACHE"):
        os.environ[name] = str(tmp_path_factory.mktemp(name.lower()))
    os.environ["HF_HUB_OFFLINE"] = "1"
    return Path(os.environ["VEDETTE_MODELS"])


@pytest.fixture(scope="session")
def store(own_store: Path) -> Path:
    """The store with tiny checkpoints of random weights for every model, and real heads."""
    from tests import zoo  # torch and transformers, which most tests can do without

    zoo.whole_store(own_store)
    return own_store
