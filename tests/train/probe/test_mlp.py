"""The grouped MLP probes: as torch.nn trains them, and as each would be alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.train.probe.drawn import LABELS, drawn
from vedette.errors import UsageError, VedetteError
from vedette.heads.base import Mlp
from vedette.train.probe.grouped import initial
from vedette.train.probe.mlp import MlpOptions, Trained, train_mlp
from vedette.train.probe.product import plain, product
from vedette.train.probe.samples import Samples
from vedette.train.weighing import weighing

OPTIONS = MlpOptions(hidden=16, epochs=8, batch=32, learning_rate=3e-3)
TRAIN, VALIDATION = drawn(300), drawn(90, seed=8)


def weights(mlp: Mlp) -> list[np.ndarray]:
    return [value for layer in mlp.layers for value in (layer.weight, layer.bias)]


def assert_equal(one: Trained, other: Trained) -> None:
    assert one.epoch == other.epoch
    assert one.history == other.history
    for a, b in zip(one.mlps, other.mlps, strict=True):
        for x, y in zip(weights(a), weights(b), strict=True):
            np.testing.assert_array_equal(x, y)


def reference(samples: Samples, k: int, options: MlpOptions) -> tuple[list[float], Any]:
    """The usual loop for one label: two logits, ``torch.nn`` and ``torch.optim``, autograd.

    Its start and its order of images are ours: both follow from the seed.
    """
    torch.manual_seed(0)
    dim = samples.x.shape[1]
    net: Any = torch.nn.Sequential(
        torch.nn.Linear(dim, options.hidden), torch.nn.ReLU(), torch.nn.Linear(options.hidden, 2)
    )
    hidden, bias, out, out_bias = initial([samples.labels[k]], dim, options.hidden, options.seed)
    with torch.no_grad():
        net[0].weight.copy_(hidden[0])
        net[0].bias.copy_(bias[0])
        # Any two logits with this difference: cross-entropy does not know them apart.
        net[2].weight[1].copy_(out[0] + net[2].weight[0])
        net[2].bias[1].copy_(out_bias[0] + net[2].bias[0])
    kind = torch.optim.AdamW if options.weight_decay else torch.optim.Adam
    optimiser = kind(net.parameters(), options.learning_rate, weight_decay=options.weight_decay)
    weighed = weighing(samples.targets, samples.known, options.class_weights)
    per_class = torch.tensor([weighed.safe[k], weighed.unsafe[k]], dtype=torch.float32)
    targets = np.where(samples.known[:, k], samples.targets[:, k], -100)  # what torch leaves out
    x, y = torch.from_numpy(samples.x), torch.from_numpy(targets).long()
    losses = []
    for epoch in range(1, options.epochs + 1):
        order = np.random.default_rng([options.seed, epoch]).permutation(len(x))
        total = weight = 0.0
        for start in range(0, len(x), options.batch):
            rows = order[start : start + options.batch]
            optimiser.zero_grad()
            loss: Any = torch.nn.functional.cross_entropy(net(x[rows]), y[rows], per_class)
            loss.backward()
            optimiser.step()
            counted = float(per_class[y[rows][y[rows] >= 0]].sum())
            total, weight = total + float(loss.detach()) * counted, weight + counted
        losses.append(total / weight)
    return losses, net


@pytest.mark.parametrize(
    "options",
    [
        OPTIONS,
        replace(OPTIONS, class_weights="balanced"),
        replace(OPTIONS, weight_decay=0.1),
        replace(OPTIONS, batch=33, seed=8),  # the last batch is a small one
    ],
    ids=["paper", "balanced", "decay", "batch"],
)
def test_the_losses_are_those_of_torch_nn(options: MlpOptions) -> None:
    found = train_mlp(TRAIN, VALIDATION, options)

    for k in range(len(LABELS)):
        losses, net = reference(TRAIN, k, options)
        ours = [seen.train[k] for seen in found.history]
        np.testing.assert_allclose(ours, losses, atol=1e-4)
        with torch.no_grad():
            logits = net(torch.from_numpy(VALIDATION.x)).numpy()
        np.testing.assert_allclose(
            found.mlps[k](VALIDATION.x)[:, 0], logits[:, 1] - logits[:, 0], atol=2e-3
        )


@pytest.mark.parametrize(
    "options",
    [
        OPTIONS,
        replace(OPTIONS, class_weights="balanced", weight_decay=0.01),
        replace(OPTIONS, epochs=60, patience=2, learning_rate=1e-2),
        replace(OPTIONS, epochs=60, patience=2, learning_rate=1e-2, class_weights="balanced"),
    ],
    ids=["paper", "balanced", "stopping", "stopping balanced"],
)
def test_a_label_ends_as_if_it_were_alone(options: MlpOptions) -> None:
    together = train_mlp(TRAIN, VALIDATION, options)

    for k in range(len(LABELS)):
        alone = train_mlp(TRAIN.of([k]), VALIDATION.of([k]), options)
        assert together.epoch[k] == alone.epoch[0]
        ours = np.array([(seen.train[k], seen.validation[k]) for seen in together.history])
        its = np.array([(seen.train[0], seen.validation[0]) for seen in alone.history])
        np.testing.assert_allclose(
            ours[: len(its)].astype(np.float64), its.astype(np.float64), atol=1e-4
        )
        for a, b in zip(weights(together.mlps[k]), weights(alone.mlps[0]), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4)


def test_labels_stop_by_themselves_and_keep_their_best_epoch() -> None:
    options = replace(OPTIONS, epochs=60, patience=2, learning_rate=1e-2)

    found = train_mlp(TRAIN, VALIDATION, options)

    assert len(set(found.epoch)) > 1
    for k, kept in enumerate(found.epoch):
        seen = [one.validation[k] for one in found.history]
        assert seen[kept - 1] == min(v for v in seen if v is not None)
        assert all(value == seen[kept + 1] for value in seen[kept + 1 :])  # two more, and no others
        at_kept = train_mlp(TRAIN, VALIDATION, replace(options, epochs=kept, patience=None))
        np.testing.assert_allclose(
            found.mlps[k](VALIDATION.x), at_kept.mlps[k](VALIDATION.x), atol=1e-4
        )


def test_without_patience_the_last_epoch_is_kept() -> None:
    assert train_mlp(TRAIN, VALIDATION, OPTIONS).epoch == (8,) * 4


def test_a_label_with_one_class_in_validation_learns_to_the_end() -> None:
    one_class = replace(VALIDATION, targets=VALIDATION.targets & (np.arange(4) != 2))

    found = train_mlp(TRAIN, one_class, replace(OPTIONS, epochs=40, patience=1, learning_rate=1e-2))

    assert found.epoch[2] == 40
    assert min(found.epoch) < 40


def test_no_validation_images_are_no_hindrance() -> None:
    found = train_mlp(TRAIN, VALIDATION.at(np.array([], np.int64)), OPTIONS)

    assert found.history[-1].validation == (None,) * 4


def test_the_same_seed_gives_the_same_weights_and_another_one_others() -> None:
    one = train_mlp(TRAIN, VALIDATION, OPTIONS)

    assert_equal(one, train_mlp(TRAIN, VALIDATION, OPTIONS))
    other = train_mlp(TRAIN, VALIDATION, replace(OPTIONS, seed=8))
    assert not np.allclose(one.mlps[0].layers[0].weight, other.mlps[0].layers[0].weight)


def test_what_is_not_known_changes_nothing() -> None:
    flipped = replace(TRAIN, targets=TRAIN.targets ^ ~TRAIN.known)

    one, other = (train_mlp(samples, VALIDATION, OPTIONS) for samples in (TRAIN, flipped))

    for a, b in zip(one.mlps, other.mlps, strict=True):
        np.testing.assert_array_equal(a.layers[0].weight, b.layers[0].weight)


def test_bf16_learns_the_same() -> None:
    options = replace(OPTIONS, epochs=20)

    exact = train_mlp(TRAIN, VALIDATION, options).history[-1]
    rough = train_mlp(TRAIN, VALIDATION, replace(options, precision="bf16")).history[-1]

    np.testing.assert_allclose(rough.train, exact.train, atol=0.01)
    assert rough.train != exact.train


def test_the_product_is_the_one_that_torch_computes() -> None:
    rng = torch.Generator().manual_seed(0)
    for dtype, near in ((torch.float32, 1e-5), (torch.bfloat16, 0.02)):
        a = torch.rand(33, 70, generator=rng).to(dtype)
        b = torch.rand(70, 17, generator=rng).to(dtype).t()  # as a gradient's is: not contiguous
        found = product(dtype)(a, b)
        assert found.dtype is dtype
        assert found.is_contiguous()
        torch.testing.assert_close(found, plain(a, b), rtol=near, atol=near)


@pytest.mark.parametrize("patience", [None, 1])
@pytest.mark.parametrize(
    ("rate", "batch", "epochs"),
    [
        (1e30, OPTIONS.batch, OPTIONS.epochs),
        # One step: its own loss is that of the start, and the one of the weights is seen by nobody
        # who does not look at the images for validation.
        (1e38, len(TRAIN), 1),
        (1e18, len(TRAIN), 2),
    ],
)
def test_a_loss_that_is_no_number_is_an_error(
    rate: float, batch: int, epochs: int, patience: int | None, tmp_path: Path
) -> None:
    options = replace(OPTIONS, learning_rate=rate, batch=batch, epochs=epochs, patience=patience)

    with pytest.raises(VedetteError) as caught:
        train_mlp(TRAIN, VALIDATION, options, tmp_path / "mlp.safetensors")

    assert caught.value.code == "training_failed"
    assert "--learning-rate" in caught.value.hint


def test_one_class_only_is_an_error() -> None:
    with pytest.raises(UsageError, match="Violence") as caught:
        train_mlp(replace(TRAIN, targets=TRAIN.targets & (np.arange(4) != 1)), VALIDATION, OPTIONS)

    assert caught.value.code == "too_few_labels"


KILLED = """
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
import tests.train.probe.test_mlp as t
from vedette.train.probe.mlp import train_mlp
train_mlp(t.TRAIN, t.VALIDATION, t.LONG, Path(sys.argv[1]))
"""
LONG = replace(OPTIONS, epochs=400, patience=300)


def test_a_training_that_is_killed_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    file = tmp_path / "mlp.safetensors"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(file)], cwd=Path.cwd())
    until = time.monotonic() + 60
    while not file.exists() and time.monotonic() < until and process.poll() is None:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)

    assert process.wait() == -signal.SIGKILL
    lines: list[str] = []
    assert_equal(
        train_mlp(TRAIN, VALIDATION, LONG, file, lines.append), train_mlp(TRAIN, VALIDATION, LONG)
    )


def test_a_training_goes_on_from_its_checkpoint_and_not_from_anothers(tmp_path: Path) -> None:
    file = tmp_path / "mlp.safetensors"
    whole = train_mlp(TRAIN, VALIDATION, OPTIONS, file)

    lines: list[str] = []
    assert_equal(train_mlp(TRAIN, VALIDATION, OPTIONS, file, lines.append), whole)
    assert not lines  # it had been at its end

    other = replace(OPTIONS, seed=8)
    assert_equal(train_mlp(TRAIN, VALIDATION, other, file), train_mlp(TRAIN, VALIDATION, other))
    file.write_bytes(b"no safetensors")
    assert_equal(train_mlp(TRAIN, VALIDATION, OPTIONS, file), whole)
