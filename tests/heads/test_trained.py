"""Trained heads: stored and read again to the bit, refused when damaged, and the same in torch."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from tests.trained_folders import CURVES, LABELS, mlp, prompts
from tests.zoo import random_rows
from vedette.calibrate import Calibration, Calibrator, Method, log_odds, sigmoid
from vedette.errors import ModelError
from vedette.heads.base import Dense, Mlp
from vedette.heads.in_torch import calibrated, in_torch
from vedette.heads.trained import (
    TrainedHead,
    TrainedMlp,
    TrainedPrompts,
    facts_of,
    read_head,
    tensors_of,
    write_head,
)

HEADS: dict[str, TrainedHead] = {
    "mlp": mlp(12),
    "logistic": mlp(12, hidden=0, unit=False),
    "prompts": prompts(12),
}
EVERY = pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)


def stored(head: TrainedHead, path: Path) -> TrainedHead:
    write_head(path, head)
    return read_head(path, facts_of(head))


@EVERY
def test_what_is_written_is_read(head: TrainedHead, tmp_path: Path) -> None:
    again = stored(head, tmp_path / "head.safetensors")
    rows = random_rows(20, 12)

    assert type(again) is type(head)
    assert (again.labels, again.unit, again.dim) == (head.labels, head.unit, 12)
    np.testing.assert_array_equal(again.logits(rows), head.logits(rows))
    np.testing.assert_array_equal(again.scores(rows), head.scores(rows))


@given(
    labels=st.integers(1, 5),
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    unit=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_any_shape_comes_back(
    tmp_path_factory: pytest.TempPathFactory, labels: int, sizes: list[int], unit: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    widths = [*sizes, 1]

    def chain() -> Mlp:
        return Mlp(
            tuple(
                Dense(
                    rng.standard_normal((a, b)).astype(np.float32),
                    rng.standard_normal(b).astype(np.float32),
                    "linear" if at == len(sizes) - 1 else "relu",
                )
                for at, (a, b) in enumerate(pairwise(widths))
            )
        )

    head = TrainedMlp(tuple(map(str, range(labels))), tuple(chain() for _ in range(labels)), unit)
    again = stored(head, tmp_path_factory.mktemp("head") / "head.safetensors")
    rows = rng.standard_normal((4, sizes[0])).astype(np.float32)

    np.testing.assert_array_equal(again.logits(rows), head.logits(rows))
    assert again.logits(rows).shape == (4, labels)
    made = in_torch(again)
    assert made is not None
    seen = rows / np.linalg.norm(rows, axis=1, keepdims=True) if unit else rows
    with torch.no_grad():
        got = made[0](torch.from_numpy(rows)).numpy()
    np.testing.assert_allclose(got, head.logits(seen), rtol=1e-4, atol=1e-4)


@EVERY
@pytest.mark.parametrize("cut", [0, 7, 60, -1])
def test_a_file_that_is_cut_is_refused(head: TrainedHead, tmp_path: Path, cut: int) -> None:
    path = tmp_path / "head.safetensors"
    write_head(path, head)
    path.write_bytes(path.read_bytes()[:cut])
    refused(path, facts_of(head))


@EVERY
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_are_refused(
    head: TrainedHead, tmp_path: Path, value: float
) -> None:
    for name in tensors_of(head):
        path = tmp_path / f"{name}.safetensors"
        write_head(path, head)
        tensors = load_file(path)
        tensors[name].flat[0] = value
        save_file(tensors, path)
        refused(path, facts_of(head))


@EVERY
def test_tensors_of_other_shapes_are_refused(head: TrainedHead, tmp_path: Path) -> None:
    whole = tensors_of(head)
    for number, name in enumerate(whole):
        others = [whole[name][:-1], whole[name][..., None], whole[name].reshape(-1)]
        others.append(np.zeros((0, *whole[name].shape[1:]), np.float32))
        for at, other in enumerate(others):
            path = tmp_path / f"{number}-{at}.safetensors"
            save_file({**whole, name: np.ascontiguousarray(other)}, path)
            refused(path, facts_of(head))
        path = tmp_path / f"{number}.safetensors"
        save_file({k: v for k, v in whole.items() if k != name}, path)
        refused(path, facts_of(head))


@EVERY
@pytest.mark.parametrize(
    "change",
    [
        {"labels": []},
        {"labels": ["Hate", "Hate", "Spam"]},
        {"labels": ["Hate"]},
        {"labels": 7},
        {"unit": 1},
        {"unit": None},
        {"form": "tree"},
        {"form": None},
    ],
    ids=str,
)
def test_facts_that_do_not_fit_are_refused(
    head: TrainedHead, tmp_path: Path, change: dict[str, Any]
) -> None:
    path = tmp_path / "head.safetensors"
    write_head(path, head)
    refused(path, facts_of(head) | change)


@pytest.mark.parametrize("scale", [0, -1, 1e9, float("nan"), "fast", None])
def test_a_scale_that_no_clip_has_is_refused(tmp_path: Path, scale: object) -> None:
    path = tmp_path / "head.safetensors"
    write_head(path, prompts(12))
    refused(path, facts_of(prompts(12)) | {"scale": scale})


def test_a_head_that_is_not_there_or_has_no_facts(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        read_head(tmp_path / "head.safetensors", facts_of(mlp(4)))
    assert caught.value.code == "weights_missing"
    write_head(tmp_path / "head.safetensors", mlp(4))
    refused(tmp_path / "head.safetensors", {})


def refused(path: Path, facts: dict[str, Any]) -> None:
    with pytest.raises(ModelError) as caught:
        read_head(path, facts)
    assert caught.value.code == "weights_unusable"


def test_prompts_are_clips_own_softmax_over_two() -> None:
    head = prompts(12, scale=100.0)
    rows = random_rows(9, 12)
    for k in range(len(LABELS)):
        pair = 100 * np.stack([rows @ head.safe[k], rows @ head.unsafe[k]], axis=1).astype(float)
        powers = np.exp(pair - pair.max(axis=1, keepdims=True))
        wanted = powers[:, 1] / powers.sum(axis=1)
        np.testing.assert_allclose(head.scores(rows)[:, k], wanted, atol=2e-5)


@EVERY
def test_torch_has_the_same_logits(head: TrainedHead) -> None:
    made = in_torch(head)
    assert made is not None
    module, multi_label = made
    rows = random_rows(10, 12)
    long = rows * np.linspace(0.1, 9, 10, dtype=np.float32)[:, None]
    seen = rows if head.unit or isinstance(head, TrainedPrompts) else long

    assert multi_label
    np.testing.assert_allclose(module(torch.from_numpy(long)).numpy(), head.logits(seen), atol=1e-4)


def test_a_cosine_of_nothing_is_no_nan() -> None:
    for head in (mlp(12), prompts(12)):
        made = in_torch(head)
        assert made is not None
        assert torch.isfinite(made[0](torch.zeros(1, 12))).all()


@pytest.mark.parametrize("method", CURVES)
def test_a_calibrated_module_is_above_zero_where_the_probability_is_above_half(
    method: Method,
) -> None:
    curve = CURVES[method]
    calibration = Calibration("c", "m", {"b": curve})
    z = torch.linspace(-12, 12, 4001)[:, None].repeat(1, 2)
    out = calibrated(torch.nn.Identity(), ("a", "b"), calibration)(z).numpy()
    p = calibration.probabilities(("a", "b"), torch.sigmoid(z).numpy())

    np.testing.assert_array_equal(out[:, 0], z[:, 0].numpy())
    sure = np.abs(out[:, 1]) > 1e-4
    np.testing.assert_array_equal((p[:, 1] >= 0.5)[sure], (out[:, 1] > 0)[sure])
    assert sure.sum() > 3990
    if method != "isotonic":
        np.testing.assert_allclose(1 / (1 + np.exp(-out[:, 1])), p[:, 1], atol=1e-5)


def test_without_a_calibration_the_module_is_itself() -> None:
    identity = torch.nn.Identity()
    assert calibrated(identity, ("a",), None) is identity


@st.composite
def _curves(draw: st.DrawFn) -> Calibrator:
    unit = st.floats(0, 1, width=32)
    shift = draw(st.floats(-3, 3))
    method = draw(st.sampled_from(["temperature", "platt", "beta", "isotonic"]))
    if method == "temperature":
        return Calibrator("temperature", (draw(st.floats(0.1, 10)),), shift=shift)
    if method == "platt":
        return Calibrator("platt", (draw(st.floats(0, 5)), draw(st.floats(-3, 3))), shift=shift)
    if method == "beta":
        ab = draw(st.floats(0, 5)), draw(st.floats(0, 5))
        return Calibrator("beta", (*ab, draw(st.floats(-3, 3))), shift=shift)
    x = sorted(draw(st.sets(unit, min_size=1, max_size=6)))
    y = sorted(draw(st.lists(unit, min_size=len(x), max_size=len(x))))
    return Calibrator("isotonic", x=tuple(x), y=tuple(y), shift=shift)


@given(_curves())
def test_half_is_where_a_curve_passes_one_half(curve: Calibrator) -> None:
    half, step = curve.half, 1e-4
    lowest, highest = float(log_odds(0.0)), float(log_odds(1.0))
    if half > highest:
        assert curve(np.array(1.0)) < 0.5
    elif half < lowest:
        assert curve(np.array(0.0)) >= 0.5
    else:
        assert curve(sigmoid(np.array(half + step))) >= 0.5
        if half - step > lowest:
            assert curve(sigmoid(np.array(half - step))) < 0.5
