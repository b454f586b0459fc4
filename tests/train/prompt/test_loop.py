"""The loop: held to a plain torch loop, resumed after a kill, stopped by its validation loss."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from tests.train.sets import planted
from vedette.errors import VedetteError
from vedette.train.prompt.loop import SCALE, Learned, Lessons, Run, learn
from vedette.train.prompt.options import PromptOptions
from vedette.types import Float32

DIM = 24
OPTIONS = PromptOptions(form="q16", epochs=6, batch=32, learning_rate=1e-2)


def free(vectors: Any) -> Any:
    return torch.nn.functional.normalize(vectors, dim=-1)


def lessons_of(distance: float = 6.0, seed: int = 0) -> Lessons:
    data, rows = planted(dim=DIM, distance=distance, seed=seed)
    rows = rows + np.float32(6 / DIM**0.5)  # in a cone, as CLIP's are: prompts have no bias
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    examples = data.examples
    known = examples.known.copy()
    known[::7, 1] = False  # some images say nothing about the second label
    return Lessons(
        unit, examples.targets, known, examples.rows("train"), examples.rows("validation")
    )


def begin(labels: int = 3, seed: int = 1) -> Float32:
    drawn = np.random.default_rng(seed).standard_normal((labels, 2, DIM)).astype(np.float32)
    return np.asarray(drawn / np.linalg.norm(drawn, axis=-1, keepdims=True), dtype=np.float32)


def learned(
    folder: Path,
    lessons: Lessons | None = None,
    options: PromptOptions = OPTIONS,
    start: Float32 | None = None,
    said: list[str] | None = None,
    seed: int = 7,
) -> Learned:
    run = Run(seed, folder / "state.safetensors", say=(said if said is not None else []).append)
    return learn(lessons or lessons_of(), begin() if start is None else start, free, options, run)


def reference(lessons: Lessons, k: int, start: Float32, options: PromptOptions) -> Float32:
    """One label alone: CLIP's softmax over its two vectors, cross-entropy, Adam."""
    prompts = torch.nn.Parameter(torch.from_numpy(start[k].copy()))
    adam = torch.optim.Adam([prompts], lr=options.learning_rate)
    rows, targets = torch.from_numpy(lessons.features), torch.from_numpy(lessons.targets[:, k])
    known = torch.from_numpy(lessons.known[:, k])
    for epoch in range(1, options.epochs + 1):
        order = np.random.default_rng([7, epoch]).permutation(lessons.train)
        for batch in torch.from_numpy(order).split(options.batch):  # type: ignore[no-untyped-call]
            mine = batch[known[batch]]
            logits = SCALE * rows[mine] @ (prompts / prompts.norm(dim=-1, keepdim=True)).T
            loss = torch.nn.functional.cross_entropy(logits, targets[mine].long())
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
    kept: Float32 = prompts.detach().numpy()
    return np.asarray(kept / np.linalg.norm(kept, axis=-1, keepdims=True), dtype=np.float32)


def assert_equal(one: Learned, other: Learned) -> None:
    np.testing.assert_array_equal(one.vectors, other.vectors)
    np.testing.assert_array_equal(one.directions, other.directions)
    assert one.history == other.history
    assert one.start == other.start


def test_all_labels_at_once_are_what_each_is_in_a_plain_loop(tmp_path: Path) -> None:
    lessons, start = lessons_of(), begin()

    found = learned(tmp_path, lessons, start=start)

    for k in range(3):
        wanted = reference(lessons, k, start, OPTIONS)
        np.testing.assert_allclose(found.directions[k], wanted, atol=1e-4)
    assert np.abs(found.directions - start).max() > 0.05


def test_the_same_seed_gives_the_same_and_another_one_does_not(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).mkdir()

    one, again = learned(tmp_path / "a"), learned(tmp_path / "b")

    assert_equal(one, again)
    other = learned(tmp_path / "c", seed=8)
    assert not np.array_equal(one.vectors, other.vectors)


def test_the_loss_falls_and_f1_rises_over_the_start(tmp_path: Path) -> None:
    options = replace(OPTIONS, epochs=15)

    found = learned(tmp_path, options=options)

    losses = [epoch.values["train loss"] for epoch in found.history]
    assert losses[-1] < losses[0] / 3
    assert found.history[-1].values["validation F1"] > found.start["validation F1"] + 0.2
    assert found.history[-1].values["validation F1"] > 0.9
    np.testing.assert_allclose(np.linalg.norm(found.directions, axis=-1), 1, atol=1e-5)


def test_images_of_which_a_label_is_not_known_do_not_count(tmp_path: Path) -> None:
    lessons = lessons_of()
    turned = lessons.targets ^ ~lessons.known
    for name in "ab":
        (tmp_path / name).mkdir()

    one = learned(tmp_path / "a", lessons)
    other = learned(tmp_path / "b", replace(lessons, targets=turned))

    assert (turned != lessons.targets).any()
    assert_equal(one, other)


class Killed(BaseException):
    """Nothing catches it, as nothing catches a kill."""


@pytest.mark.parametrize("patience", [0, 2])
def test_a_killed_run_goes_on_and_ends_as_an_undisturbed_one(tmp_path: Path, patience: int) -> None:
    options = replace(OPTIONS, patience=patience, epochs=12)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    wanted = learned(whole, options=options)

    def stop(line: str) -> None:
        if line.startswith("epoch 3 "):
            raise Killed

    run = Run(7, broken / "state.safetensors", say=stop)
    with pytest.raises(Killed):
        learn(lessons_of(), begin(), free, options, run)
    said: list[str] = []
    found = learned(broken, options=options, said=said)

    assert said[0] == "going on after epoch 3"
    assert_equal(found, wanted)


def test_a_checkpoint_of_other_data_or_a_broken_one_is_not_gone_on_from(tmp_path: Path) -> None:
    wanted = learned(tmp_path)
    path = tmp_path / "state.safetensors"
    whole = path.read_bytes()
    said: list[str] = []

    learned(tmp_path, lessons_of(seed=5), said=said)
    assert said[0].startswith("epoch 1 ")

    for broken in (whole[: len(whole) // 2], b"", b"{}"):
        path.write_bytes(broken)
        assert_equal(learned(tmp_path), wanted)
    tensors = load_file(path)
    save_file(tensors, path)  # without what stands beside the tensors
    assert_equal(learned(tmp_path), wanted)


def test_a_finished_run_is_not_run_again(tmp_path: Path) -> None:
    wanted = learned(tmp_path)
    said: list[str] = []

    found = learned(tmp_path, said=said)

    assert said == ["going on after epoch 6"]
    assert_equal(found, wanted)


def test_each_label_keeps_its_epoch_of_the_lowest_validation_loss(tmp_path: Path) -> None:
    # Hardly to be told apart, so that the loss on other images soon rises.
    lessons = lessons_of(distance=1.0)
    options = replace(OPTIONS, epochs=60, patience=3)
    for name in ("early", *(f"{n}" for n in range(1, 61))):
        (tmp_path / name).mkdir()

    found = learned(tmp_path / "early", lessons, options)

    assert len(found.history) < 60
    ends = [
        learned(tmp_path / f"{n}", lessons, replace(options, epochs=n, patience=0)).vectors
        for n in range(1, len(found.history) + 1)
    ]
    losses = np.array([[_loss(lessons, v, k) for k in range(3)] for v in ends])
    for k in range(3):
        kept = next(n for n, v in enumerate(ends) if np.array_equal(v[k], found.vectors[k]))
        # The first epoch that no one of the next three is better than.
        wanted = next(
            n for n in range(len(ends)) if losses[n, k] <= losses[: min(n + 4, len(ends)), k].min()
        )
        assert kept == wanted


def _loss(lessons: Lessons, vectors: Float32, k: int) -> float:
    rows = lessons.validation[lessons.known[lessons.validation, k]]
    unit = vectors[k] / np.linalg.norm(vectors[k], axis=-1, keepdims=True)
    logit = SCALE * lessons.features[rows] @ (unit[1] - unit[0])
    sign = np.where(lessons.targets[rows, k], -1.0, 1.0)
    return float(np.logaddexp(0, sign * logit).mean())


def test_without_images_for_validation_nothing_stops_it(tmp_path: Path) -> None:
    lessons = replace(lessons_of(), validation=np.zeros(0, dtype=np.int64))

    found = learned(tmp_path, lessons, replace(OPTIONS, patience=1))

    assert len(found.history) == OPTIONS.epochs
    assert found.start == {}
    assert set(found.history[0].values) == {"train loss"}


def test_a_label_without_a_known_image_for_validation_keeps_its_last_epoch(tmp_path: Path) -> None:
    lessons = lessons_of()
    known = lessons.known.copy()
    known[lessons.validation, 2] = False
    for name in "ab":
        (tmp_path / name).mkdir()

    stopping = learned(tmp_path / "a", replace(lessons, known=known), replace(OPTIONS, patience=1))
    last = learned(tmp_path / "b", replace(lessons, known=known))

    np.testing.assert_array_equal(stopping.vectors[2], last.vectors[2])
    assert len(stopping.history) == OPTIONS.epochs


def test_a_loss_that_is_no_number_is_an_error_and_not_a_model(tmp_path: Path) -> None:
    lessons = lessons_of()
    features = lessons.features.copy()
    features[lessons.train[5], 3] = np.nan

    with pytest.raises(VedetteError) as told:
        learned(tmp_path, replace(lessons, features=features))

    assert told.value.code == "training_failed"
    assert "--learning-rate" in (told.value.hint or "")
    assert not list(tmp_path.iterdir())


def test_prompts_without_a_direction_are_an_error_and_not_a_model(tmp_path: Path) -> None:
    run = Run(7, tmp_path / "state.safetensors")

    with pytest.raises(VedetteError) as told:
        learn(lessons_of(), begin(), lambda vectors: vectors * 0, OPTIONS, run)

    assert told.value.code == "training_failed"


def test_a_checkpoint_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(VedetteError) as told:
        learned(tmp_path / "not-there")

    assert told.value.code == "write_failed"


def test_a_checkpoint_of_other_parts_is_not_gone_on_with(tmp_path: Path) -> None:
    lessons = lessons_of()
    learned(tmp_path, lessons, replace(OPTIONS, epochs=2))
    swapped = replace(lessons, train=lessons.validation, validation=lessons.train)
    said: list[str] = []

    learned(tmp_path, swapped, said=said)

    assert not any("going on" in line for line in said)
