"""Kappa against statsmodels, alpha against a published example and the definition."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vedette.annotate.agreement import (
    agreement,
    fleiss_kappa,
    krippendorff_alpha,
    rating_table,
)
from vedette.annotate.annotated import Annotated, Given, Picture
from vedette.annotate.protocol import Outcome, Protocol, Round, Safety
from vedette.errors import UsageError
from vedette.extras import require
from vedette.taxonomy import Category

# Krippendorff's example of four coders and twelve units ("Computing Krippendorff's
# Alpha-Reliability", 2011, section C); 0: missing. Nominal alpha there is 0.743.
CODERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
        [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
    ]
)


def table_of(coders: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.stack([(coders == value).sum(axis=0) for value in range(1, 6)], axis=1)


def test_kappa_is_statsmodels_on_200_random_tables() -> None:
    theirs = require("statsmodels.stats.inter_rater", extra="dev").fleiss_kappa
    rng = np.random.default_rng(20)
    differences: list[float] = []
    while len(differences) < 200:
        items, answers, raters = rng.integers(2, 60), rng.integers(2, 12), rng.integers(2, 9)
        table = rng.multinomial(raters, rng.dirichlet(np.ones(answers)), size=items)
        if (table.sum(axis=0) > 0).sum() > 1:
            ours = fleiss_kappa(table)
            assert ours is not None
            differences.append(abs(ours - theirs(table)))

    assert max(differences) < 1e-12


def test_kappa_of_the_published_example() -> None:
    # Fleiss 1971, as in many textbooks: 14 raters, 10 items, 5 answers; kappa 0.210.
    table = [
        *([0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1]),
        *([7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]),
    ]

    assert fleiss_kappa(table) == pytest.approx(0.20993, abs=1e-5)


def test_alpha_of_krippendorffs_example() -> None:
    assert krippendorff_alpha(table_of(CODERS)) == pytest.approx(0.743, abs=5e-4)


def by_definition(coders: NDArray[np.int64]) -> float | None:
    """Alpha from the coincidence matrix, pair by pair."""
    values = sorted(set(coders.ravel()) - {0})
    matrix = dict.fromkeys(((a, b) for a in values for b in values), 0.0)
    for unit in coders.T:
        given = [value for value in unit if value]
        for a, b in permutations(given, 2):
            matrix[a, b] += 1 / (len(given) - 1)
    count = {a: sum(matrix[a, b] for b in values) for a in values}
    n = sum(count.values())
    observed = sum(matrix[a, b] for a in values for b in values if a != b)
    expected = sum(count[a] * count[b] for a in values for b in values if a != b)
    return 1 - (n - 1) * observed / expected if expected else None


def test_alpha_is_that_of_the_coincidence_matrix() -> None:
    rng = np.random.default_rng(3)
    for _ in range(60):
        coders = rng.integers(0, 6, size=(rng.integers(2, 6), rng.integers(1, 20)))
        expected = by_definition(coders)
        found = krippendorff_alpha(table_of(coders))
        assert (found is None) == (expected is None)
        if expected is not None:
            assert found == pytest.approx(expected, abs=1e-12)


@given(st.integers(2, 5), st.integers(1, 30), st.integers(0, 4))
def test_one_answer_only_is_undefined_not_perfect(raters: int, items: int, column: int) -> None:
    table = np.zeros((items, 5), dtype=np.int64)
    table[:, column] = raters

    assert fleiss_kappa(table) is None
    assert krippendorff_alpha(table) is None


def test_nothing_to_compare_is_undefined() -> None:
    assert fleiss_kappa(np.zeros((0, 3), dtype=int)) is None
    assert krippendorff_alpha([[1, 0], [0, 1], [0, 0]]) is None


def test_full_agreement_on_two_answers_is_one() -> None:
    assert fleiss_kappa([[2, 0], [0, 2]]) == 1
    assert krippendorff_alpha([[2, 0], [0, 3], [1, 0]]) == 1


@pytest.mark.parametrize("table", [[1, 2], [[0.5, 1.5]], [[-1, 3]]])
def test_what_is_no_table_of_counts_is_refused(table: object) -> None:
    with pytest.raises(UsageError, match="no table of counts"):
        krippendorff_alpha(table)  # type: ignore[arg-type]


@pytest.mark.parametrize("table", [[[2, 0], [2, 1]], [[1, 0], [0, 1]]])
def test_kappa_refuses_unequal_or_single_annotators(table: object) -> None:
    with pytest.raises(UsageError, match="as many annotators"):
        fleiss_kappa(table)  # type: ignore[arg-type]


# Of a campaign


def annotated(key: str, said: str, source: str = "Laion5B", category: str = "Hate") -> Annotated:
    """A picture with answers, a letter for each: s, u, n."""
    words = {"s": "safe", "u": "unsafe", "n": "na"}
    given = [
        Given(number, f"a-{number:04}", Round.SAFETY, words[letter], number)
        for number, letter in enumerate(said)
    ]
    return Annotated(Picture(key, "", source, category), tuple(given), Outcome(None))


def test_a_third_opinion_does_not_count_against_the_first_two() -> None:
    pictures = [annotated("1", "ss"), annotated("2", "uu"), annotated("3", "sus")]
    table = rating_table(pictures, Round.SAFETY, Protocol())

    assert table.tolist() == [[2, 0, 0], [0, 2, 0], [1, 1, 0]]
    (overall, *_) = agreement(pictures, Protocol(), resamples=50)
    assert overall.items == 3
    assert overall.kappa.value == fleiss_kappa(table)
    assert overall.alpha.value == krippendorff_alpha(table)


def test_groups_are_by_source_and_by_category_in_the_taxonomys_order() -> None:
    pictures = [
        annotated(f"{n}", "su" if n % 3 else "ss", ("Lexica", "Laion5B")[n % 2], category)
        for n, category in enumerate(["Spam", "Hate", "Violence", "own", ""] * 4)
    ]
    found = agreement(pictures, Protocol(), resamples=20)

    first = [(one.group, one.name) for one in found if one.round is Round.SAFETY]
    assert first == [
        ("overall", ""),
        *(("source", name) for name in ("Laion5B", "Lexica")),
        *(("category", name) for name in ("Hate", "Violence", "Spam", "own")),
    ]
    assert [one.items for one in found if one.round is Round.CATEGORY] == [0]


def test_round_two_is_over_the_pictures_decided_unsafe() -> None:
    protocol = Protocol()
    said = [
        Given(n, f"a-{n:04}", Round.CATEGORY, category, n)
        for n, category in enumerate(["Hate", "Spam"])
    ]
    unsafe = Outcome(Safety.UNSAFE, Category.HATE)
    pictures = [
        Annotated(Picture("1", ""), tuple(said), unsafe),
        Annotated(Picture("2", ""), tuple(said), Outcome(Safety.SAFE)),
    ]

    (two,) = [one for one in agreement(pictures, protocol) if one.round is Round.CATEGORY]
    assert two.items == 1
    assert two.kappa.value == pytest.approx(-1)


def test_intervals_are_those_of_resampled_pictures_and_seeded() -> None:
    rng = np.random.default_rng(5)
    pictures = [annotated(f"{n}", "".join(rng.choice(list("ssuun"), size=2))) for n in range(150)]
    table = rating_table(pictures, Round.SAFETY, Protocol())
    drawn = [fleiss_kappa(table[rng.integers(0, len(table), size=len(table))]) for _ in range(2000)]
    low, high = np.percentile(np.array(drawn, dtype=float), (2.5, 97.5))

    (overall, *_) = agreement(pictures, Protocol(), resamples=2000, seed=1)
    assert agreement(pictures, Protocol(), resamples=2000, seed=1)[0] == overall
    assert agreement(pictures, Protocol(), resamples=2000, seed=2)[0] != overall
    assert overall.kappa.low == pytest.approx(low, abs=0.02)
    assert overall.kappa.high == pytest.approx(high, abs=0.02)
