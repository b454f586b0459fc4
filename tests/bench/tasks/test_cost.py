"""The cost task: plausible numbers, honest about what they are, and nothing sent twice."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.bench.endpoints import server
from tests.bench.endpoints.pictures import items, on_disk
from vedette.bench.classifier import ClassifierPredictor
from vedette.bench.endpoints import EndpointOptions, open_endpoint
from vedette.bench.evidence import Evidence
from vedette.bench.predictions import Predictions
from vedette.bench.predictor import Answer, Predictor, PredictorCard
from vedette.bench.tasks import cost
from vedette.bench.tasks.base import BenchOptions, Context
from vedette.data.memory import ItemSource
from vedette.settings import Settings
from vedette.taxonomy import Category
from vedette.types import Failure, Item


def context_of(predictor: Predictor, given: list[Item], state: Path, images: int = 200) -> Context:
    n, k = len(given), len(Category)
    predictions = Predictions(
        keys=tuple(item.key for item in given),
        sha256=("",) * n,
        source=("",) * n,
        category=np.full(n, -1, np.int64),
        labels=np.zeros((n, k), np.bool_),
        unsafe=np.zeros(n, np.bool_),
        p=np.zeros((n, k), np.float32),
        flagged=np.zeros((n, k), np.bool_),
        covered=np.ones(k, np.bool_),
        group=np.arange(n, dtype=np.int64),
    )
    return Context(
        predictions=predictions,
        validation=None,
        card=predictor.card,
        predictor=predictor,
        classifier=None,
        source=ItemSource(given),
        settings=Settings(),
        options=BenchOptions(images=images),
        state=state,
    )


def metrics(evidence: Evidence) -> Any:
    json.dumps(asdict(evidence), allow_nan=False)
    return evidence.metrics


def test_a_model_here_is_timed_and_the_machine_is_named(tmp_path: Path) -> None:
    predictor = ClassifierPredictor("dummy", Settings())
    context = context_of(predictor, on_disk(tmp_path, items(24)), tmp_path)

    evidence = cost.TASK.run(context)
    predictor.close()
    found = metrics(evidence)

    assert cost.TASK.fits(context) is None
    assert found["images_timed_alone"] == 24
    assert found["images_per_s"] > 0
    assert 0 < found["latency_ms"]["p50"] <= found["latency_ms"]["p95"]
    assert found["latency_ms"]["p99"] is None, "24 images say nothing about one in a hundred"
    assert found["peak_memory_mib"] > 10
    assert found["price_per_1000_usd"] is None
    (table,) = evidence.tables
    assert cost.cpu_name() in table.caption
    assert f"{cost.cores()} cores" in table.caption
    assert table.rows["dummy"][3].value is None
    assert not evidence.warnings


def test_few_images_are_told(tmp_path: Path) -> None:
    predictor = ClassifierPredictor("dummy", Settings())

    evidence = cost.TASK.run(context_of(predictor, items(5), tmp_path))
    predictor.close()

    assert [caveat.code for caveat in evidence.warnings] == ["few-images-timed"]
    assert metrics(evidence)["latency_ms"]["p95"] is None


def test_an_endpoint_is_not_asked_again(tmp_path: Path) -> None:
    given = items(24)
    with server.serving() as service:
        options = EndpointOptions(base_url=service.url, rate=1e4, cache=tmp_path, price=0.0015)
        predictor = open_endpoint("openai:m", options, Settings())
        times = {answer.key: answer.ms for answer in predictor.predict(given)}
        sent = len(service.requests)

        evidence = cost.TASK.run(context_of(predictor, given, tmp_path))
        predictor.close()

        assert len(service.requests) == sent
    found = metrics(evidence)
    assert found["latency_ms"]["p50"] == pytest.approx(
        float(np.median([ms for ms in times.values() if ms is not None])), abs=1e-3
    )
    assert found["price_per_1000_usd"] == 1.5
    assert found["images_per_s"] is None
    assert found["peak_memory_mib"] is None


class Slow:
    """A predictor that fails on half of what it is given, and counts."""

    card = PredictorCard("slow", "slow@1", (Category.SEXUAL,))

    def __init__(self) -> None:
        self.keys: list[str] = []

    def predict(self, items: Iterable[Item]) -> Iterator[Answer]:
        for item in items:
            assert isinstance(item.data, bytes), "bytes are read before anything is timed"
            self.keys.append(item.key)
            if int(item.key[-7:-4]) % 2:
                yield Answer(item.key, "", None, failure=Failure("infer", "model_failed", "no"))
            else:
                yield Answer(item.key, "", {Category.SEXUAL: 0.5})

    def close(self) -> None:
        pass


def test_failures_are_not_counted_as_answers(tmp_path: Path) -> None:
    predictor = Slow()

    evidence = cost.TASK.run(context_of(predictor, on_disk(tmp_path, items(10)), tmp_path))

    found = metrics(evidence)
    assert found["images_timed_alone"] == 5
    assert found["images_timed_together"] == cost.MOST_IMAGES // 2


def test_time_is_bounded_for_a_slow_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "MOST_SECONDS", 0.0)
    predictor = Slow()

    found = metrics(cost.TASK.run(context_of(predictor, items(100), tmp_path)))

    assert found["images_timed_alone"] == cost.LEAST_IMAGES
    assert found["images_timed_together"] == cost.LEAST_IMAGES // 2


def test_the_sample_is_the_users_and_bounded(tmp_path: Path) -> None:
    predictor = Slow()

    cost.TASK.run(context_of(predictor, items(300), tmp_path, images=12))

    assert len({key.rpartition("/")[2] for key in predictor.keys}) == 12


def test_images_that_are_gone_are_not_timed(tmp_path: Path) -> None:
    given = on_disk(tmp_path, items(10))
    assert isinstance(given[0].data, Path)
    given[0].data.unlink()

    found = metrics(cost.TASK.run(context_of(Slow(), given, tmp_path)))

    assert found["images_timed_alone"] == 4


def test_where_it_cannot_be_asked(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("key,unsafe\na,0.5\n")
    predictor = open_endpoint(f"predictions:{path}", EndpointOptions(), Settings())

    assert "file of predictions" in (
        cost.TASK.fits(context_of(predictor, items(2), tmp_path)) or ""
    )
    assert cost.TASK.fits(context_of(Slow(), [], tmp_path)) == "no image was scored"
