"""The confidence task: probabilities of decisions, and the losses of one step of FGSM."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.bench.shifted import as_json, codes, context, pictures, predictions
from vedette.backends.base import PixelNorm
from vedette.bench.attacks.base import Budget
from vedette.bench.attacks.registry import attack
from vedette.bench.confidences import confidences, summary
from vedette.bench.metrics.bootstrap import resampling
from vedette.bench.one_step import EPS, stepped
from vedette.bench.tasks.confidence import TASK
from vedette.data.memory import ItemSource
from vedette.errors import UsageError
from vedette.models.dummy import _BIAS, _WEIGHTS, Dummy
from vedette.types import Float32, Item

COUNT = 40


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return pictures(COUNT)


class Linear(torch.nn.Module):
    """z = the sum of weighted pixels: all that FGSM does to it can be said on paper."""

    def __init__(self, weight: float, bias: float) -> None:
        super().__init__()
        self.weight, self.bias = weight, bias

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        z = self.weight * pixels.mean(dim=(1, 2, 3)) + self.bias
        return torch.stack([torch.zeros_like(z), z], dim=1)


class Differentiated(Dummy):
    """The dummy's own arithmetic, in torch too."""

    norm = PixelNorm()
    multi_label = True

    def torch_module(self) -> torch.nn.Module:
        class Network(torch.nn.Module):
            def forward(self, pixels: torch.Tensor) -> torch.Tensor:
                cells = torch.nn.functional.avg_pool2d(pixels, 8).permute(0, 2, 3, 1)
                return (cells.flatten(1) - 0.5) @ torch.from_numpy(_WEIGHTS) + _BIAS

        return Network()


def grey(levels: np.ndarray) -> list[Float32]:
    return [np.full((3, 4, 4), level, np.float32) for level in levels]


def test_confidence_is_the_probability_of_the_decision(items: list[Item]) -> None:
    given = predictions(items)
    sure = confidences(given)
    asked = given.asked.astype(np.float64)

    assert np.array_equal(sure, np.maximum(asked, 1 - asked))
    own = replace(given, flagged=~given.flagged & given.covered)
    assert np.allclose(confidences(own), 1 - sure)


def test_a_summary_is_numpys_with_an_interval_around_it() -> None:
    rng = np.random.default_rng(0)
    values, member = rng.random(300), np.arange(300) < 200
    found = summary(values, member, resampling(np.arange(300), 500, 0))

    assert found.mean.value == pytest.approx(values[:200].mean())
    error = values[:200].std() / np.sqrt(200)
    assert found.mean.low == pytest.approx(values[:200].mean() - 1.96 * error, abs=0.01)
    told = [one.value for one in found.quartiles]
    assert told == pytest.approx(list(np.quantile(values[:200], [0.25, 0.5, 0.75])))
    for one in found.quartiles:
        assert one.low is not None
        assert one.high is not None
        assert one.low < one.value < one.high  # type: ignore[operator]
        assert one.high - one.low < 0.2
    assert summary(values, member & False, resampling(np.arange(300), 9, 0)).mean.value is None


def test_the_bootstraps_quartiles_are_those_of_resampled_values() -> None:
    values = np.random.default_rng(1).random(50)
    draws = resampling(np.arange(50), 300, 3)
    found = summary(values, np.ones(50, np.bool_), draws)

    counts = np.concatenate([drawn for _, drawn in draws.draws()]).astype(int)
    medians = [np.sort(np.repeat(values, row))[24] for row in counts]
    low, high = np.percentile(medians, [2.5, 97.5])
    assert found.quartiles[1].low == pytest.approx(low, abs=0.002)
    assert found.quartiles[1].high == pytest.approx(high, abs=0.002)


def test_groups_are_shown_by_source(tmp_path: Path, items: list[Item]) -> None:
    given = predictions(items)
    evidence = TASK.run(context(tmp_path, items, given))

    (table,) = evidence.tables
    assert list(table.rows)[:6] == [
        *("safe", "safe, Laion5B", "safe, Lexica"),
        *("unsafe", "unsafe, Laion5B", "unsafe, Lexica"),
    ]
    right = given.flagged_asked == given.unsafe
    lexica = given.of_source("Lexica")
    cell = table.rows["wrong, Lexica"][0]
    assert cell.value == pytest.approx(confidences(given)[~right & lexica].mean())
    assert cell.n == (~right & lexica).sum()
    assert {figure.name for figure in evidence.figures} == {
        "confidence-safety",
        "confidence-right",
    }
    for figure in evidence.figures:
        assert all(sum(series.y) == pytest.approx(1) for series in figure.series)
    assert codes(evidence) == {"no-gradients"}


def test_what_is_outside_the_coverage_has_no_confidence(tmp_path: Path, items: list[Item]) -> None:
    given = predictions(items)
    covered = given.covered.copy()
    covered[0] = False
    some = replace(given, covered=covered, failed=(("x.png", "empty"),))

    evidence = TASK.run(context(tmp_path, items, some))

    assert evidence.metrics["images"] == (given.category != 0).sum()
    assert "not-scored" in codes(evidence)
    nothing = replace(given, covered=np.zeros_like(covered))
    assert TASK.fits(context(tmp_path, items, nothing)) is not None
    assert TASK.fits(context(tmp_path, items, some)) is None


def test_fgsm_moves_a_linear_module_as_on_paper() -> None:
    levels = np.array([0.2, 0.45, 0.55, 0.8])
    unsafe = np.array([False, True, True, True])
    pixels = grey(levels)

    found = stepped(Linear(20, -10), pixels.__getitem__, unsafe, 0.1, lambda _: None)

    z = 20 * levels - 10
    moved = z + np.where(unsafe, -1, 1) * 20 * 0.1
    sign = np.where(unsafe, -1, 1)
    assert found.loss == pytest.approx(np.log1p(np.exp(sign * z)), rel=1e-4)
    assert found.loss_after == pytest.approx(np.log1p(np.exp(sign * moved)), rel=1e-4)
    assert found.confidence == pytest.approx(1 / (1 + np.exp(-np.abs(z))), rel=1e-4)
    assert list(found.right) == [True, False, True, True]
    assert list(found.right_after) == [True, False, False, True]
    assert found.gradient.all()


def test_the_step_stays_within_the_picture() -> None:
    found = stepped(
        Linear(20, -10), grey(np.array([1.0])).__getitem__, np.array([False]), 0.1, lambda _: None
    )
    assert found.loss_after == pytest.approx(found.loss)


def test_it_fools_the_pictures_that_the_attack_fools() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        *(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(288, 2))
    ).requires_grad_(False)
    pixels = torch.rand(50, 3, 8, 8)
    labels = network(pixels).argmax(1)
    labels[:5] = 1 - labels[:5]
    unsafe = labels.numpy() == 1

    found = stepped(network, lambda k: pixels[k].numpy(), unsafe, 0.005, lambda _: None)
    attacked = attack("fgsm").run(network, pixels, labels, Budget(eps=0.005), range(50))

    assert 0 < found.right_after.sum() < 45
    assert np.array_equal(~found.right_after & found.right, attacked.fooled.numpy() & found.right)


def test_a_module_without_gradients_is_said() -> None:
    class Steps(Linear):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return super().forward((pixels * 4).round() / 4 + pixels * 0)

    found = stepped(
        Steps(20, -10), grey(np.linspace(0, 1, 5)).__getitem__, np.ones(5, np.bool_), 0.1, print
    )
    assert not found.gradient.any()
    assert found.loss_after == pytest.approx(found.loss, abs=1e-6)


def test_a_classifier_is_shown_under_fgsm(tmp_path: Path, items: list[Item]) -> None:
    classifier = Differentiated()
    given = replace(context(tmp_path, items), classifier=classifier)
    evidence = TASK.run(given)

    fgsm: Any = evidence.metrics["fgsm"]
    assert fgsm["eps"] == EPS
    assert fgsm["images"] == given.options.images
    for one in fgsm["loss"].values():
        assert one["change"]["value"] == pytest.approx(
            one["loss_after"]["value"] - one["loss"]["value"]
        )
    assert fgsm["loss"]["all sources"]["change"]["value"] > 0
    fooled, held = (fgsm["confidence"][name]["before"]["n"] for name in ("fooled", "held"))
    assert fooled + held == fgsm["right_before"]
    assert {figure.like for figure in evidence.figures} >= {"Figure 8", "Figure 15"}
    assert [table.name for table in evidence.tables] == [
        *("confidence", "confidence-fgsm", "loss-fgsm"),
    ]
    assert not codes(evidence)
    assert as_json(TASK.run(given)) == as_json(evidence)


def test_one_that_cannot_be_differentiated_is_said(tmp_path: Path, items: list[Item]) -> None:
    evidence = TASK.run(replace(context(tmp_path, items), classifier=Dummy()))

    assert codes(evidence) == {"no-gradients"}
    assert "dummy cannot be differentiated" in evidence.warnings[0].message


def test_a_picture_that_is_gone_is_named(tmp_path: Path, items: list[Item]) -> None:
    given = replace(
        context(tmp_path, items),
        classifier=Differentiated(),
        source=ItemSource([]),
    )
    with pytest.raises(UsageError, match="cannot be looked at again") as caught:
        TASK.run(given)
    assert caught.value.code == "not_found"
