"""The dummy against a plain reading of what it says it computes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.pictures import drawn
from vedette.models.registry import build
from vedette.types import Image


@pytest.mark.parametrize("seed", range(4))
def test_probabilities_and_embedding(seed: int) -> None:
    pixels = np.asarray(drawn(seed, 32, 32))
    model = build("dummy")
    (prediction,) = model.infer([model.prepare(Image(pixels, "", 32, 32, "PNG"))])
    features = [
        float(pixels[8 * row : 8 * row + 8, 8 * column : 8 * column + 8, channel].mean()) / 255
        for row in range(4)
        for column in range(4)
        for channel in range(3)
    ]
    for k, p in enumerate(prediction.probs):
        logit = sum(
            (f - 0.5) * 0.8 * math.cos(1.7 * i * (k + 1) + k) for i, f in enumerate(features)
        )
        assert p == pytest.approx(1 / (1 + math.exp(2 - logit)), abs=1e-5)
    assert prediction.embedding is not None
    norm = math.sqrt(sum(f * f for f in features))
    np.testing.assert_allclose(prediction.embedding, np.array(features) / norm, atol=1e-5)
