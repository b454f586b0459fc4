"""Confident learning: the counts and candidates are those of its authors' cleanlab."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.curate.confident import candidates, confident_joint


def some(seed: int, count: int, classes: int, sharp: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels of which each class has one, and probabilities that partly agree with them."""
    rng = np.random.default_rng(seed)
    labels = np.r_[np.arange(classes), rng.integers(0, classes, count)]
    logits = rng.standard_normal((len(labels), classes)) * sharp
    logits[np.arange(len(labels)), labels] += 1
    probs = np.exp(logits)
    return labels, probs / probs.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("classes", [2, 3, 12])
@pytest.mark.parametrize("sharp", [0.3, 1.0, 4.0])
def test_the_joint_and_the_candidates_are_cleanlabs(classes: int, sharp: float) -> None:
    count = pytest.importorskip("cleanlab.count")
    filters = pytest.importorskip("cleanlab.filter")
    for seed in range(8):
        labels, probs = some(seed, 40 * classes, classes, sharp)
        joint = confident_joint(labels, probs)
        theirs = count.compute_confident_joint(labels, probs, calibrate=False)
        assert np.array_equal(joint.counts, theirs)
        assert np.allclose(joint.thresholds, count.get_confident_thresholds(labels, probs))

        ranked = filters.find_label_issues(
            labels,
            probs,
            filter_by="confident_learning",
            return_indices_ranked_by="normalized_margin",
            n_jobs=1,
        )
        ours = candidates(labels, probs, joint)
        assert set(ours.rows.tolist()) == set(ranked.tolist())
        order = ours.margins[[ours.rows.tolist().index(row) for row in ranked.tolist()]]
        assert (np.diff(order) >= -1e-12).all(), "the same order, ties aside"


@given(
    seed=st.integers(0, 10**6),
    count=st.integers(0, 60),
    classes=st.integers(2, 6),
    sharp=st.floats(0.1, 6),
)
def test_what_always_holds(seed: int, count: int, classes: int, sharp: float) -> None:
    labels, probs = some(seed, count, classes, sharp)
    joint = confident_joint(labels, probs)
    found = candidates(labels, probs, joint)

    assert (np.diag(joint.counts) >= 1).all()
    assert joint.counts.sum() <= len(labels) + classes
    assert ((joint.noise >= 0) & (joint.noise < 1)).all()
    assert (found.suggested != labels[found.rows]).all()
    assert (found.margins < 0).all()
    assert (np.diff(found.margins) >= 0).all()
    assert len(np.unique(found.rows)) == len(found.rows)
    # A stricter margin names a part of what a laxer one does, in the same order.
    strict = candidates(labels, probs, joint, margin=0.3)
    assert strict.rows.tolist() == found.rows[found.margins < -0.3 - 1e-6].tolist()
    # The names of the classes do not matter.
    turn = np.roll(np.arange(classes), 1)
    turned = confident_joint(turn[labels], probs[:, np.argsort(turn)])
    assert np.array_equal(turned.counts[np.ix_(turn, turn)], joint.counts)


def test_sure_and_right_probabilities_name_nothing() -> None:
    labels = np.repeat([0, 1, 2], 5)
    probs = np.eye(3)[labels] * 0.94 + 0.02

    joint = confident_joint(labels, probs)
    assert joint.counts.tolist() == [[5, 0, 0], [0, 5, 0], [0, 0, 5]]
    assert not len(candidates(labels, probs, joint).rows)
    assert not joint.noise.any()


def test_a_class_without_images_takes_none() -> None:
    labels = np.array([0, 0, 1, 1])
    probs = np.array([[0.1, 0.1, 0.8], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.8, 0.1]])

    joint = confident_joint(labels, probs)
    assert joint.thresholds[2] > 1
    assert joint.counts[:, 2].tolist() == [0, 0, 1]
