"""The discriminant that learns from sums is the one that sees all data at once."""

from __future__ import annotations

import numpy as np
import pytest

from vedette.curate.discriminant import Discriminant, Sums, fit, log_loss, softmax


def blobs(seed: int, count: int = 300, dim: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Four classes of different sizes with correlated features."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(4, count, p=[0.5, 0.3, 0.15, 0.05])
    labels[:8] = np.arange(8) % 4
    mix = rng.standard_normal((dim, dim))
    centres = 2 * rng.standard_normal((4, dim))
    return (centres[labels] + rng.standard_normal((count, dim))) @ mix + 3, labels


def sums_of(features: np.ndarray, labels: np.ndarray, pieces: int = 7) -> Sums:
    whole = Sums.empty(4, features.shape[1])
    for some in np.array_split(np.arange(len(labels)), pieces):
        whole.add(features[some], labels[some])
    return whole


@pytest.mark.parametrize("shrinkage", [0.003, 0.1, 0.5, 1.0])
def test_probabilities_are_scikit_learns(shrinkage: float) -> None:
    analysis = pytest.importorskip("sklearn.discriminant_analysis")
    features, labels = blobs(1)
    theirs = analysis.LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage)
    theirs.fit(features, labels)
    others, _ = blobs(2)

    model = fit(sums_of(features, labels), shrinkage)
    assert np.allclose(softmax(model.logits(others)), theirs.predict_proba(others), atol=1e-8)


def test_folds_put_together_are_the_whole() -> None:
    features, labels = blobs(3)
    parts = [sums_of(features[i::3], labels[i::3], 2) for i in range(3)]
    whole, joined = sums_of(features, labels), Sums.together(parts)

    assert np.allclose(whole.gram, joined.gram)
    assert np.allclose(whole.sums, joined.sums)
    assert np.array_equal(whole.counts, joined.counts)


def test_scaled_sums_are_the_sums_of_scaled_features() -> None:
    features, labels = blobs(4)
    features[:, 3] = 5.0
    sums = sums_of(features, labels)
    scale = sums.scale()

    assert scale[3] == 0
    assert np.allclose((features * scale).std(axis=0)[np.arange(12) != 3], 1)
    by_hand = sums_of(features * scale, labels)
    assert np.allclose(sums.scaled(scale).gram, by_hand.gram)
    model = fit(by_hand, 0.1)
    assert np.allclose(
        fit(sums.scaled(scale), 0.1).scaled(scale).logits(features),
        model.logits(features * scale),
    )


def test_a_class_that_was_not_seen_is_never_said() -> None:
    features, labels = blobs(5)
    kept = labels != 2
    model = fit(sums_of(features[kept], labels[kept]), 0.1)

    assert (softmax(model.logits(features))[:, 2] == 0).all()


def test_features_without_any_difference_give_the_shares_of_the_classes() -> None:
    labels = np.array([0, 0, 0, 1])
    sums = Sums.empty(2, 3)
    sums.add(np.ones((4, 3), np.float16), labels)

    assert np.allclose(softmax(fit(sums, 0.1).logits(np.ones((1, 3)))), [[0.75, 0.25]], atol=1e-3)


def test_the_loss_is_minus_the_log_of_the_probability() -> None:
    model = Discriminant(np.array([[2.0, 0], [0, 1], [300, 0]]), np.zeros(3))
    logits = model.logits(np.array([[1.0, 2], [-3, 5]]))
    labels = np.array([2, 1])

    probs = softmax(logits)[np.arange(2), labels]
    assert np.allclose(log_loss(logits, labels), -np.log(probs))
