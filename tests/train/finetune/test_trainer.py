"""A fine-tuning from its start to its outcome: it learns, it is the same twice, it resumes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.train.finetune import sets
from vedette.errors import VedetteError
from vedette.settings import Settings
from vedette.train.data import TrainingSet
from vedette.train.examples import PARTS
from vedette.train.finetune import checkpoints
from vedette.train.finetune.adversarial import adversarial
from vedette.train.finetune.device import memory_told
from vedette.train.finetune.loss import bce
from vedette.train.finetune.options import Stage
from vedette.train.finetune.trainer import WAITING, Place, fine_tune
from vedette.train.finishing import Outcome
from vedette.train.measured import SHIPPED


@pytest.fixture(scope="module")
def data() -> TrainingSet:
    return sets.coloured()


def accuracy(outcome: Outcome, data: TrainingSet) -> float:
    flagged = outcome.logits["test"] > 0
    return float((flagged == data.examples.targets[data.examples.rows("test")]).mean())


def weights(outcome: Outcome, folder: Path) -> bytes:
    folder.mkdir()
    outcome.write(folder)
    return (folder / "model.safetensors").read_bytes()


def test_it_learns(data: TrainingSet, tmp_path: Path) -> None:
    chosen = sets.options(stages=(Stage(None, 8),))
    outcome = sets.tuned(data, chosen, tmp_path / "state")

    assert accuracy(outcome, data) > 0.95
    losses = [one.values["validation loss"] for one in outcome.history]
    assert losses[-1] < losses[0] * 0.7
    assert outcome.facts["kept_epoch"] == 1 + int(np.argmin(losses))
    for part in PARTS[1:]:
        assert outcome.logits[part].shape == (len(data.examples.rows(part)), 2)
        assert outcome.logits[part].dtype == np.float32
    assert all(0 <= one.values[WAITING] <= 1 for one in outcome.history)
    assert outcome.kind == "vit"
    assert outcome.embedding == sets.SHAPE.hidden
    assert outcome.trained == outcome.parameters == 23_586


def test_the_same_command_gives_the_same_weights(data: TrainingSet, tmp_path: Path) -> None:
    chosen = sets.options(stages=(Stage(0, 1), Stage(1, 1), Stage(None, 1)), augment="evasion")
    one, same, other = (
        weights(sets.tuned(data, chosen, tmp_path / f"state-{k}", seed), tmp_path / f"{k}")
        for k, seed in enumerate((7, 7, 8))
    )

    assert one == same
    assert one != other


class Killed(Exception):
    """In place of a signal."""


@pytest.mark.parametrize("at", ["epoch", "step"])
def test_a_killed_training_goes_on_to_the_very_same_weights(
    at: str, data: TrainingSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = sets.options(
        stages=(Stage(0, 1), Stage(None, 2)),
        augment="evasion",
        adversarial_steps=1,
        checkpoint_steps=2 if at == "step" else 0,
    )
    whole = sets.tuned(data, chosen, tmp_path / "whole")
    save = checkpoints.save
    saved: list[checkpoints.Progress] = []

    def dying(folder: Path, progress: checkpoints.Progress, module: Any, optimizer: Any) -> None:
        save(folder, progress, module, optimizer)
        saved.append(progress)
        if len(saved) == (3 if at == "step" else 2):
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "save", dying)
        with pytest.raises(Killed):
            sets.tuned(data, chosen, tmp_path / "killed")
    progress = saved[-1]
    assert (progress.step > 0) == (at == "step")
    resumed = sets.tuned(data, chosen, tmp_path / "killed")

    assert weights(resumed, tmp_path / "a") == weights(whole, tmp_path / "b")
    for part in PARTS[1:]:
        np.testing.assert_array_equal(resumed.logits[part], whole.logits[part])
    for one, other in zip(resumed.history, whole.history, strict=True):
        assert one.number == other.number
        assert one.values["validation loss"] == other.values["validation loss"]
        assert one.values["train loss"] == pytest.approx(other.values["train loss"], rel=1e-12)


def test_a_damaged_checkpoint_is_no_checkpoint(data: TrainingSet, tmp_path: Path) -> None:
    state = tmp_path / "state"
    whole = sets.tuned(data, sets.options(), state)
    (tensors,) = state.glob("tensors-*.safetensors")
    tensors.write_bytes(tensors.read_bytes()[:-50])

    again = sets.tuned(data, sets.options(), state)

    assert weights(again, tmp_path / "a") == weights(whole, tmp_path / "b")
    assert not [p for p in state.iterdir() if p.suffix not in (".json", ".safetensors")]


def test_the_best_epoch_is_kept_and_patience_ends_a_stage(
    data: TrainingSet, tmp_path: Path
) -> None:
    # A rate so high that it soon gets worse.
    chosen = sets.options(stages=(Stage(None, 30),), learning_rate=0.05, patience=2)
    outcome = sets.tuned(data, chosen, tmp_path / "state")

    losses = [one.values["validation loss"] for one in outcome.history]
    assert len(losses) < 30
    best = int(np.argmin(losses))
    assert len(losses) == best + 3
    z = outcome.logits["validation"].astype(np.float64)
    targets = data.examples.targets[data.examples.rows("validation")]
    found = (np.logaddexp(0, z) - targets * z).mean()
    assert found == pytest.approx(losses[best], rel=1e-6)


def test_a_loss_that_is_no_number_is_told(data: TrainingSet, tmp_path: Path) -> None:
    chosen = sets.options(learning_rate=1e3, clip=1e9, stages=(Stage(None, 40),))

    with pytest.raises(VedetteError) as caught:
        sets.tuned(data, chosen, tmp_path / "state")

    assert caught.value.code == "training_failed"
    assert "--learning-rate" in caught.value.hint


def test_too_little_memory_is_told() -> None:
    for error in (MemoryError(), torch.OutOfMemoryError("CUDA out of memory.")):
        with pytest.raises(VedetteError) as caught, memory_told():
            raise error
        assert caught.value.code == "training_failed"
        assert "--batch" in caught.value.hint
    with pytest.raises(RuntimeError, match="another"), memory_told():
        raise RuntimeError("another one")


def test_checkpointed_gradients_are_the_same_gradients(data: TrainingSet, tmp_path: Path) -> None:
    plain = sets.tuned(data, sets.options(), tmp_path / "a")
    frugal = sets.tuned(data, sets.options(gradient_checkpointing=True), tmp_path / "b")

    for part in PARTS[1:]:
        np.testing.assert_allclose(frugal.logits[part], plain.logits[part], rtol=1e-4, atol=1e-5)


def test_bf16_learns_too_and_is_judged_in_float32(data: TrainingSet, tmp_path: Path) -> None:
    chosen = sets.options(precision="bf16", stages=(Stage(None, 8),))

    assert accuracy(sets.tuned(data, chosen, tmp_path / "state"), data) > 0.9


def test_a_set_without_pictures_is_refused(data: TrainingSet, tmp_path: Path) -> None:
    bare = replace(data, source=None)

    with pytest.raises(VedetteError, match="no pictures"):
        fine_tune(bare, sets.tiny(), sets.options(), Settings(), 7, Place(tmp_path, tmp_path))


def test_adversarial_pixels_stay_in_the_ball_and_raise_the_loss() -> None:
    module = sets.network().module.eval()
    rng = torch.Generator().manual_seed(0)
    pixels = torch.rand(6, 3, 16, 16, generator=rng)
    targets = (torch.rand(6, 2, generator=rng) > 0.5).float()

    def loss(logits: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = bce(logits, targets, torch.ones_like(targets))
        return found

    def logits(x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = module((x - 0.5) / 0.5)[0]
        return found

    torch.manual_seed(0)
    moved = adversarial(logits, loss, pixels, 4 / 255, 5)

    assert float((moved - pixels).abs().max()) <= 4 / 255 + 1e-6
    assert 0 <= float(moved.min()) <= float(moved.max()) <= 1
    with torch.no_grad():
        assert loss(logits(moved)) > loss(logits(pixels))
    assert not moved.requires_grad
    assert all(parameter.grad is None for parameter in module.parameters())


def test_adversarial_training_makes_robust(data: TrainingSet, tmp_path: Path) -> None:
    eps = 24 / 255
    stages = (Stage(None, 8),)
    found = []
    for steps in (0, 3):
        folder = tmp_path / str(steps)
        chosen = sets.options(stages=stages, adversarial_steps=steps, adversarial_eps=eps)
        outcome = sets.tuned(data, chosen, folder / "state")
        out = folder / "out"
        out.mkdir()
        outcome.write(out)
        found.append(robust_accuracy(out, data, eps))

    plain, robust = found
    assert robust > plain + 0.1


def robust_accuracy(folder: Path, data: TrainingSet, eps: float) -> float:
    """Share of the test pictures' labels that PGD does not turn."""
    from vedette.models.vit import read_recipe
    from vedette.networks.vit import read_config, vit_module
    from vedette.train.finetune.pictures import Pictures

    config = read_config(folder)
    module = vit_module(config)
    rows = data.examples.rows("test")
    with Pictures(data, read_recipe(config), Settings(), sets.options(), 7, folder) as pictures:
        squares = np.concatenate([pixels for _, pixels in pictures.plain(rows, 64)])
    pixels = torch.from_numpy(squares).permute(0, 3, 1, 2).float() / 255
    targets = torch.from_numpy(data.examples.targets[rows]).float()

    def logits(x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = module((x - 0.5) / 0.5)[0]
        return found

    torch.manual_seed(1)
    moved = adversarial(
        logits, lambda z: bce(z, targets, torch.ones_like(targets)), pixels, eps, 10
    )
    with torch.no_grad():
        right = (torch.sigmoid(logits(moved)) > SHIPPED) == targets.bool()
    return float(right.all(dim=1).float().mean())
