"""What a training does to the weights, and what it does not; kills, seeds and bad numbers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from tests.full_disk import full_disk
from tests.train.lora import drawn
from vedette.errors import MissingExtraError, UsageError, VedetteError
from vedette.models.base import ModelOptions
from vedette.models.vlm import base_of, load_network, recipe_of
from vedette.networks.vlm_adapter import (
    ADAPTER,
    LoraShape,
    save_activations,
    weights_of_adapter,
    with_new_adapter,
)
from vedette.train.data import TrainingSet
from vedette.train.finishing import Outcome
from vedette.train.lora.batches import Writer, padded
from vedette.train.lora.loop import LoraLoop, schedule
from vedette.train.lora.options import LoraOptions
from vedette.train.lora.prompts import training_examples


def weights(outcome: Outcome, folder: Path) -> dict[str, Any]:
    folder.mkdir(parents=True)
    outcome.write(folder)
    return dict(load_file(folder / ADAPTER))


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.fixture(scope="module")
def outcome(data: TrainingSet, llava: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return drawn.trained(data, llava, tmp_path_factory.mktemp("state"), drawn.options())


@pytest.fixture(scope="module")
def learned(outcome: Outcome, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return weights(outcome, tmp_path_factory.mktemp("learned") / "adapter")


def test_the_loss_falls(outcome: Outcome) -> None:
    losses = [epoch.values["train loss"] for epoch in outcome.history]

    assert losses[0] > 2
    assert np.mean(losses[-2:]) < 0.5 * losses[0]
    assert outcome.history[-1].number == 1
    assert "validation loss" in outcome.history[-1].values


def test_a_full_disk_is_an_error_of_the_disk(
    outcome: Outcome, data: TrainingSet, llava: Path, tmp_path: Path
) -> None:
    (tmp_path / "adapter").mkdir()
    with full_disk(4096), pytest.raises(OSError, match="too large"):
        outcome.write(tmp_path / "adapter")
    (tmp_path / "state").mkdir()
    with full_disk(4096), pytest.raises(OSError, match="too large"):
        drawn.trained(data, llava, tmp_path / "state", drawn.options())


def test_the_outcome_has_a_logit_for_each_label_of_what_was_held_out(
    outcome: Outcome, data: TrainingSet
) -> None:
    assert data.examples.labels == tuple(c.value for c in drawn.LABELS)
    for part, logits in outcome.logits.items():
        assert logits.shape == (len(data.examples.rows(part)), 3)
        assert np.isfinite(logits).all()
    assert outcome.trained == sum(t.numel() for t in load_shapes(outcome))
    assert outcome.facts["examples"] == 2 * len(data.examples.rows("train"))
    assert outcome.facts["gpu_peak_bytes"] is None or torch.cuda.is_available()


def load_shapes(outcome: Outcome) -> list[Any]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        outcome.write(Path(folder))
        return list(load_file(Path(folder) / ADAPTER).values())


def test_the_same_seed_gives_the_same_weights(
    data: TrainingSet, llava: Path, learned: dict[str, Any], tmp_path: Path
) -> None:
    torch.manual_seed(99)  # whatever the program has drawn before
    again = drawn.trained(data, llava, tmp_path / "state", drawn.options())

    assert same(weights(again, tmp_path / "adapter"), learned)


def test_only_the_adapter_changes(data: TrainingSet, llava: Path, tmp_path: Path) -> None:
    _, files = base_of(f"vlm:{llava}")
    network = load_network(files, recipe_of(files), ModelOptions())
    network = network.with_model(with_new_adapter(network.model, LoraShape(8, 16.0)))
    before = {name: p.clone() for name, p in network.model.named_parameters()}
    examples = training_examples(data.examples, 0)[:32]
    loop = LoraLoop(network, examples, square_of(data), drawn.options(), 0)

    loop.run(tmp_path, lambda _: None)

    after = dict(network.model.named_parameters())
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert changed
    assert all("lora_" in name for name in changed)
    untouched = load_network(files, recipe_of(files), ModelOptions()).model.state_dict()
    base = network.model.get_base_model().state_dict()
    frozen = {n.replace(".base_layer", ""): t for n, t in base.items() if "lora_" not in n}
    assert frozen.keys() == untouched.keys()
    assert all(torch.equal(frozen[name], untouched[name]) for name in frozen)


def test_every_layer_of_the_language_model_has_an_adapter_and_no_other(llava: Path) -> None:
    _, files = base_of(f"vlm:{llava}")
    network = load_network(files, recipe_of(files), ModelOptions())
    names = set(weights_of_adapter(with_new_adapter(network.model, LoraShape(4, 8.0))))

    assert len(names) == 2 * 2 * 7, "A and B, two layers, seven linear maps in each"
    assert all(".language_model.layers." in name for name in names)


def looped(data: TrainingSet, llava: Path, state: Path, **more: object) -> dict[str, Any]:
    """Weights after a few steps without dropout."""
    _, files = base_of(f"vlm:{llava}")
    network = load_network(files, recipe_of(files), ModelOptions())
    torch.manual_seed(0)
    model = with_new_adapter(network.model, LoraShape(4, 8.0, 0.0))
    if more.get("gradient_checkpointing"):
        save_activations(model)
    state.mkdir()
    examples = training_examples(data.examples, 0)[:32]
    loop = LoraLoop(network.with_model(model), examples, square_of(data), drawn.options(**more), 0)
    loop.run(state, lambda _: None)
    return weights_of_adapter(model)


@pytest.mark.parametrize(
    "saving", [{"gradient_accumulation": 3}, {"gradient_checkpointing": True}], ids=str
)
def test_ways_to_save_memory_change_no_step(
    data: TrainingSet, llava: Path, tmp_path: Path, saving: dict[str, Any]
) -> None:
    plain = looped(data, llava, tmp_path / "plain")
    saved = looped(data, llava, tmp_path / "saving", **saving)

    for name, tensor in plain.items():
        # Adam divides by the gradient's size: where that is next to nothing, rounding decides.
        torch.testing.assert_close(saved[name], tensor, rtol=0, atol=1e-3)


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.train.lora import drawn
from vedette.models.vlm import base_of
from vedette.settings import Settings
from vedette.train.lora.trainer import train_lora

pictures, model, state = map(Path, sys.argv[1:])

def say(line):
    if line.startswith("step 5 of"):
        os.kill(os.getpid(), signal.SIGKILL)

data = drawn.training_set(pictures)
train_lora(data, base_of(f"vlm:{model}"), Settings(), drawn.options(), 3, state, say)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_a_training_that_was_killed_ends_with_the_same_weights(
    data: TrainingSet,
    pictures: Path,
    llava: Path,
    learned: dict[str, Any],
    outcome: Outcome,
    tmp_path: Path,
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    run = subprocess.run(
        [sys.executable, "-c", KILLED, str(pictures), str(llava), str(state)],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        check=False,
    )
    assert run.returncode == -signal.SIGKILL, run.stderr.decode()[-2000:]

    again = drawn.trained(data, llava, state, drawn.options())

    assert same(weights(again, tmp_path / "adapter"), learned)
    assert [e.number for e in again.history] == [e.number for e in outcome.history]
    for part, logits in outcome.logits.items():
        np.testing.assert_array_equal(again.logits[part], logits)


def test_a_checkpoint_that_is_damaged_is_not_gone_on_from(
    data: TrainingSet, llava: Path, learned: dict[str, Any], tmp_path: Path
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "adapter-and-moments.safetensors").write_bytes(b"\0" * 64)

    again = drawn.trained(data, llava, state, drawn.options())

    assert same(weights(again, tmp_path / "adapter"), learned)
    assert [path.name for path in state.iterdir()] == ["adapter-and-moments.safetensors"]
    with safe_open(state / "adapter-and-moments.safetensors", framework="pt") as file:
        assert int(file.metadata()["step"]) == 8


def test_a_loss_that_is_no_number_ends_the_training(
    data: TrainingSet, llava: Path, tmp_path: Path
) -> None:
    with pytest.raises(VedetteError, match="no number at step") as raised:
        drawn.trained(data, llava, tmp_path / "s", drawn.options(learning_rate=1e30, epochs=2))

    assert raised.value.code == "training_failed"


def test_weights_that_are_no_numbers_after_an_epoch_are_not_kept(
    data: TrainingSet, llava: Path, tmp_path: Path
) -> None:
    _, files = base_of(f"vlm:{llava}")
    network = load_network(files, recipe_of(files), ModelOptions())
    network = network.with_model(with_new_adapter(network.model, LoraShape(4, 8.0)))
    examples = training_examples(data.examples, 0)[:16]
    loop = LoraLoop(network, examples, square_of(data), drawn.options(batch=16), 0)

    with pytest.raises(VedetteError, match="no number at step 1"):
        loop.run(tmp_path, lambda _: None, lambda: {"validation loss": float("nan")})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"learning_rate": float("nan")}, "--learning-rate and --alpha must be positive"),
        ({"learning_rate": 1e38}, "at most 1e\\+30"),
        ({"alpha": -1.0}, "--learning-rate and --alpha must be positive"),
        ({"alpha": 1e7}, "at most"),
        ({"rank": 0}, "start at 1"),
        ({"four_bit": True, "merge": True}, "cannot be merged"),
    ],
)
def test_options_that_cannot_be_are_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        LoraOptions(**given).check()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_four_bits_are_refused_without_a_gpu(
    data: TrainingSet, llava: Path, tmp_path: Path
) -> None:
    with pytest.raises((UsageError, MissingExtraError), match="CUDA GPU"):
        drawn.trained(data, llava, tmp_path / "s", drawn.options(four_bit=True))


def test_only_the_answer_is_learned(data: TrainingSet, llava: Path) -> None:
    _, files = base_of(f"vlm:{llava}")
    network = load_network(files, recipe_of(files), ModelOptions())
    examples = training_examples(data.examples, 0)[:6]
    written = [Writer(network, "definitions")(example) for example in examples]

    inputs, learned = padded(network, written)

    decode = network.processor.tokenizer.decode
    for row, example in enumerate(examples):
        answer = decode(learned[row][learned[row] >= 0])
        named = "safe : none" if example.answer is None else f"unsafe : {example.answer.value}"
        assert answer == f"{named} </s>"
        assert inputs["attention_mask"][row].sum() == len(written[row].ids)


def test_the_schedule_rises_and_falls() -> None:
    rates = [schedule(step, 100, 0.03) for step in range(100)]

    assert rates[:3] == pytest.approx([1 / 3, 2 / 3, 1])
    assert rates[3] == 1
    assert rates == [*rates[:4], *sorted(rates[4:], reverse=True)]
    assert rates[-1] < 1e-3
    assert schedule(0, 1, 0.03) == 1


def square_of(data: TrainingSet) -> Any:
    """Squares that have something to do with the labels."""
    names = {row: key.split("/")[-2] for row, key in enumerate(data.examples.keys)}
    return lambda row: drawn.square(names[row], row)
