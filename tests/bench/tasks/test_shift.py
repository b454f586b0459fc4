"""The shift task: finds sources that differ, and in what; none in one set split at random."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.bench.shifted import (
    OPTIONS,
    alike,
    as_json,
    codes,
    context,
    embedded,
    pictures,
    predictions,
)
from vedette.bench.evidence import Evidence, Table
from vedette.bench.metrics.confusion import threshold_metrics
from vedette.bench.tasks.base import Context
from vedette.bench.tasks.shift import TASK

COUNT = 60
PAIR = "Laion5B – Lexica"


@pytest.fixture(scope="module")
def differing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Context, Evidence]:
    given = context(tmp_path_factory.mktemp("state"), pictures(COUNT))
    assert TASK.fits(given) is None
    return given, TASK.run(given)


@pytest.fixture(autouse=True)
def no_umap(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling UMAP takes ten seconds: only the test that is about it does."""
    if "differing" not in request.fixturenames:
        monkeypatch.setitem(sys.modules, "umap", None)


def table(evidence: Evidence, name: str) -> Table:
    (found,) = [one for one in evidence.tables if one.name == name]
    return found


def metric(evidence: Evidence, *path: str) -> Any:
    value: Any = evidence.metrics
    for name in path:
        value = value[name]
    return value


def test_noise_in_one_source_is_found(differing: tuple[Context, Evidence]) -> None:
    evidence = differing[1]

    snr = metric(evidence, "image_statistics", "snr", PAIR)
    assert snr["standardised_difference"]["high"] < -1
    assert snr["first"]["low"] > snr["second"]["high"]
    assert snr["overlap"]["value"] < 0.3
    entropy = metric(evidence, "image_statistics", "entropy", PAIR)
    assert entropy["standardised_difference"]["low"] > 1
    tests = metric(evidence, "two_sample", PAIR)
    assert tests["auroc"]["low"] > 0.85
    assert tests["auroc_p_holm"] < 0.01
    assert tests["mmd_p_holm"] < 0.01
    assert tests["auroc_images"] == tests["mmd_images"] == [COUNT // 2, COUNT // 2]


def test_one_set_split_at_random_is_no_shift(tmp_path: Path) -> None:
    items = pictures(COUNT, alike)
    rng = np.random.default_rng(0)
    p, looks_differ = [], 0
    for seed in range(4):
        given = embedded(predictions(items), rng.standard_normal((COUNT, 12)))
        given = replace(given, source=tuple(rng.permutation(given.source).tolist()))
        evidence = TASK.run(context(tmp_path, items, given, replace(OPTIONS, seed=seed)))
        tests = metric(evidence, "two_sample", PAIR)
        p += [tests["auroc_p_holm"], tests["mmd_p_holm"]]
        for name in ("snr", "edge_density", "entropy"):
            pair = metric(evidence, "image_statistics", name, PAIR)["standardised_difference"]
            looks_differ += not pair["low"] < 0 < pair["high"]

    assert min(p) > 0.05
    assert looks_differ <= 2  # of twelve 95 % intervals


def test_performance_is_what_it_is_in_each_source(differing: tuple[Context, Evidence]) -> None:
    given, evidence = differing
    p = given.predictions

    fnr = []
    for source in p.sources:  # sorted: Laion5B, Lexica
        own = p.of_source(source) & p.in_coverage
        expected = threshold_metrics(p.unsafe[own], p.flagged_asked[own])
        told = metric(evidence, "performance", "sources", source)
        assert {name: one["value"] for name, one in told.items()} == pytest.approx(expected)
        fnr.append(float(expected["fnr"] or 0))
    gap = metric(evidence, "performance", "gaps", PAIR, "fnr")
    assert gap["value"] == pytest.approx(fnr[1] - fnr[0])
    assert gap["low"] < gap["value"] < gap["high"]
    assert list(table(evidence, "shift-performance").rows) == [
        "Laion5B",
        "Lexica",
        "Lexica less Laion5B",
    ]


def test_figures_show_every_image(differing: tuple[Context, Evidence]) -> None:
    figures = {figure.name: figure for figure in differing[1].figures}

    assert set(figures) == {
        *("shift-snr", "shift-edge-density", "shift-entropy"),
        *("shift-tsne-by-source", "shift-tsne-by-category"),
        *("shift-umap-by-source", "shift-umap-by-category"),
    }
    for figure in figures.values():
        if figure.kind == "density":
            assert [sum(series.y) for series in figure.series] == pytest.approx([1, 1])
        else:
            assert sum(len(series.x) for series in figure.series) == COUNT
    by_category = figures["shift-umap-by-category"].series
    assert [series.name for series in by_category] == ["Hate", "Harassment", "Violence"]
    assert np.ptp(by_category[0].x) > 0.1  # the plane has not collapsed


def test_it_is_the_same_to_the_bit(differing: tuple[Context, Evidence]) -> None:
    given, evidence = differing
    assert as_json(TASK.run(given)) == as_json(evidence)


def test_without_umap_there_is_t_sne_and_a_word(tmp_path: Path) -> None:
    evidence = TASK.run(context(tmp_path, pictures(24)))

    assert "no-umap" in codes(evidence)
    names = {figure.name for figure in evidence.figures}
    assert "shift-tsne-by-source" in names
    assert not any("umap" in name for name in names)


def test_what_the_embeddings_are_is_said(tmp_path: Path) -> None:
    items = pictures(24)
    given = embedded(predictions(items), np.random.default_rng(0).random((24, 5)))

    assert "weak-embeddings" in codes(TASK.run(context(tmp_path, items)))
    evidence = TASK.run(context(tmp_path, items, given))
    assert "weak-embeddings" not in codes(evidence)
    assert evidence.metrics["embedded_by"] == "planted"


def test_several_sources_are_compared_in_pairs_and_small_ones_left_out(tmp_path: Path) -> None:
    items = pictures(40)
    given = embedded(predictions(items), np.random.default_rng(0).random((40, 5)))
    source = tuple("abc"[n % 3] if n < 36 else "rare" for n in range(40))
    given = replace(given, source=source, failed=(("x.png", "truncated"),))

    evidence = TASK.run(context(tmp_path, items, given))

    assert list(metric(evidence, "two_sample")) == ["a – b", "a – c", "b – c"]
    assert {"sources-left-out", "not-scored"} <= codes(evidence)
    assert len(table(evidence, "shift-looks").rows) == 9
    assert as_json(evidence)


@pytest.mark.parametrize(
    ("sources", "why"),
    [(("",) * 24, "names no sources"), (("a",) * 20 + ("b",) * 4, "fewer than two sources")],
)
def test_it_does_not_fit_a_set_of_one_source(
    tmp_path: Path, sources: tuple[str, ...], why: str
) -> None:
    items = pictures(24)
    reason = TASK.fits(context(tmp_path, items, replace(predictions(items), source=sources)))

    assert reason is not None
    assert why in reason
