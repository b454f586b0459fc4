from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vedette.heads.safety_checker import SafetyChecker
from vedette.types import Float32

RNG = np.random.default_rng(0)
SPECIAL = RNG.normal(size=(3, 768)).astype(np.float32)
CONCEPTS = RNG.normal(size=(17, 768)).astype(np.float32)


def rows_at(cosines: list[float]) -> Float32:
    """Embeddings of any length with these cosines to axes of their own."""
    row = np.zeros(64)
    row[: len(cosines)] = cosines
    row[63] = np.sqrt(1 - np.square(cosines).sum())
    return np.asarray(5 * row[None], dtype=np.float32)


def on_axes(special: list[float], concepts: list[float]) -> SafetyChecker:
    """A checker whose texts are axes, with these thresholds."""
    axes = np.eye(64, dtype=np.float32)
    return SafetyChecker(
        special_care_embeds=axes[: len(special)] * 3,
        special_care_embeds_weights=np.array(special, dtype=np.float32),
        concept_embeds=axes[len(special) : len(special) + len(concepts)] * 2,
        concept_embeds_weights=np.array(concepts, dtype=np.float32),
    )


def published(
    row: Float32, special: Float32, special_at: Float32, concepts: Float32, concepts_at: Float32
) -> tuple[list[float], bool]:
    """One picture's scores as the published code takes them, concept by concept."""

    def cosine(text: Float32) -> float:
        return float(row @ text / (np.linalg.norm(row) * np.linalg.norm(text)))

    scores, adjustment = [], 0.0
    for text, threshold in zip(special, special_at, strict=True):
        score = round(cosine(text) - float(threshold) + adjustment, 3)
        if score > 0:
            adjustment = 0.01
        scores.append(score)
    unsafe = False
    for text, threshold in zip(concepts, concepts_at, strict=True):
        score = round(cosine(text) - float(threshold) + adjustment, 3)
        unsafe |= score > 0
        scores.append(score)
    return scores, unsafe


@pytest.mark.parametrize("at", [-0.05, 0.0, 0.02, 0.04, 0.08])
def test_scores_and_decisions_are_the_published_ones(at: float) -> None:
    special_at = np.linspace(at - 0.02, at + 0.02, 3).astype(np.float32)
    concepts_at = np.linspace(at, at + 0.05, 17).astype(np.float32)
    head = SafetyChecker(
        special_care_embeds=SPECIAL,
        special_care_embeds_weights=special_at,
        concept_embeds=CONCEPTS,
        concept_embeds_weights=concepts_at,
    )
    rows = RNG.normal(size=(150, 768)).astype(np.float32)

    scores = head.scores(rows)

    probabilities = head.probabilities(scores)
    decided = set()
    for k, row in enumerate(rows):
        wanted, unsafe = published(row, SPECIAL, special_at, CONCEPTS, concepts_at)
        # Rounding to thousandths may turn a cosine's last bit into one of them.
        np.testing.assert_allclose(scores[k], wanted, rtol=0, atol=1.001e-3)
        agree = np.abs(scores[k] - wanted) < 1e-5
        assert agree.mean() > 0.9
        if agree.all():
            assert bool((probabilities[k, 3:] > 0.5).any()) == unsafe
            decided.add(unsafe)
    assert decided


def test_labels_put_special_care_first() -> None:
    head = on_axes([0.1] * 3, [0.1] * 17)

    assert (head.dim, head.unit) == (64, True)
    assert head.labels[:4] == ("special-care-1", "special-care-2", "special-care-3", "concept-01")
    assert head.labels[-1] == "concept-17"
    assert len(head.labels) == 20


def test_special_care_makes_what_comes_after_stricter() -> None:
    head = on_axes([0.2, 0.2, 0.2], [0.2, 0.2])

    careless = head.scores(rows_at([0.1, 0.1, 0.1, 0.195, 0.15]))
    careful = head.scores(rows_at([0.1, 0.21, 0.1, 0.195, 0.15]))

    np.testing.assert_allclose(careless[0], [-0.1, -0.1, -0.1, -0.005, -0.05], atol=1e-6)
    # The one before it stays; itself is not raised; the one after it and the concepts are.
    np.testing.assert_allclose(careful[0], [-0.1, 0.01, -0.09, 0.005, -0.04], atol=1e-6)


def test_one_picture_does_not_make_another_stricter() -> None:
    head = on_axes([0.2], [0.2])
    careful, careless = rows_at([0.3, 0.195]), rows_at([0.1, 0.195])

    both = head.scores(np.concatenate([careful, careless]))

    np.testing.assert_array_equal(both[:1], head.scores(careful))
    np.testing.assert_array_equal(both[1:], head.scores(careless))


@pytest.mark.parametrize(
    ("cosine", "unsafe"),
    [(0.2, False), (0.2004, False), (0.2006, True), (0.19, False), (0.9, True)],
)
def test_the_rounded_score_decides(cosine: float, unsafe: bool) -> None:
    head = on_axes([0.9], [0.2])

    scores = head.scores(rows_at([0.0, cosine]))

    assert bool(scores[0, 1] > 0) == unsafe
    assert bool(head.probabilities(scores)[0, 1] > 0.5) == unsafe


def test_half_is_passed_exactly_above_zero() -> None:
    head = on_axes([0.2], [0.2])
    thousandths = np.round(np.arange(-2000, 2001) / 1000, 3).astype(np.float32)[:, None]

    probabilities = head.probabilities(thousandths)

    np.testing.assert_array_equal(probabilities > 0.5, thousandths > 0)
    assert probabilities.dtype == np.float32
    assert ((probabilities >= 0) & (probabilities <= 1)).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"concept_embeds": CONCEPTS[:, :700]},
        {"concept_embeds": CONCEPTS[0]},
        {"concept_embeds_weights": np.zeros(16, np.float32)},
        {"special_care_embeds_weights": np.zeros((3, 1), np.float32)},
        {"special_care_embeds": np.full((3, 768), np.nan, np.float32)},
        {"concept_embeds_weights": np.full(17, np.inf, np.float32)},
    ],
)
def test_arrays_that_do_not_fit_are_an_error(changes: dict[str, Any]) -> None:
    arrays: dict[str, Any] = {
        "special_care_embeds": SPECIAL,
        "special_care_embeds_weights": np.zeros(3, np.float32),
        "concept_embeds": CONCEPTS,
        "concept_embeds_weights": np.zeros(17, np.float32),
    }

    with pytest.raises(ValueError, match="concept"):
        SafetyChecker(**{**arrays, **changes})
