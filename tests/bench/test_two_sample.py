"""The two-sample tests find a shift that is there, and none where there is none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from vedette.bench import two_sample
from vedette.bench.two_sample import classifier_test, kernel_test, unit_rows
from vedette.types import Float32

SEEDS = range(40)


def rows(n: int, d: int, seed: int) -> Float32:
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def halves(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.arange(n) % 2 == 0)


def test_both_find_sets_that_differ() -> None:
    x, second = rows(200, 10, 0), halves(200, 1)
    x[second] += 0.7

    a, b = classifier_test(x, second, np.arange(200), 3), kernel_test(x, second, np.arange(200), 3)

    assert a is not None
    assert b is not None
    # Means 0.7 apart in each of ten dimensions: Phi(|delta| / sqrt 2) for the best classifier.
    best = 0.5 * math.erfc(-0.7 * math.sqrt(10) / 2)
    assert a.low < best < a.high + 0.03
    assert a.p == b.p == 1 / 1001
    assert b.mmd2 > 0.02
    assert (a.first, a.second) == (b.first, b.second) == (100, 100)


def test_neither_finds_a_shift_in_one_set_split_at_random() -> None:
    found = []
    for seed in SEEDS:
        x, second = rows(80, 8, seed), halves(80, seed)
        a = classifier_test(x, second, np.arange(80), seed, permutations=99)
        b = kernel_test(x, second, np.arange(80), seed, permutations=99)
        assert a is not None
        assert b is not None
        found.append((a.p, b.p, a.low <= 0.5 <= a.high))
    p = np.array(found)

    # Uniform p: of 40, five or more below 0.05 happen once in 20 times; means are 0.5 +- 0.046.
    assert (p[:, :2] <= 0.05).sum(axis=0).max() <= 5
    assert np.abs(p[:, :2].mean(axis=0) - 0.5).max() < 0.14
    assert p[:, 2].mean() > 0.85


def test_the_kernel_sees_what_no_line_separates() -> None:
    x, second = rows(300, 3, 4), halves(300, 5)
    x[second] *= 2  # the same mean, another spread

    a, b = classifier_test(x, second, np.arange(300), 0), kernel_test(x, second, np.arange(300), 0)

    assert a is not None
    assert b is not None
    assert a.p > 0.05
    assert b.p < 0.01


def test_mmd_equals_its_formula_in_a_plain_loop() -> None:
    x, second = rows(30, 4, 6), halves(30, 7)
    found = kernel_test(x, second, np.arange(30), 0, permutations=9)
    assert found is not None
    points = x.astype(np.float64)
    distances = [float(np.linalg.norm(points[i] - points[j])) for i in range(30) for j in range(i)]
    sigma = float(np.sqrt(np.median(np.square(distances))))

    def k(i: int, j: int) -> float:
        return math.exp(-float(((points[i] - points[j]) ** 2).sum()) / (2 * sigma**2))

    a, b = np.flatnonzero(~second).tolist(), np.flatnonzero(second).tolist()
    inside = [
        sum(k(i, j) for i in own for j in own if i != j) / (len(own) * (len(own) - 1))
        for own in (a, b)
    ]
    across = sum(k(i, j) for i in a for j in b) / (len(a) * len(b))
    assert found.bandwidth == pytest.approx(sigma)
    assert found.mmd2 == pytest.approx(sum(inside) - 2 * across, rel=1e-9)


def test_the_areas_of_folds_are_scikit_learns() -> None:
    rng = np.random.default_rng(8)
    second, fold = halves(90, 8), rng.permutation(np.arange(90) % 5)
    scores = np.round(rng.standard_normal(90) + second, 1)  # with ties

    found, _ = two_sample._area_and_error(scores, second, fold)

    parts = [
        (roc_auc_score(second[fold == k], scores[fold == k]), second[fold == k]) for k in range(5)
    ]
    weights = [own.sum() * (~own).sum() for _, own in parts]
    assert found == pytest.approx(np.average([area for area, _ in parts], weights=weights))


def test_copies_are_no_evidence() -> None:
    x, second = rows(60, 5, 9), halves(60, 9)
    copied = np.repeat(x, 5, axis=0)
    group = np.repeat(np.arange(60), 5)
    sides = np.repeat(second, 5)

    a, b = classifier_test(copied, sides, group, 1), kernel_test(copied, sides, group, 1)
    naive = classifier_test(copied, sides, np.arange(300), 1)

    assert a is not None
    assert b is not None
    assert naive is not None
    assert (a.first, a.second) == (b.first, b.second) == (30, 30)
    assert naive.p < 0.05 < min(a.p, b.p)


def test_a_large_set_is_sampled_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(two_sample, "MOST", 60)
    second = np.arange(200) < 20
    found = kernel_test(rows(200, 3, 0), second, np.arange(200), 0, permutations=9)

    assert found is not None
    assert (found.first, found.second) == (40, 20)


def test_too_few_are_not_judged() -> None:
    x = rows(24, 3, 0)
    assert classifier_test(x, np.arange(24) < 9, np.arange(24), 0) is None
    assert kernel_test(x, np.arange(24) < 1, np.arange(24), 0) is None
    assert kernel_test(x, np.arange(24) < 9, np.zeros(24, np.int64), 0) is None


def test_one_point_is_no_shift_and_separate_ones_are_no_crash() -> None:
    second, group = halves(40, 0), np.arange(40)
    same = np.ones((40, 3), np.float32)
    a, b = classifier_test(same, second, group, 0), kernel_test(same, second, group, 0)
    assert a is not None
    assert b is not None
    assert (a.auroc, b.mmd2, b.p) == (0.5, 0.0, 1.0)
    assert a.low <= 0.5 <= a.high

    apart = same * np.where(second, 1, -1)[:, None].astype(np.float32)
    a, b = classifier_test(apart, second, group, 0), kernel_test(apart, second, group, 0)
    assert a is not None
    assert b is not None
    assert (a.auroc, a.high) == (1.0, 1.0)
    assert a.low == pytest.approx(0.85)
    assert b.p < 0.01


def test_one_seed_one_answer() -> None:
    x, second = rows(100, 6, 0), halves(100, 0)
    for test in (classifier_test, kernel_test):
        one, again, other = (test(x, second, np.arange(100), seed, 50) for seed in (1, 1, 2))
        assert one == again
        assert one != other


def test_rows_of_length_one() -> None:
    found = unit_rows(np.array([[3, 4], [0, 0]], np.float32))
    assert np.allclose(found, np.array([[0.6, 0.8], [0, 0]]))
