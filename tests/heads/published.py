"""Where the published heads' own files are, for the tests that need them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vedette.types import Float32

SHARED_HEADS = Path(__file__).parents[3] / "shared" / "heads"
needs_heads = pytest.mark.skipif(
    not SHARED_HEADS.is_dir(), reason="the published heads are not beside this checkout"
)


def embeddings(count: int, dim: int, seed: int = 0) -> Float32:
    """Random embeddings, L2-normalised."""
    rows = np.random.default_rng(seed).normal(size=(count, dim))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)
