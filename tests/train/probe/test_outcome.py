"""Probes from a set and its embeddings to what every trainer hands over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from tests.train.sets import planted
from vedette.errors import UsageError
from vedette.heads.trained import TrainedMlp, read_head
from vedette.models.registry import get
from vedette.train.features import Features
from vedette.train.finishing import Outcome
from vedette.train.probe.mlp import MlpOptions
from vedette.train.probe.outcome import (
    LogisticOptions,
    ProbeOptions,
    logistic_outcome,
    mlp_outcome,
)

DATA, ROWS = planted(per_category=120, safe=240)
FEATURES = Features(ROWS, "dummy", get("dummy").card)
OPTIONS = MlpOptions(hidden=16, epochs=12, batch=32, learning_rate=3e-3)


def silent(line: str) -> None:
    """Nothing is shown."""


def written(outcome: Outcome, folder: Path) -> TrainedMlp:
    outcome.write(folder)
    head = read_head(folder / "head.safetensors", outcome.parts["head"])
    assert isinstance(head, TrainedMlp)
    return head


def macro_f1(outcome: Outcome) -> float:
    rows = DATA.examples.rows("test")
    flagged, targets = outcome.logits["test"] >= 0, DATA.examples.targets[rows]
    return float(np.mean([f1_score(targets[:, k], flagged[:, k]) for k in range(3)]))


@pytest.mark.parametrize("unit", [False, True])
def test_an_mlp_learns_and_its_folder_gives_its_logits(tmp_path: Path, unit: bool) -> None:
    probe = ProbeOptions(unit=unit)

    counted, outcome = mlp_outcome(DATA, FEATURES, probe, OPTIONS, tmp_path, silent)

    assert counted is DATA
    assert macro_f1(outcome) > 0.8
    head = written(outcome, tmp_path)
    assert head.unit is unit
    x = ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True) if unit else ROWS
    for part in ("validation", "calibration", "test"):
        rows = DATA.examples.rows(part)
        np.testing.assert_allclose(head.logits(x[rows]), outcome.logits[part], atol=1e-5)
    assert [epoch.number for epoch in outcome.history] == list(range(1, 13))
    assert outcome.history[-1].values["train loss"] < outcome.history[0].values["train loss"]
    assert outcome.trained == 3 * (16 * 16 + 16 + 16 + 1)


def test_logistic_regression_learns_and_its_folder_gives_its_logits(tmp_path: Path) -> None:
    _, outcome = logistic_outcome(DATA, FEATURES, ProbeOptions(), LogisticOptions(), silent)

    assert macro_f1(outcome) > 0.8
    head = written(outcome, tmp_path)
    rows = DATA.examples.rows("test")
    np.testing.assert_allclose(head.logits(ROWS[rows]), outcome.logits["test"], atol=1e-5)
    assert set(outcome.facts["strength"]) == set(DATA.examples.labels)


def test_the_strength_that_is_asked_for_is_used() -> None:
    options = LogisticOptions(strength=0.01)

    _, outcome = logistic_outcome(DATA, FEATURES, ProbeOptions(), options, silent)

    assert set(outcome.facts["strength"].values()) == {0.01}


def test_folds_say_beforehand_what_to_expect(tmp_path: Path) -> None:
    probe, lines = ProbeOptions(folds=3), list[str]()

    _, outcome = mlp_outcome(DATA, FEATURES, probe, OPTIONS, tmp_path, lines.append)

    found = outcome.facts["folds"]
    assert found["count"] == 3
    assert found["images"] == len(DATA.examples.rows("train"))
    assert found["macro_f1"]["value"] > 0.8
    assert outcome.history[-1].values["out-of-fold F1"] == found["macro_f1"]["value"]
    assert "fold 3 of 3" in lines
    # The model itself is trained on all of them, as without folds.
    _, alone = mlp_outcome(DATA, FEATURES, ProbeOptions(), OPTIONS, tmp_path, silent)
    np.testing.assert_array_equal(outcome.logits["test"], alone.logits["test"])


def test_one_fold_is_refused() -> None:
    with pytest.raises(UsageError, match="one fold"):
        ProbeOptions(folds=1)


def test_with_multi_label_an_unsafe_image_counts_for_its_own_labels_only(tmp_path: Path) -> None:
    probe = ProbeOptions(multi_label=True)

    counted, outcome = mlp_outcome(DATA, FEATURES, probe, OPTIONS, tmp_path, silent)

    unsafe = counted.examples.unsafe
    assert (counted.examples.known[unsafe] == counted.examples.targets[unsafe]).all()
    _, other = mlp_outcome(DATA, FEATURES, ProbeOptions(), OPTIONS, tmp_path, silent)
    assert not np.allclose(outcome.logits["test"], other.logits["test"], atol=0.1)


def test_a_label_with_one_class_is_refused(tmp_path: Path) -> None:
    examples = replace(DATA.examples, targets=DATA.examples.targets & (np.arange(3) != 1))

    with pytest.raises(UsageError, match=DATA.examples.labels[1]) as caught:
        mlp_outcome(
            replace(DATA, examples=examples), FEATURES, ProbeOptions(), OPTIONS, tmp_path, silent
        )

    assert caught.value.code == "too_few_labels"
