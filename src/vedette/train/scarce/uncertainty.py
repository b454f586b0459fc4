"""How close a model is to deciding the other way, for each image and category.

A probability is compared with the policy's own threshold: moved in log-odds so that the threshold
comes to one half, its binary entropy is 1 bit where the decision is open and 0 where it is sure.
An image is as uncertain as the category that is least decided about it, since one category is
enough to flag it.

Source: Settles, "Active learning literature survey" (2009), section 3.1: uncertainty sampling.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from vedette.calibrate import log_odds, sigmoid
from vedette.policy import Policy
from vedette.taxonomy import Category
from vedette.types import Scores

Float64 = NDArray[np.float64]


def thresholds(policy: Policy) -> dict[Category, float]:
    """From which probability on the policy does not allow an image, by category in scope."""
    found = {}
    for category, rule in policy.categories.items():
        told = [value for value in (rule.review, rule.block) if value is not None]
        if told:
            found[category] = min(told)
    return found


def moved(scores: Scores, at: Mapping[Category, float]) -> Float64:
    """float64 [categories of ``at``]: probabilities, the threshold moved to one half; 0 where the
    model cannot see the category."""
    told = [scores[category] for category in at]
    p = np.array([0.0 if value is None else value for value in told], dtype=np.float64)
    q = sigmoid(log_odds(p) - log_odds(np.array(list(at.values()), dtype=np.float64)))
    return np.where([value is None for value in told], 0.0, q)


def entropy(q: Float64) -> Float64:
    """Binary entropy in bits, elementwise: 0..1, 1 at one half."""
    inner = np.clip(np.asarray(q, dtype=np.float64), 1e-12, 1 - 1e-12)
    return np.asarray(-(inner * np.log2(inner) + (1 - inner) * np.log2(1 - inner)))


def residual(q: Float64) -> Float64:
    """What the decision would be off by if it were true, elementwise: -1/2 .. 1/2.

    It is the gradient of the log loss by the logit, for the label that the model itself gives.
    """
    q = np.asarray(q, dtype=np.float64)
    return np.where(q >= 0.5, q - 1, q)
