"""Logistic regression: scikit-learn's, to three decimals and more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from tests.train.probe.drawn import LABELS, drawn
from vedette.errors import VedetteError
from vedette.train.probe.logistic import STRENGTHS, fit, fit_best, standard
from vedette.train.probe.samples import Samples
from vedette.train.weighing import ClassWeights, weighing


def correlated(samples: Samples) -> Samples:
    """Dimensions that go together, of very different sizes, far from 0, and a constant one."""
    rng = np.random.default_rng(5)
    dim = samples.x.shape[1]
    x = samples.x @ rng.normal(size=(dim, dim)) * np.logspace(-2, 2, dim) + rng.normal(size=dim) * 9
    x[:, 3] = 0.1
    return replace(samples, x=x.astype(np.float32))


TRAIN, OTHER = correlated(drawn(400)), correlated(drawn(150, seed=8))


def fitted(samples: Samples, strength: float, given: ClassWeights) -> tuple[np.ndarray, np.ndarray]:
    """Weights [dim, labels] and intercepts [labels], over raw embeddings."""
    by = standard(samples.x)
    targets, known = samples.targets, samples.known
    weights = weighing(targets, known, given).of(targets, known).astype(np.float64)
    count = len(samples.labels)
    return by.folded(fit(by(samples.x), samples.targets, weights, np.full(count, float(strength))))


@pytest.mark.parametrize("given", ["none", "balanced"])
@pytest.mark.parametrize("strength", [1e-3, 1.0, 100.0])
def test_the_weights_are_scikit_learns(strength: float, given: ClassWeights) -> None:
    raw, bias = fitted(TRAIN, strength, given)

    for k in range(len(LABELS)):
        known = TRAIN.known[:, k]
        scaler = StandardScaler().fit(TRAIN.x.astype(np.float64))
        its = LogisticRegression(
            C=strength,
            class_weight=None if given == "none" else given,
            solver="newton-cholesky",
            tol=1e-12,
            max_iter=1000,
        ).fit(scaler.transform(TRAIN.x[known].astype(np.float64)), TRAIN.targets[known, k])
        # Compared over standardised embeddings, where both are regularised.
        np.testing.assert_allclose(raw[:, k] * scaler.scale_, its.coef_[0], atol=1e-3)
        np.testing.assert_allclose(bias[k] + scaler.mean_ @ raw[:, k], its.intercept_[0], atol=1e-3)


def test_a_label_is_fitted_as_if_it_were_alone() -> None:
    together, _ = fitted(TRAIN, 1.0, "none")

    for k in range(len(LABELS)):
        alone, _ = fitted(TRAIN.of([k]), 1.0, "none")
        np.testing.assert_allclose(together[:, k], alone[:, 0], rtol=1e-6, atol=1e-9)


def test_the_strength_chosen_has_the_least_loss_on_other_images() -> None:
    by = standard(TRAIN.x)
    x, other = by(TRAIN.x), by(OTHER.x)
    known, other_known = TRAIN.known.astype(np.float64), OTHER.known.astype(np.float64)

    found = fit_best(x, TRAIN.targets, known, (other, OTHER.targets, other_known))

    for k in range(len(LABELS)):
        losses = []
        for strength in STRENGTHS:
            one = fit(x, TRAIN.targets[:, [k]], known[:, [k]], np.array([strength]))
            p = 1 / (1 + np.exp(-(other @ one)[:, 0]))
            losses.append(log_loss(OTHER.targets[:, k], p, sample_weight=other_known[:, k]))
        # The curve has one valley here: that weaker strengths are not tried loses nothing.
        assert found.strength[k] == STRENGTHS[int(np.argmin(losses))]
        best = fit(x, TRAIN.targets[:, [k]], known[:, [k]], found.strength[[k]])
        np.testing.assert_allclose(found.weights[:, k], best[:, 0], atol=1e-5)


def test_classes_that_can_be_told_apart_wholly_are_no_hindrance() -> None:
    x = np.concatenate([np.full((20, 3), -1.0), np.full((20, 3), 1.0)])
    targets = np.arange(40)[:, None] >= 20
    by = standard(x)

    weights = fit(by(x), targets, np.ones((40, 1)), np.array([1e3]))

    assert ((by(x) @ weights >= 0) == targets).all()


def test_embeddings_that_are_no_numbers_are_an_error_and_no_endless_loop() -> None:
    x = np.ones((40, 4))
    x[3, 2] = np.nan

    with pytest.raises(VedetteError) as caught:
        fit(x, np.arange(40)[:, None] >= 20, np.ones((40, 1)), np.array([1.0]))

    assert caught.value.code == "training_failed"
