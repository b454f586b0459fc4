"""Every engine gives the head's own scores; nothing that is not finite comes through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.embeddings.twins import (
    DIM,
    REAL,
    SHARED_HEADS,
    TABLED,
    chunk_of,
    needs_heads,
    nsfw_twin,
    real,
    rows_for,
    twins,
    unit_rows,
)
from vedette.backends.openvino import cpu_has_bf16
from vedette.embeddings import scorer as scorers
from vedette.embeddings.base import Chunk, Place, Rows
from vedette.embeddings.network import Network
from vedette.embeddings.plan import plan_of
from vedette.embeddings.scorer import MAX_DRIFT, ROWS, Scorer, all_finite, count_near_one, probe
from vedette.errors import MissingExtraError, ModelError, UnknownNameError, UsageError
from vedette.heads.base import Head
from vedette.heads.laion import LaionNsfw
from vedette.types import Float32

HALF, SINGLE = np.dtype(np.float16), np.dtype(np.float32)
EXACT = 1e-5
needs_bf16 = pytest.mark.skipif(not cpu_has_bf16(), reason="this CPU does not compute bf16")


def scored(head: Head, rows: NDArray[Any], precision: str = "fp32") -> Float32:
    scorer = Scorer(head, rows.dtype, precision)
    parts = [rows[first : first + ROWS] for first in range(0, len(rows), ROWS)]
    return np.concatenate([scorer.score(chunk_of(part)).scores for part in parts])


# The head's own scores


@pytest.mark.parametrize("name", twins())
@pytest.mark.parametrize("dtype", [HALF, SINGLE], ids=str)
def test_fp32_is_the_head(name: str, dtype: np.dtype[Any]) -> None:
    head = twins()[name]
    rows = rows_for(head).astype(dtype)

    found = scored(head, rows)

    expected = head.scores(rows.astype(np.float32))
    assert (found.dtype, found.shape) == (SINGLE, (500, len(head.labels)))
    assert np.ptp(expected) > 0.1
    assert np.abs(found - expected).max() <= EXACT


@pytest.mark.parametrize("name", twins())
def test_without_openvino_it_is_the_head_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorers, "available", lambda module: False)
    head = twins()[name]
    rows = rows_for(head).astype(np.float16)
    scorer = Scorer(head, HALF)

    assert scorer.engine == "numpy fp32"
    assert scorer.workers >= 1
    np.testing.assert_array_equal(
        scorer.score(chunk_of(rows)).scores, head.scores(rows.astype(np.float32))
    )


@needs_heads
@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("dtype", [HALF, SINGLE], ids=str)
def test_fp32_is_the_published_head(name: str, dtype: np.dtype[Any]) -> None:
    head = real(name)
    rows = rows_for(head).astype(dtype)

    assert np.abs(scored(head, rows) - head.scores(rows.astype(np.float32))).max() <= EXACT


def golden(name: str) -> list[tuple[Float32, Float32]]:
    file = {"laion-nsfw-l14": "l_14", "laion-nsfw-b32": "b_32"}[name]
    stored = np.load(SHARED_HEADS / "laion" / f"golden_vit_{file}.npz")
    return [
        (stored["embeddings"], stored["probability"]),
        (stored["embeddings_in_tables"], stored["probability_in_tables"]),
    ]


@needs_heads
@pytest.mark.parametrize("name", ["laion-nsfw-l14", "laion-nsfw-b32"])
def test_fp32_is_what_tensorflow_has_computed(name: str) -> None:
    for rows, probability in golden(name):
        found = scored(real(name), rows)[:, 0]

        assert np.abs(found - probability).max() <= EXACT


@needs_heads
@needs_bf16
@pytest.mark.parametrize("name", ["laion-nsfw-l14", "multiheaded"])
def test_bf16_stays_within_its_bound(name: str) -> None:
    head = real(name)
    for seed in (11, 12, 13):
        rows = probe(head, seed).astype(np.float16)
        exact = head.scores(rows.astype(np.float32))

        assert 0 < np.abs(scored(head, rows, "bf16") - exact).max() <= MAX_DRIFT


@needs_heads
@needs_bf16
def test_bf16_stays_near_what_tensorflow_has_computed() -> None:
    for rows, probability in golden("laion-nsfw-l14"):
        found = scored(real("laion-nsfw-l14"), rows, "bf16")[:, 0]

        assert np.abs(found - probability).max() <= MAX_DRIFT


# Tables


def test_a_table_by_bits_is_the_table() -> None:
    plan = plan_of(nsfw_twin())
    assert plan is not None
    assert plan.lookup is not None
    rows = unit_rows(500).astype(np.float16)

    found = plan.lookup(rows)

    np.testing.assert_array_equal(found, plan.lookup(rows.astype(np.float32)))
    assert found.shape == (500, len(TABLED))
    assert len(np.unique(found)) > 100  # or the twin's tables would show nothing


def test_every_finite_float16_is_looked_up_as_the_head_does() -> None:
    head = nsfw_twin()
    plan = plan_of(head)
    assert plan is not None
    assert plan.lookup is not None
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    rows = np.zeros((len(halves), DIM), np.float16)
    rows[:, list(TABLED)] = halves[:, None]

    np.testing.assert_array_equal(
        plan.lookup(rows), head.encode(rows.astype(np.float32))[:, list(TABLED)]
    )


def test_columns_that_are_looked_up_count_by_their_index_only() -> None:
    head = nsfw_twin()
    rows = unit_rows(8).astype(np.float16)
    rows[:4, TABLED[0]] = [3.0, -3.0, 60000.0, -60000.0]  # in no table
    rows[4:, TABLED[0]] = 2.0

    assert np.abs(scored(head, rows) - head.scores(rows.astype(np.float32))).max() <= EXACT


# Precision


@needs_bf16
def test_auto_takes_bf16_only_where_it_was_seen_to_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    head = twins()["multiheaded"]
    chosen = Scorer(head, HALF)
    assert chosen.drift is not None
    assert (chosen.engine == "openvino bf16") == (chosen.drift <= 0.75 * MAX_DRIFT)

    monkeypatch.setattr(scorers, "_SEEN", chosen.drift)
    assert Scorer(head, HALF).engine == "openvino bf16"
    monkeypatch.setattr(scorers, "_SEEN", chosen.drift / 2)
    assert Scorer(head, HALF).engine == "openvino fp32"
    assert Scorer(head, HALF, "bf16").engine == "openvino bf16"


def test_auto_is_fp32_where_the_cpu_has_no_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorers, "cpu_has_bf16", lambda: False)

    assert Scorer(twins()["nsfw"], HALF).engine == "openvino fp32"
    with pytest.raises(ModelError, match="does not compute bf16"):
        Scorer(twins()["nsfw"], HALF, "bf16")


def test_two_vectors_are_never_computed_in_bf16() -> None:
    for name in ("q16", "violence"):
        assert Scorer(twins()[name], HALF).engine == "openvino fp32"
        with pytest.raises(ModelError, match="not offered for this head"):
            Scorer(twins()[name], HALF, "bf16")


def test_other_precisions_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown precision 'fp16'"):
        Scorer(twins()["nsfw"], HALF, "fp16")


def test_bf16_without_openvino_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str, extra: str) -> Any:
        raise MissingExtraError(name, hint=extra)

    monkeypatch.setattr(scorers, "require", missing)
    with pytest.raises(MissingExtraError):
        Scorer(twins()["nsfw"], HALF, "bf16")


@dataclass(frozen=True)
class Means:
    """A head of a third party, of which only its protocol is known."""

    labels: tuple[str, ...] = ("mean",)
    dim: int = DIM
    unit: bool = False

    def scores(self, embeddings: Float32) -> Float32:
        return np.asarray(embeddings.mean(axis=1, keepdims=True), np.float32)

    def probabilities(self, scores: Float32) -> Float32:
        return scores


def test_a_head_of_no_known_form_computes_for_itself() -> None:
    rows = unit_rows(9).astype(np.float16)

    assert plan_of(Means()) is None
    np.testing.assert_allclose(
        scored(Means(), rows), rows.astype(np.float32).mean(axis=1, keepdims=True)
    )
    with pytest.raises(ModelError, match="not offered"):
        Scorer(Means(), HALF, "bf16")


# Folding


def test_the_scaling_is_folded_without_loss() -> None:
    head = nsfw_twin(tables=False)
    plan = plan_of(head)
    assert plan is not None
    dense = head.mlp.layers[0]
    rows = unit_rows(200)

    folded = plan.first_layer(dense)

    expected = head.encode(rows) @ dense.weight + dense.bias
    np.testing.assert_allclose(rows @ folded.weight + folded.bias, expected, atol=2e-5)


# Rows


@pytest.mark.parametrize("dtype", [HALF, SINGLE], ids=str)
@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["nsfw", "violence"])
def test_a_row_that_is_not_finite_is_named(name: str, value: float, dtype: np.dtype[Any]) -> None:
    rows = unit_rows(100).astype(dtype)
    rows[41, TABLED[1]] = rows[77, 0] = value
    scorer = Scorer(twins()[name], dtype, "fp32")

    with pytest.raises(UsageError, match=r"row 1041 of b.npy holds a value that is not finite"):
        scorer.score(Chunk(Place("b.npy", 1000), 100, lambda out: np.copyto(out, rows)))
    after = scorer.score(chunk_of(rows[:41])).scores
    assert np.isfinite(after).all()


@given(bits=st.lists(st.integers(0, 2**16 - 1), min_size=1, max_size=8))
def test_finite_halves_are_told_from_others(bits: list[int]) -> None:
    rows = np.array([bits], np.uint16).view(np.float16)

    assert all_finite(rows) == bool(np.isfinite(rows).all())


@given(bits=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=8))
def test_finite_singles_are_told_from_others(bits: list[int]) -> None:
    rows = np.array([bits], np.uint32).view(np.float32)

    assert all_finite(rows) == bool(np.isfinite(rows).all())


def test_no_rows_are_finite() -> None:
    assert all_finite(np.zeros((0, 4), np.float16))


def test_a_shorter_chunk_after_a_longer_one_has_its_own_scores() -> None:
    head = twins()["nsfw"]
    scorer = Scorer(head, SINGLE, "fp32")
    rows = unit_rows(300)

    whole = scorer.score(chunk_of(rows)).scores
    part = scorer.score(chunk_of(rows[100:107])).scores

    np.testing.assert_array_equal(part, whole[100:107])


def test_scores_are_kept_when_the_buffer_is_used_again() -> None:
    scorer = Scorer(twins()["violence"], SINGLE)
    first = scorer.score(chunk_of(unit_rows(10))).scores
    before = first.copy()
    scorer.score(chunk_of(np.flip(unit_rows(10), axis=0).copy()))

    np.testing.assert_array_equal(first, before)


def test_a_chunk_that_fails_leaves_nothing_behind() -> None:
    head = nsfw_twin()
    scorer = Scorer(head, SINGLE, "fp32")

    def half_done(out: Rows) -> None:
        out[:] = np.nan
        raise UsageError("cut")

    for _ in range(scorer.workers):
        with pytest.raises(UsageError, match="cut"):
            scorer.score(Chunk(Place("a.npy", 0), 50, half_done))
    found = scorer.score(chunk_of(unit_rows(5))).scores
    assert np.abs(found - head.scores(unit_rows(5))).max() <= EXACT


def test_norms_are_looked_at() -> None:
    scorer = Scorer(twins()["violence"], SINGLE)
    rows = unit_rows(1000)
    rows[:500] *= 3

    norms = scorer.score(chunk_of(rows)).norms

    assert 16 <= len(norms) <= 32
    assert 0 < count_near_one(norms) < len(norms)
    assert count_near_one(np.array([1, 1.04, 0.96, 1.06, 0.94, 0, 10], np.float32)) == 3


def test_probes_are_seeded_and_as_long_as_the_head_expects() -> None:
    for head in twins().values():
        rows = probe(head, 3)
        np.testing.assert_array_equal(rows, probe(head, 3))
        assert np.allclose(np.linalg.norm(rows, axis=1), 1 if head.unit else 10, atol=1e-4)


def test_only_the_originals_have_tables() -> None:
    port = nsfw_twin(tables=False)
    plan = plan_of(port)

    assert isinstance(port, LaionNsfw)
    assert plan is not None
    assert plan.lookup is None
    assert plan.columns == []


@needs_bf16
def test_float32_rows_are_scored_exactly_unless_told_otherwise() -> None:
    head = twins()["nsfw"]

    assert Scorer(head, np.dtype(np.float32)).engine == "openvino fp32"
    assert Scorer(head, np.dtype(np.float32), "bf16").engine == "openvino bf16"


def test_a_network_that_computes_something_else_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    head = twins()["nsfw"]
    rows = rows_for(head).astype(np.float16)
    wrong = head.scores(rows.astype(np.float32)) * 0
    monkeypatch.setattr(Network, "of_each", lambda self, given: [wrong[:1]])
    scorer = Scorer(head, HALF, "fp32")

    assert scorer.engine == "numpy fp32"
    if cpu_has_bf16():
        with pytest.raises(ModelError, match="does not compute this head"):
            Scorer(head, HALF, "bf16")
    assert np.array_equal(scorer.score(chunk_of(rows)).scores, head.scores(rows.astype(np.float32)))
