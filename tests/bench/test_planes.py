"""t-SNE and UMAP keep groups together, are the same every time, and never give NaN."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from vedette.bench.planes import t_sne, umap_plane
from vedette.types import Float32

Plane = Callable[[Float32, int], np.ndarray]
both = pytest.mark.parametrize("plane", [t_sne, umap_plane])


@both
def test_groups_stay_together(plane: Plane) -> None:
    label = np.arange(60) % 3
    rows = 8 * np.eye(3, 20)[label] + np.random.default_rng(0).standard_normal((60, 20))

    points = plane(rows.astype(np.float32), 1)

    assert points.shape == (60, 2)
    away = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(away, np.inf)
    assert (label[away.argmin(axis=1)] == label).mean() > 0.95
    assert np.array_equal(points, plane(rows.astype(np.float32), 1))


@both
@pytest.mark.parametrize(
    "rows",
    [
        np.ones((20, 5)),
        np.zeros((20, 5)),
        np.repeat(np.eye(4), 5, axis=0),
        np.arange(20.0)[:, None],
        np.random.default_rng(0).random((10, 3)),
    ],
    ids=["alike", "zeros", "copies", "one dimension", "few"],
)
def test_odd_rows_still_have_places(plane: Plane, rows: np.ndarray) -> None:
    points = plane(rows.astype(np.float32), 0)

    assert points.shape == (len(rows), 2)
    assert np.isfinite(points).all()
