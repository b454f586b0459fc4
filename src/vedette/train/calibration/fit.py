"""Fitting a curve to scores and labels: temperature, Platt, beta, isotonic.

Sources: Guo et al. (ICML 2017); Platt (1999), in the form of Lin, Lin and Weng, "A note on Platt's
probabilistic outputs for support vector machines" (2007); Kull, Silva Filho and Flach (AISTATS
2017); Zadrozny and Elkan (KDD 2002). When which one: Niculescu-Mizil and Caruana, "Predicting good
probabilities with supervised learning" (ICML 2005): Platt's does better on few labels, isotonic
regression from about a thousand on.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vedette.calibrate import Calibrator, Float64, Method, log_odds, sigmoid
from vedette.train.calibration.isotonic import isotonic

LEAST = 10
"""Labels of either class: with fewer no curve is fitted."""
ISOTONIC_LABELS = 1_000
"""From here on ``auto`` also tries beta and isotonic."""
ISOTONIC_OF_EACH = 50
FOLDS = 5
_STEPS = 100
_HALVINGS = 40
_BISECTIONS = 60
_CONVERGED = 1e-12
_RIDGE = 1e-12
"""Lin, Lin and Weng's: keeps the Hessian invertible and moves nothing."""
_BETA_RIDGE = 1e-6
"""On standardised features: the fit is that without a penalty but where labels separate."""
_SHARPEST = 1e3
"""Inverse temperature at most: scores that separate the labels would ask for an endless one."""
_SAME = 1e-10
"""Scores that spread less are one score and rounding errors."""
Bools = NDArray[np.bool_]


def fit(method: Method, p: Float64, unsafe: Bools) -> Calibrator | None:
    """The curve of one method.

    Args:
        method: of :data:`vedette.calibrate.METHODS`.
        p: float64 [n], 0..1: the model's own probabilities.
        unsafe: bool [n]: the labels.

    Returns:
        None where there is no rising curve: there are labels of one class only, or the scores do
        not rise with the labels.
    """
    n, positives = len(p), int(unsafe.sum())
    if not 0 < positives < n:
        return None
    found = _FITS[method](np.asarray(p, dtype=np.float64), unsafe)
    if found is None:
        return None
    if method == "isotonic":
        x, y = (tuple(part.tolist()) for part in found)
        return Calibrator("isotonic", x=x, y=y, n=n, positives=positives)
    return Calibrator(method, tuple(found[0].tolist()), n=n, positives=positives)


def few(unsafe: Bools) -> bool:
    """Whether there are too few labels of a class for any curve."""
    positives = int(unsafe.sum())
    return min(positives, len(unsafe) - positives) < LEAST


def fit_auto(p: Float64, unsafe: Bools) -> Calibrator | None:
    """The curve of the method that so many labels bear.

    Fewer than :data:`LEAST` of a class: none. From :data:`ISOTONIC_LABELS` on, with
    :data:`ISOTONIC_OF_EACH` of each class: of platt, beta and isotonic the one with the lowest
    cross-validated Brier score. Else platt.
    """
    if few(unsafe):
        return None
    positives = int(unsafe.sum())
    scarcest = min(positives, len(unsafe) - positives)
    if len(unsafe) < ISOTONIC_LABELS or scarcest < ISOTONIC_OF_EACH:
        return fit("platt", p, unsafe)
    best: Method = "platt"
    least = np.inf
    methods: tuple[Method, ...] = ("platt", "beta", "isotonic")
    for method in methods:
        score = float(np.mean((crossed(method, p, unsafe) - unsafe) ** 2))
        if score < least:
            best, least = method, score
    return fit(best, p, unsafe)


def fitted(method: str, p: Float64, unsafe: Bools) -> Calibrator | None:
    """The curve of ``auto``, ``none`` or a method; None where there are too few labels for it."""
    if method == "none" or few(unsafe):
        return None
    if method == "auto":
        return fit_auto(p, unsafe)
    known: Method = next(one for one in _FITS if one == method)
    return fit(known, p, unsafe)


def crossed(method: str, p: Float64, unsafe: Bools) -> Float64:
    """Each label's probability by the curve of the other folds: float64 [n].

    What a curve does to labels that it was not fitted on. Folds are drawn evenly over both
    classes, by the order of the rows alone.
    """
    out = np.array(p, dtype=np.float64)
    fold = folds(unsafe)
    for held in range(FOLDS):
        rest = fold != held
        curve = fitted(method, p[rest], unsafe[rest])
        if curve is not None:
            out[~rest] = curve(p[~rest])
    return out


def folds(unsafe: Bools) -> NDArray[np.int64]:
    """int64 [n], 0..FOLDS-1: as many of each class in each, as near as can be."""
    fold = np.empty(len(unsafe), dtype=np.int64)
    for wanted in (False, True):
        mine = np.flatnonzero(unsafe == wanted)
        fold[mine] = np.arange(len(mine)) % FOLDS
    return fold


def _temperature(p: Float64, unsafe: Bools) -> tuple[Float64, ...] | None:
    signed = np.where(unsafe, 1.0, -1.0) * log_odds(p)

    def slope(sharpness: float) -> float:
        return -float(np.sum(signed * sigmoid(-signed * sharpness)))

    # The log-loss is convex in 1 / T: its slope rises, and the best is where it is 0.
    low, high = np.log(1 / _SHARPEST), np.log(_SHARPEST)
    if slope(float(np.exp(low))) >= 0:
        return None
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(float(np.exp(middle))) < 0 else (low, middle)
    return (np.array([np.exp(-(low + high) / 2)]),)


def _platt(p: Float64, unsafe: Bools) -> tuple[Float64, ...] | None:
    # Platt's targets: a label is taken for a little less than certain, so that scores that
    # separate the labels do not ask for an endless slope.
    positives = int(unsafe.sum())
    above, below = (positives + 1) / (positives + 2), 1 / (len(unsafe) - positives + 2)
    target = np.where(unsafe, above, below)
    weights = _logistic(log_odds(p)[:, None], target, _RIDGE)
    return None if weights is None or weights[0] <= 0 else (weights,)


def _beta(p: Float64, unsafe: Bools) -> tuple[Float64, ...] | None:
    inner = sigmoid(log_odds(p))  # a little inside 0..1, as the curve takes them
    features = np.stack([np.log(inner), -np.log1p(-inner)], axis=1)
    target = unsafe.astype(np.float64)
    weights = _logistic(features, target, _BETA_RIDGE)
    if weights is None or weights[0] < 0 or weights[1] < 0:
        # Kull et al.: a feature that would make the curve fall is left out.
        kept = 1 if weights is None or weights[0] < 0 else 0
        alone = _logistic(features[:, [kept]], target, _BETA_RIDGE)
        if alone is None or alone[0] <= 0:
            return None
        weights = np.array([0.0, 0.0, alone[1]])
        weights[kept] = alone[0]
    return (weights,)


def _isotonic(p: Float64, unsafe: Bools) -> tuple[Float64, ...] | None:
    x, y = isotonic(p, unsafe)
    return (x, y) if y[-1] > y[0] else None


_FITS: dict[Method, Callable[[Float64, Bools], tuple[Float64, ...] | None]] = {
    "temperature": _temperature,
    "platt": _platt,
    "beta": _beta,
    "isotonic": _isotonic,
}


def _logistic(features: Float64, target: Float64, ridge: float) -> Float64 | None:
    """Weights [k + 1], the intercept last, of the least log-loss, by damped Newton steps.

    Args:
        features: float64 [n, k]; standardised inside, so that scores in a narrow band do as well.
        target: float64 [n], 0..1.
        ridge: half of the penalty on each squared weight, after standardising.

    Returns:
        None where a feature does not vary.
    """
    mean, spread = features.mean(axis=0), features.std(axis=0)
    if not (spread > _SAME).all():
        return None
    inputs = np.append((features - mean) / spread, np.ones((len(features), 1)), axis=1)
    penalty = np.full(inputs.shape[1], ridge)
    prior = float(np.clip(target.mean(), 1e-6, 1 - 1e-6))
    weights = np.append(np.zeros(features.shape[1]), np.log(prior / (1 - prior)))

    def loss(at: Float64) -> float:
        z = inputs @ at
        return float(np.sum(np.logaddexp(0, z) - target * z) + penalty @ at**2)

    now = loss(weights)
    for _ in range(_STEPS):
        q = sigmoid(inputs @ weights)
        gradient = inputs.T @ (q - target) + 2 * penalty * weights
        hessian = (inputs.T * (q * (1 - q))) @ inputs + np.diag(2 * penalty + _RIDGE)
        step = np.linalg.lstsq(hessian, gradient, rcond=None)[0]
        if float(gradient @ step) < _CONVERGED:
            break
        size = 1.0
        for _ in range(_HALVINGS):
            if (after := loss(weights - size * step)) < now:
                break
            size /= 2
        else:
            break
        weights, now = weights - size * step, after
    slopes = weights[:-1] / spread
    return np.append(slopes, weights[-1] - float(slopes @ mean))
