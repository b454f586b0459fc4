"""The clusters task: planted clusters are found, described and named."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from tests.bench.shifted import (
    OPTIONS,
    as_json,
    codes,
    context,
    embedded,
    pictures,
    predictions,
)
from vedette.bench.clustering import clusters
from vedette.bench.naming import Texts, names, taxonomy_texts
from vedette.bench.overrepresented import shares
from vedette.bench.predictions import Predictions
from vedette.bench.tasks.clusters import TASK
from vedette.models.base import ModelOptions
from vedette.models.registry import build
from vedette.taxonomy import Category
from vedette.types import Float32, Item

COUNT = 90


def planted(k: int, each: int, d: int = 12, seed: int = 0) -> tuple[Float32, np.ndarray]:
    rng = np.random.default_rng(seed)
    label = np.arange(k * each) % k
    rows = 5 * np.eye(d)[label] + rng.standard_normal((k * each, d)) * 0.3
    return rows.astype(np.float32), label


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return pictures(COUNT)


def errors(items: list[Item]) -> Predictions:
    """Misses of three kinds, by category; false alarms are rare and scattered."""
    given = predictions(items)
    rng = np.random.default_rng(1)
    unsafe = np.arange(COUNT) % 2 == 0
    flagged = given.flagged.copy()
    flagged[:] = False
    flagged[np.arange(COUNT), given.category] = (np.arange(COUNT) % 4 == 0) == unsafe
    embedding = 5 * np.eye(12)[given.category] + rng.standard_normal((COUNT, 12)) * 0.3
    return embedded(replace(given, unsafe=unsafe, flagged=flagged), embedding)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_planted_clusters_are_found_and_counted(k: int) -> None:
    rows, label = planted(k, 12)
    found = clusters(rows, None, 0)

    assert found.count == k
    assert adjusted_rand_score(label, found.label) == 1
    assert max(found.silhouettes, key=lambda n: found.silhouettes[n]) == k
    assert np.allclose(found.centres[0], rows[found.label == 0].mean(axis=0), atol=1e-5)
    central = found.central(rows, 0)
    away = np.linalg.norm(rows - found.centres[0], axis=1)
    own = np.flatnonzero(found.label == 0)
    assert list(central) == list(own[np.argsort(away[own])][:4])


def test_the_largest_comes_first() -> None:
    rows, _ = planted(3, 12)
    found = clusters(np.concatenate([rows, rows[2::3]]), None, 0)

    sizes = np.bincount(found.label)
    assert list(sizes) == sorted(sizes, reverse=True)
    assert sizes[0] == 24


@pytest.mark.parametrize(
    ("n", "wanted", "made"), [(1, None, 1), (3, None, 1), (3, 4, 1), (5, 4, 2), (40, 4, 4)]
)
def test_too_few_rows_are_fewer_clusters(n: int, wanted: int | None, made: int) -> None:
    rows = np.random.default_rng(0).random((n, 6)).astype(np.float32)
    assert clusters(rows, wanted, 0).count == made


def test_copies_of_one_row_are_one_cluster() -> None:
    assert clusters(np.ones((30, 4), np.float32), None, 0).count == 1
    assert clusters(np.ones((30, 4), np.float32), 5, 0).count == 1


def test_shares_are_fishers_over_groups() -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    among = np.ones(40, np.bool_)
    part = np.arange(40) < 10
    has = {("source", "x"): np.isin(np.arange(40), [*range(8), 20, 30])}

    (((alone),), ((copied),)) = (
        shares([part], among, has, group)[0] for group in (np.arange(40), np.arange(40) // 4)
    )
    table = [[8, 2], [2, 28]]
    assert alone.p == pytest.approx(scipy_stats.fisher_exact(table, "greater").pvalue)
    assert (alone.here, alone.overall) == (0.8, 0.25)
    assert copied.p > alone.p


def test_the_evidence_tells_what_errors_have_in_common(tmp_path: Path, items: list[Item]) -> None:
    given = errors(items)
    evidence = TASK.run(context(tmp_path, items, given))

    misses: Any = evidence.metrics["false-negatives"]
    unsafe_missed = given.unsafe & ~given.flagged_asked
    assert misses["errors"] == unsafe_missed.sum() == sum(c["size"] for c in misses["clusters"])
    assert len(misses["clusters"]) == 3
    for cluster in misses["clusters"]:
        first = cluster["shares"][0]
        assert (first["kind"], first["share"]) == ("category", 1.0)
        assert first["p_holm"] < 0.01
        assert first["overall"] == pytest.approx(1 / 3)
        rows = [given.keys.index(key) for key in cluster["central"]]
        assert len(rows) == 4
        assert unsafe_missed[rows].all()
        assert {list(Category)[given.category[row]].value for row in rows} == {first["what"]}
    (table,) = [one for one in evidence.tables if one.name == "clusters-false-negatives"]
    assert "100% (33%)" in str(table.rows["cluster 1"][2].value)
    images = {f.name: f for f in evidence.figures}["clusters-false-negatives"]
    assert [list(keys) for keys in images.keys.values()] == [
        c["central"] for c in misses["clusters"]
    ]


def test_it_is_the_same_to_the_bit(tmp_path: Path, items: list[Item]) -> None:
    given = context(tmp_path, items)
    assert as_json(TASK.run(given)) == as_json(TASK.run(given))


def test_the_number_of_clusters_can_be_given(tmp_path: Path, items: list[Item]) -> None:
    evidence = TASK.run(context(tmp_path, items, errors(items), replace(OPTIONS, clusters=4)))
    misses: Any = evidence.metrics["false-negatives"]

    assert len(misses["clusters"]) == 4
    assert misses["silhouettes"] == {}
    assert not any("silhouette" in figure.name for figure in evidence.figures)


def test_the_official_protocol_has_the_papers_number(tmp_path: Path, items: list[Item]) -> None:
    options = replace(OPTIONS, protocol="official")
    evidence = TASK.run(context(tmp_path, items, errors(items), options))
    misses: Any = evidence.metrics["false-negatives"]

    assert len(misses["clusters"]) == 4


def test_few_errors_are_said(tmp_path: Path, items: list[Item]) -> None:
    given = errors(items)
    flagged = given.flagged.copy()
    right = np.zeros_like(flagged)
    right[np.arange(COUNT), given.category] = given.unsafe
    flagged[:] = right
    assert TASK.fits(context(tmp_path, items, replace(given, flagged=flagged))) is not None
    flagged[0] = False  # one miss
    one = context(tmp_path, items, replace(given, flagged=flagged, failed=(("x", "empty"),)))

    assert TASK.fits(one) is None
    evidence = TASK.run(one)
    assert codes(evidence) == {"few-false-negatives", "no-false-positives", "not-scored"}
    assert evidence.metrics["false-positives"] == {"errors": 0, "clusters": []}


def test_images_outside_the_coverage_are_no_errors(tmp_path: Path, items: list[Item]) -> None:
    given = errors(items)
    covered = given.covered.copy()
    covered[0] = False
    evidence = TASK.run(context(tmp_path, items, replace(given, covered=covered)))

    misses: Any = evidence.metrics["false-negatives"]
    inside = given.unsafe & ~given.flagged_asked & (given.category != 0)
    assert misses["errors"] == inside.sum()


def test_without_embeddings_the_weaker_ones_are_named(tmp_path: Path, items: list[Item]) -> None:
    assert "weak-embeddings" in codes(TASK.run(context(tmp_path, items, predictions(items))))


def test_names_are_the_texts_in_whose_direction_a_cluster_lies() -> None:
    texts = Texts(["cats", "dogs", "birds"], np.eye(3, 4, dtype=np.float32))
    common = np.array([0.2, 0.2, 0.2, 3.0])
    centres = (common + 0.4 * np.eye(3, 4)).astype(np.float32)

    found = names(centres, common.astype(np.float32), texts)

    assert [first[0] for first, _ in found] == ["cats", "dogs", "birds"]
    assert all(best[1] > other[1] for best, other in found)


@pytest.mark.usefixtures("store")
def test_clusters_of_a_clip_classifier_are_named(tmp_path: Path, items: list[Item]) -> None:
    classifier = build("clip-b32/nsfw-detector", ModelOptions(precision="fp32"))
    texts = taxonomy_texts(classifier)
    assert texts is not None
    assert list(texts.labels) == [category.value for category in Category]
    given = errors(items)
    # Each cluster lies where the text of another category is.
    place = texts.rows[given.category + 5] - texts.rows.mean(axis=0)
    noise = np.random.default_rng(0).standard_normal(place.shape) * 0.01
    whole = replace(
        context(tmp_path, items, embedded(given, 1 + place + noise * np.linalg.norm(place))),
        classifier=classifier,
    )

    evidence = TASK.run(whole)

    misses: Any = evidence.metrics["false-negatives"]
    expected = {
        c.value: list(Category)[c.position + 5].value for c in itertools.islice(Category, 3)
    }
    for cluster in misses["clusters"]:
        assert cluster["near"][0]["text"] == expected[cluster["shares"][0]["what"]]
    (table,) = [one for one in evidence.tables if one.name == "clusters-false-negatives"]
    assert "nearest texts" in table.columns


@pytest.mark.usefixtures("store")
def test_others_have_no_texts() -> None:
    assert taxonomy_texts(None) is None
    assert taxonomy_texts(build("falconsai", ModelOptions(precision="fp32"))) is None
