"""Which images are chosen: distinct, unlabelled, unsure, apart from each other, by a seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.errors import UsageError
from vedette.policy import Policy, Rule
from vedette.taxonomy import Category
from vedette.train.scarce.choosing import STRATEGIES, Pool, Strategy, choose
from vedette.train.scarce.uncertainty import entropy, moved, residual, thresholds
from vedette.types import Scores


def pool_of(
    n: int, seed: int = 0, dim: int = 6, covered: float = 0.2, groups: int | None = None
) -> Pool:
    rng = np.random.default_rng(seed)
    embedding = rng.normal(size=(n, dim)).astype(np.float32)
    q = rng.random((n, 2))
    return Pool(
        keys=tuple(f"{at:04}.png" for at in rng.permutation(n)),
        covered=rng.random(n) < covered,
        group=rng.integers(0, groups, n) if groups else np.arange(n),
        uncertainty=entropy(q).max(axis=1),
        residual=residual(q),
        embedding=embedding / np.linalg.norm(embedding, axis=1, keepdims=True),
    )


def taken(pool: Pool, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Pool:
    assert pool.embedding is not None
    return Pool(
        tuple(pool.keys[at] for at in rows),
        pool.covered[rows],
        pool.group[rows],
        pool.uncertainty[rows],
        pool.residual[rows],
        pool.embedding[rows],
    )


@given(
    n=st.integers(1, 40),
    wanted=st.integers(1, 50),
    seed=st.integers(0, 1000),
    groups=st.one_of(st.none(), st.integers(1, 12)),
    strategy=st.sampled_from(STRATEGIES),
)
def test_what_is_chosen_is_distinct_free_and_as_many_as_there_are(
    n: int, wanted: int, seed: int, groups: int | None, strategy: Strategy
) -> None:
    pool = pool_of(n, seed, groups=groups)
    chosen = choose(pool, wanted, strategy, seed)

    taken_groups = set(pool.group[pool.covered].tolist())
    free = {group for group in pool.group.tolist() if group not in taken_groups}
    found = pool.group[chosen].tolist()
    assert len(set(found)) == len(found) == min(wanted, len(free))
    assert set(found) <= free
    assert not pool.covered[chosen].any()


@given(seed=st.integers(0, 1000), strategy=st.sampled_from(STRATEGIES))
def test_the_order_of_the_images_changes_nothing(seed: int, strategy: Strategy) -> None:
    pool = pool_of(30, seed, covered=0.1 * (seed % 3))
    order = np.random.default_rng(seed + 1).permutation(30)
    other = taken(pool, order)

    here = [pool.keys[at] for at in choose(pool, 8, strategy, seed)]
    assert here == [other.keys[at] for at in choose(other, 8, strategy, seed)]


@pytest.mark.parametrize("strategy", ["mixed", "diverse"])
def test_two_tight_clusters_both_get_picks(strategy: Strategy) -> None:
    rng = np.random.default_rng(1)
    centres = np.repeat(np.eye(8)[:2], [95, 5], axis=0)
    embedding = (centres + 0.01 * rng.normal(size=(100, 8))).astype(np.float32)
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
    q = np.full((100, 1), 0.45)
    pool = Pool(
        tuple(f"{at:03}" for at in range(100)),
        np.zeros(100, dtype=np.bool_),
        np.arange(100),
        entropy(q).max(axis=1),
        residual(q),
        embedding,
    )

    first_two = choose(pool, 2, strategy, 3)
    assert sorted(first_two // 95) == [0, 1]
    covered = np.arange(100) < 95
    labelled = Pool(pool.keys, covered, pool.group, pool.uncertainty, pool.residual, embedding)
    assert choose(labelled, 1, strategy, 3)[0] >= 95


def test_mixed_takes_the_unsure_and_uncertain_ranks_by_it() -> None:
    pool = pool_of(200, covered=0.0)
    surest = np.argsort(pool.uncertainty)[:50]

    assert not set(choose(pool, 10, "mixed", 0)) & set(surest.tolist())
    ranked = pool.uncertainty[choose(pool, 10, "uncertain", 0)]
    assert (np.diff(ranked) <= 0).all()
    assert ranked[0] == pool.uncertainty.max()


def test_distances_between_gradients_are_those_of_the_gradients() -> None:
    """The first two picks against gradients that are written out."""
    pool = pool_of(50, covered=0.3)
    assert pool.embedding is not None
    gradient = (pool.residual[:, :, None] * pool.embedding[:, None, :]).reshape(50, -1)
    known = np.concatenate([gradient[pool.covered], np.zeros((1, gradient.shape[1]))])
    expected = []
    for _ in range(2):
        nearest = np.linalg.norm(gradient[:, None] - known[None], axis=2).min(axis=1)
        nearest[pool.covered] = -1
        expected.append(int(np.argmax(nearest)))
        known = np.concatenate([known, gradient[expected[-1]][None]])

    assert choose(pool, 2, "mixed", 0).tolist() == expected


def test_another_seed_draws_others() -> None:
    pool = pool_of(100)

    assert choose(pool, 10, "random", 1).tolist() != choose(pool, 10, "random", 2).tolist()


def test_without_embeddings_only_diversity_is_refused() -> None:
    whole = pool_of(10)
    pool = Pool(whole.keys, whole.covered, whole.group, whole.uncertainty, whole.residual, None)

    assert len(choose(pool, 3, "uncertain", 0)) == 3
    with pytest.raises(UsageError, match="needs embeddings"):
        choose(pool, 3, "mixed", 0)


def test_uncertainty_is_measured_from_the_policys_threshold() -> None:
    rules = {
        Category.HATE: Rule(0.2, 0.9),
        Category.SPAM: Rule(None, 0.7),
        Category.SEXUAL: Rule(0.5, None),
    }
    policy = Policy("p", "1", rules)
    at = thresholds(policy)
    p = np.zeros(len(Category), np.float32)
    p[Category.HATE.position], p[Category.SPAM.position] = 0.2, 0.2
    covered = np.zeros(len(Category), np.bool_)
    covered[[Category.HATE.position, Category.SPAM.position]] = True

    assert at == {Category.HATE: 0.2, Category.SPAM: 0.7, Category.SEXUAL: 0.5}
    q = moved(Scores(p, covered), at)
    assert entropy(q)[0] == pytest.approx(1)
    # Odds of 1/4 over odds of 7/3.
    assert q[1] == pytest.approx((1 / 4) / (7 / 3) / (1 + (1 / 4) / (7 / 3)), abs=1e-6)
    assert q[2] == 0
    assert residual(np.array([0.3, 0.5, 0.8])).tolist() == pytest.approx([0.3, -0.5, -0.2])
