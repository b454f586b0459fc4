"""The robustness task: what it counts, and that masked gradients do not pass for robustness."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.bench.trained import train
from vedette.bench.classifier import ClassifierPredictor
from vedette.bench.result import Result, read_result
from vedette.bench.robust.pictures import as_upload
from vedette.bench.run import Bench, Plan, read_set, run, with_fingerprints
from vedette.bench.tasks.base import BenchOptions
from vedette.bench.tasks.robustness import EPSES, MAIN, TASK
from vedette.data.opening import open_source
from vedette.decode import decode
from vedette.models.base import ModelOptions, Prepared
from vedette.models.registry import build
from vedette.models.vit import Vit
from vedette.settings import Settings
from vedette.types import Image, Prediction

DATA = "synth:0.01?difficulty=0&seed=9"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Vit:
    folder = train(tmp_path_factory.mktemp("models") / "tiny", "synth:0.02?difficulty=0", 25)
    found = build(str(folder), ModelOptions(precision="fp32"))
    assert isinstance(found, Vit)
    return found


@pytest.fixture(scope="module")
def bench() -> Bench:
    _, source = open_source(DATA)
    return with_fingerprints(read_set(DATA, source, None, official=False), Settings())


class Masked:
    """A classifier whose torch module is not what it seems."""

    icc = True

    def __init__(self, inner: Vit, mask: Callable[[Any], Any]) -> None:
        self.card, self.streams, self.fit = inner.card, inner.streams, inner.fit
        self.runtime, self.norm, self.multi_label = inner.runtime, inner.norm, inner.multi_label
        self._inner, self._mask = inner, mask

    def prepare(self, image: Image) -> Prepared:
        return self._inner.prepare(image)

    def infer(self, batch: Sequence[Prepared]) -> Sequence[Prediction]:
        return self._inner.infer(batch)

    def torch_module(self) -> Any:
        return self._mask(self._inner.torch_module())


class Around(torch.nn.Module):
    def __init__(self, inner: Any, before: Any = None, after: Any = None) -> None:
        super().__init__()
        self.inner, self.before, self.after = inner, before, after

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x = pixels if self.before is None else self.before(pixels)
        logits: torch.Tensor = self.inner(x)
        return logits if self.after is None else self.after(logits)


MASKS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "rounded input": (
        lambda inner: Around(inner, before=lambda x: (x * 8).round() / 8),
        "zero-gradients",
    ),
    "noise in the forward pass": (
        lambda inner: Around(inner, before=lambda x: x + 0.3 * torch.randn_like(x)),
        "random-forward",
    ),
    "softmax twice": (
        lambda inner: Around(inner, after=lambda z: 1e4 * z.softmax(1)),
        "zero-gradients",
    ),
}


def result_of(classifier: Any, bench: Bench, out: Path, images: int = 12) -> Result:
    options = BenchOptions(images=images, steps=5, bootstrap=100)
    predictor = ClassifierPredictor(classifier, Settings())
    try:
        (done,) = run(bench, predictor, Plan(out, (TASK,), options, Settings()))
    finally:
        predictor.close()
    assert done.path is not None, done.why_not
    return read_result(done.path)


def codes(result: Result) -> set[str]:
    return {caveat.code for caveat in result.evidence.warnings} - {"stand-in"}


@pytest.fixture(scope="module")
def honest(model: Vit, bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return result_of(model, bench, tmp_path_factory.mktemp("honest"), 24)


def test_an_honest_model_sets_off_no_warning(honest: Result) -> None:
    assert codes(honest) == set()


@pytest.mark.parametrize("name", MASKS)
def test_masked_gradients_are_warned_of(
    model: Vit, bench: Bench, tmp_path: Path, name: str
) -> None:
    mask, code = MASKS[name]

    assert code in codes(result_of(Masked(model, mask), bench, tmp_path))


def attacks(result: Result) -> Iterator[dict[str, Any]]:
    found = result.evidence.metrics["attacks"]
    assert isinstance(found, list)
    yield from found


def test_what_is_counted_hangs_together(honest: Result) -> None:
    clean = honest.evidence.metrics["clean_accuracy"]
    by_name: dict[str, list[dict[str, Any]]] = {}
    for one in attacks(honest):
        by_name.setdefault(one["attack"], []).append(one)
        assert one["robust_accuracy"] <= clean
        assert one["low"] <= one["robust_accuracy"] <= one["high"]
        assert one["conditional"] == pytest.approx(one["robust_accuracy"] / clean, abs=1e-5)
        assert 0 <= one["uploaded"] <= 1
    for name in ("gaussian", "fgsm", "pgd"):
        assert [one["eps"] for one in by_name[name]] == list(EPSES)
    worst = by_name["worst"][0]["robust_accuracy"]
    inside = [one for one in attacks(honest) if one["eps"] == MAIN and one["attack"] != "gaussian"]
    assert worst <= min(one["robust_accuracy"] for one in inside)
    assert worst < clean  # the attacks did find something


def test_an_upload_is_the_picture_in_8_bits() -> None:
    rng = np.random.default_rng(0)
    pixels = torch.from_numpy(rng.random((3, 16, 20), np.float32) * 1.2 - 0.1)

    item = as_upload("a", pixels)
    assert isinstance(item.data, bytes)
    (image,) = decode(item.data)

    expected = np.rint(pixels.clamp(0, 1).numpy() * 255).astype(np.uint8).transpose(1, 2, 0)
    assert (image.pixels == expected).all()
