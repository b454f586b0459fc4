"""Glyphs and distractors are shapes of their own."""

from __future__ import annotations

import math
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from vedette.data.synth.glyphs import Figure, distractors, glyphs, mask
from vedette.taxonomy import Category

SIDE = 48
ALIKE = 0.8


def drawn(figure: Figure, degrees: float = 0.0, scale: float = 1.0) -> NDArray[np.float64]:
    turn = math.radians(degrees)
    cos, sin = math.cos(turn) * scale, math.sin(turn) * scale
    return np.asarray(mask(figure, np.array([[cos, -sin], [sin, cos]]), SIDE), dtype=np.float64)


def overlap(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Intersection over union of two soft masks."""
    return float(np.minimum(one, other).sum() / np.maximum(one, other).sum())


def test_every_category_has_a_glyph() -> None:
    assert list(glyphs()) == list(Category)


def test_no_two_shapes_are_alike_however_turned() -> None:
    marked = list(glyphs().values())
    others = list(distractors())
    turned = {
        id(figure): [drawn(figure, degrees) for degrees in range(0, 360, 15)]
        for figure in (*marked, *others)
    }
    pairs = [*combinations(marked, 2), *product(marked, others)]

    most = max(
        overlap(turned[id(one)][0], view) for one, other in pairs for view in turned[id(other)]
    )

    assert most < ALIKE
    # The measure itself sees one shape in two turns.
    box = marked[4]
    assert overlap(turned[id(box)][0], drawn(box, 90)) > ALIKE


def test_a_figure_stays_within_its_mask_however_turned() -> None:
    for figure in (*glyphs().values(), *distractors()):
        for degrees in (0, 30, 45, 77):
            view = drawn(figure, degrees)
            edge = np.concatenate([view[0], view[-1], view[:, 0], view[:, -1]])
            assert edge.max() == 0
            assert 0.03 < (view > 127).mean() < 0.5


def test_glyphs_and_distractors_cover_about_as_much() -> None:
    cover = [
        np.mean([(drawn(figure) > 127).mean() for figure in figures])
        for figures in (glyphs().values(), distractors())
    ]

    assert 0.75 < cover[0] / cover[1] < 1.33
