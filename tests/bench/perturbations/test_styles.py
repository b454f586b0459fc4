"""Styles against their definitions, and how they are blended."""

from __future__ import annotations

import numpy as np
import pytest

from tests.pictures import drawn
from vedette.bench.perturbations.pixels import floats, luma, mirrored, scale_of
from vedette.bench.perturbations.registry import perturbation
from vedette.bench.perturbations.styles import STRENGTHS, cartoon, oil_paint, pencil_sketch

PIXELS = np.asarray(drawn(5, 60, 44))


def test_oil_paint_is_the_kuwahara_filter() -> None:
    radius = 1 if scale_of(PIXELS) < 0.5 else 2
    values, grey = floats(PIXELS).astype(float), luma(floats(PIXELS)).astype(float)
    got = oil_paint(PIXELS)

    for y, x in ((0, 0), (5, 9), (20, 31), (43, 59), (30, 12)):
        squares = []
        for down in (-radius, radius):
            for across in (-radius, radius):
                centre_y = int(mirrored(np.array([y + down]), 44)[0])
                centre_x = int(mirrored(np.array([x + across]), 60)[0])
                rows = mirrored(np.arange(centre_y - radius, centre_y + radius + 1), 44)
                columns = mirrored(np.arange(centre_x - radius, centre_x + radius + 1), 60)
                inside = np.ix_(rows, columns)
                squares.append((grey[inside].var(), values[inside].mean(axis=(0, 1))))
        least = min(spread for spread, _ in squares)
        near = [mean for spread, mean in squares if spread < least + 1e-5]
        assert any(np.abs(got[y, x] - mean).max() < 1e-3 for mean in near), (y, x)


def test_a_sketch_is_grey_and_white_where_nothing_happens() -> None:
    plain = np.full((40, 40, 3), 90, dtype=np.uint8)
    sketch = pencil_sketch(PIXELS)

    assert (sketch[..., 0] == sketch[..., 2]).all()
    assert pencil_sketch(plain).min() > 0.98
    assert sketch.min() < 0.5 < sketch.mean()


def test_a_cartoon_is_flat_between_dark_outlines() -> None:
    # Both within one step of lightness: grain on the edge between two steps is drawn as patches.
    step = np.full((80, 80, 3), 219, dtype=np.uint8)
    step[:, 40:] = 109
    rng = np.random.default_rng(1)
    grained = np.clip(step + rng.normal(0, 6, (80, 80, 1)), 0, 255).astype(np.uint8)
    out = cartoon(grained)

    assert out[:, 5:30].std() < floats(grained)[:, 5:30].std() / 2
    assert out[10:70, 39:43].min() < out[10:70, 60:75].min() - 0.1


@pytest.mark.parametrize("name", ["oil-paint", "pencil-sketch", "cartoon"])
def test_strength_is_the_share_of_the_blend(name: str) -> None:
    kind = perturbation(name)
    assert kind.levels == STRENGTHS == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    rng = np.random.default_rng(1)
    moved = [kind.apply(PIXELS, level, rng).astype(float) - PIXELS for level in kind.levels]

    for level, by in zip(kind.levels, moved, strict=True):
        assert np.abs(by - moved[-1] * level / 0.6).max() < 1.6
