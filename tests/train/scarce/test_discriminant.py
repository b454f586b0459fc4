"""The shrunken discriminant against the plain formula, with and without each image."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from vedette.train.examples import Bools
from vedette.train.scarce.discriminant import STRENGTHS, Float64, Scatter


def points(unsafe: int, safe: int, dim: int, seed: int = 0) -> tuple[Float64, Bools]:
    rng = np.random.default_rng(seed)
    y = np.r_[np.ones(unsafe, bool), np.zeros(safe, bool)]
    return rng.normal(size=(len(y), dim)) + 0.4 * y[:, None], y


def plain(x: Float64, y: Bools, kept: Bools, shrink: float) -> tuple[Float64, Float64]:
    """Direction and middle from the definition, over the images that are kept."""
    means = np.stack([x[kept & ~y].mean(axis=0), x[kept & y].mean(axis=0)])
    deviation = x - means[y.astype(int)]
    weight = np.where(y, 0.5 / y.sum(), 0.5 / (~y).sum()) * kept
    scatter = (deviation * weight[:, None]).T @ deviation
    direction = np.linalg.solve(scatter + shrink * np.eye(x.shape[1]), means[1] - means[0])
    return direction, means.mean(axis=0)


@pytest.mark.parametrize(("unsafe", "safe", "dim"), [(8, 8, 64), (3, 11, 40), (50, 20, 12)])
@pytest.mark.parametrize("strength", STRENGTHS[::3])
def test_direction_and_left_out_values_are_those_of_fits_without_each_image(
    unsafe: int, safe: int, dim: int, strength: float
) -> None:
    x, y = points(unsafe, safe, dim)
    scatter = Scatter(x, y)
    fitted = scatter.at(strength)
    shrink = strength * scatter._unit
    everyone = np.ones(len(y), dtype=np.bool_)

    direction, middle = plain(x, y, everyone, shrink)
    np.testing.assert_allclose(fitted.discriminant.weight, direction, rtol=1e-7, atol=1e-9)
    assert fitted.discriminant(middle[None])[0] == pytest.approx(0, abs=1e-9)
    for at in range(len(y)):
        kept = everyone.copy()
        kept[at] = False
        direction, middle = plain(x, y, kept, shrink)
        assert fitted.left_out[at] == pytest.approx((x[at] - middle) @ direction, rel=1e-6)


def test_with_next_to_no_shrinkage_it_is_scikit_learns_discriminant() -> None:
    x, y = points(60, 60, 10)
    found = Scatter(x, y).at(1e-9).discriminant
    theirs = LinearDiscriminantAnalysis(solver="lsqr").fit(x, y)

    # Theirs is in log-odds under Gaussians of that scatter; ours up to n / (n - 2) in size.
    cosine = found.weight @ theirs.coef_[0]
    cosine /= np.linalg.norm(found.weight) * np.linalg.norm(theirs.coef_[0])
    assert cosine == pytest.approx(1, abs=1e-9)
    assert np.mean((found(x) > 0) == theirs.predict(x)) == 1


def test_at_the_largest_strength_it_points_from_mean_to_mean() -> None:
    x, y = points(9, 9, 100)
    weight = Scatter(x, y).at(1e9).discriminant.weight
    means = x[y].mean(axis=0) - x[~y].mean(axis=0)

    assert weight @ means / np.linalg.norm(weight) / np.linalg.norm(means) == pytest.approx(1)


def test_one_image_of_a_class_is_refused() -> None:
    x, y = points(1, 9, 5)

    with pytest.raises(ValueError, match="two are needed"):
        Scatter(x, y)


def test_classes_of_one_point_each_repeated_have_a_direction() -> None:
    x = np.repeat(np.eye(2), 4, axis=0)
    fitted = Scatter(x, np.repeat([False, True], 4)).at(1.0)

    assert np.isfinite(fitted.left_out).all()
    assert (fitted.left_out[:4] < 0).all()
    assert (fitted.left_out[4:] > 0).all()
