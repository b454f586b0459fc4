"""Caffe networks as ONNX: caffemodels written here, each layer against torch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from tests.formats.caffemodels import (
    DATA,
    blob,
    conv,
    double_blob,
    ending,
    layer,
    old_blob,
    open_nsfw,
    part,
    real,
    whole,
)
from tests.formats.networks import run
from vedette.backends.base import Array
from vedette.errors import ModelError
from vedette.formats.caffe import to_onnx

RNG = np.random.default_rng(11)


def drawn(*shape: int) -> Array:
    return RNG.normal(size=shape).astype(np.float32)


W = {
    "conv": drawn(4, 3, 3, 2),
    "bias": drawn(4),
    "groups": drawn(6, 1, 1, 1),
    "spread": drawn(2, 3, 3, 3),
    "mean": drawn(3),
    "variance": np.abs(drawn(3)) + 1,
    "count": np.array([3.0], np.float32),
    "zero": np.zeros(1, np.float32),
    "gamma": drawn(3),
    "beta": drawn(3),
}
T = {name: torch.from_numpy(values) for name, values in W.items()}


def norm(x: torch.Tensor, count: float) -> torch.Tensor:
    return F.batch_norm(x, T["mean"] / count, T["variance"] / count, eps=1e-4)


def channels(values: torch.Tensor) -> torch.Tensor:
    return values.reshape(-1, 1, 1)


def pool(*settings: bytes) -> bytes:
    return layer("Pooling", ["data"], ["x"], part(121, b"".join(settings)))


AVE = whole(1, 1)
Torch = Callable[[torch.Tensor], torch.Tensor]
CASES: dict[str, tuple[bytes, Torch]] = {
    "convolution": (
        conv(
            "x",
            "data",
            whole(1, 4) + whole(11, 3) + whole(12, 2) + whole(6, 2) + whole(9, 1) + whole(10, 0),
            *(W["conv"], W["bias"]),
        ),
        lambda x: F.conv2d(x, T["conv"], T["bias"], 2, (1, 0)),
    ),
    "convolution without bias, dilated": (
        conv("x", "data", whole(1, 2) + whole(2, 0) + whole(4, 3) + whole(18, 2), W["spread"]),
        lambda x: F.conv2d(x, T["spread"], dilation=2),
    ),
    "convolution in groups, as doubles": (
        layer(
            "Convolution",
            ["data"],
            ["x"],
            part(106, whole(1, 6) + whole(2, 0) + whole(4, 1, 1) + whole(5, 3)),
            double_blob(W["groups"]),
        ),
        lambda x: F.conv2d(x, T["groups"], groups=3),
    ),
    "batch norm and scale, in place": (
        layer(
            "BatchNorm",
            *(["data"], ["data"]),
            part(139, real(2, 1e-4)),
            *(blob(W[name]) for name in ("mean", "variance", "count")),
        )
        + layer(
            "Scale", ["data"], ["x"], part(142, whole(4, 1)), blob(W["gamma"]), old_blob(W["beta"])
        ),
        lambda x: norm(x, 3.0) * channels(T["gamma"]) + channels(T["beta"]),
    ),
    "scale without bias": (
        layer("Scale", ["data"], ["x"], b"", blob(W["gamma"])),
        lambda x: x * channels(T["gamma"]),
    ),
    "batch norm that saw nothing": (
        layer(
            "BatchNorm",
            *(["data"], ["x"]),
            part(139, real(2, 1e-4)),
            *(blob(W[name]) for name in ("mean", "variance", "zero")),
        ),
        lambda x: x / np.sqrt(1e-4),
    ),
    "relu in place": (
        layer("ReLU", ["data"], ["data"]) + layer("Dropout", ["data"], ["x"]),
        lambda x: F.relu(x),
    ),
    "sloped relu": (
        layer("ReLU", ["data"], ["x"], part(123, real(1, 0.25))),
        lambda x: F.leaky_relu(x, 0.25),
    ),
    "split and sum": (
        layer("Split", ["data"], ["a", "b"]) + layer("Eltwise", ["a", "b", "data"], ["x"]),
        lambda x: 3 * x,
    ),
    "max pool, cut off": (
        pool(whole(2, 3), whole(3, 2)),
        lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True),
    ),
    "max pool, rounded down": (
        pool(whole(2, 3), whole(3, 2), whole(13, 1)),
        lambda x: F.max_pool2d(x, 3, 2),
    ),
    "max pool, padded": (
        pool(whole(5, 3), whole(6, 2), whole(3, 2), whole(4, 1)),
        lambda x: F.max_pool2d(x, (3, 2), 2, 1, ceil_mode=True),
    ),
    "average pool, cut off": (
        pool(AVE, whole(2, 3), whole(3, 2)),
        lambda x: F.avg_pool2d(x, 3, 2, ceil_mode=True),
    ),
    "average pool, padded and cut off": (
        pool(AVE, whole(2, 3), whole(7, 2), whole(8, 3), whole(9, 1), whole(10, 1)),
        lambda x: F.avg_pool2d(x, 3, (2, 3), 1, ceil_mode=True),
    ),
    "global average": (
        pool(AVE, whole(12, 1)),
        lambda x: x.mean((2, 3), keepdim=True),
    ),
    "softmax over channels": (layer("Softmax", ["data"], ["x"]), lambda x: F.softmax(x, 1)),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("size", [(10, 9), (7, 8), (6, 5)])
def test_layer_is_torchs(name: str, size: tuple[int, int]) -> None:
    layers, reference = CASES[name]
    images = np.random.default_rng(4).normal(size=(2, *size, 3)).astype(np.float32)
    flat = reference(torch.from_numpy(images).permute(0, 3, 1, 2)).reshape(2, -1).numpy()
    weight, bias = drawn(2, flat.shape[1]), drawn(2)
    network = to_onnx(DATA + layers + ending("x", weight, bias), *size)
    probabilities, embedding = run(network, images)
    np.testing.assert_allclose(embedding, flat, rtol=1e-4, atol=1e-4)
    logits = torch.from_numpy(flat @ weight.T + bias)
    np.testing.assert_allclose(probabilities, F.softmax(logits, 1), atol=1e-4)


@given(
    side=st.integers(2, 12),
    k=st.integers(1, 5),
    step=st.integers(1, 4),
    pad=st.integers(0, 2),
    average=st.booleans(),
)
def test_windows_are_caffes(side: int, k: int, step: int, pad: int, average: bool) -> None:
    """Against the loops of Caffe's own pooling layer."""
    data = DATA + pool(whole(1, int(average)), whole(2, k), whole(3, step), whole(4, pad))
    images = np.random.default_rng(side).normal(size=(1, side, side, 3)).astype(np.float32)
    wanted = pooled(images[0], k, step, pad, average) if pad < k <= side + 2 * pad else None
    if wanted is None:
        assert outcome(data + ending("x", drawn(2, 3), drawn(2)), side) == "weights_unusable"
        return
    network = to_onnx(data + ending("x", drawn(2, wanted.size), drawn(2)), side, side)
    found = run(network, images)[1][0]
    np.testing.assert_allclose(found, wanted.transpose(2, 0, 1).reshape(-1), atol=1e-5)


def pooled(image: Array, k: int, step: int, pad: int, average: bool) -> Array | None:
    side = image.shape[0]
    count = -(-(side + 2 * pad - k) // step) + 1
    if pad and (count - 1) * step >= side + pad:
        count -= 1
    out = np.zeros((count, count, 3), np.float32)
    for i in range(count):
        for j in range(count):
            top, left = i * step - pad, j * step - pad
            bottom, right = min(top + k, side + pad), min(left + k, side + pad)
            area = (bottom - top) * (right - left)
            window = image[max(top, 0) : min(bottom, side), max(left, 0) : min(right, side)]
            if not window.size:
                return None  # Caffe itself answers with the least float, or divides by nothing
            out[i, j] = window.sum((0, 1)) / area if average else window.max((0, 1))
    return out


def test_a_network_for_use_declares_its_input_and_its_softmax() -> None:
    weight, bias = drawn(2, 48), drawn(2)
    inner = layer(
        "InnerProduct", ["data"], ["fc"], part(117, whole(1, 2)), blob(weight), blob(bias)
    )
    data = part(3, "data") + inner + layer("Softmax", ["fc"], ["prob"])
    images = np.random.default_rng(0).normal(size=(1, 4, 4, 3)).astype(np.float32)
    found = run(to_onnx(data, 4, 4), images)[0]
    logits = images.transpose(0, 3, 1, 2).reshape(1, -1) @ weight.T + bias
    np.testing.assert_allclose(found, F.softmax(torch.from_numpy(logits), 1), atol=1e-5)


def small() -> bytes:
    settings = whole(1, 4) + whole(11, 3) + whole(12, 2)
    first = conv("x", "data", settings, W["conv"], W["bias"])
    return DATA + first + layer("ReLU", ["x"], ["x"]) + ending("x", drawn(2, 168), drawn(2))


def outcome(data: bytes, side: int = 8) -> str:
    try:
        to_onnx(data, side, side)
    except ModelError as error:
        return error.code
    return "read"


def words(data: bytes) -> str:
    with pytest.raises(ModelError) as caught:
        to_onnx(data, 8, 8)
    assert caught.value.code == "weights_unusable"
    return caught.value.message


def test_an_unknown_layer_is_refused_by_name() -> None:
    data = DATA + layer("PReLU", ["data"], ["x"])
    assert words(data) == "layer 'x' (PReLU): a layer of this kind is not read"


SAME = layer("Split", ["data"], ["x"])


@pytest.mark.parametrize(
    ("data", "part_of_message"),
    [
        (b"", "no input, no dense layer, or no output"),
        (DATA + SAME, "no input, no dense layer, or no output"),
        (part(2, b""), "V1"),
        (DATA + layer("ReLU", ["no"], ["x"]), "not in the network"),
        (DATA + layer("ReLU", ["data"], []), "no output"),
        (DATA + layer("ReLU", ["data", "data"], ["x"]), "2 inputs"),
        (DATA + layer("ReLU", ["data"], ["x"], part(123, real(1, np.nan))), "slope"),
        (DATA + layer("Eltwise", ["data", "data"], ["x"], part(110, whole(1, 0))), "plain sums"),
        (DATA + layer("Eltwise", ["data", "data"], ["x"], part(110, real(2, 0.5))), "plain sums"),
        (DATA + layer("Eltwise", ["data"], ["x"]), "single one"),
        (DATA + conv("x", "data", whole(1, 4) + whole(4, 3)), "weights of"),
        (DATA + conv("x", "data", whole(1, 4)), "a size is missing"),
        (DATA + conv("x", "data", whole(1, 4) + whole(4, 3, 3, 3)), "not for pictures"),
        (DATA + conv("x", "data", whole(1, 4) + whole(4, 1 << 40)), "no usable number"),
        (DATA + conv("x", "data", whole(1, 4) + whole(4, 3) + whole(5, 2)), "groups"),
        (DATA + conv("x", "data", whole(1, 4) + real(4, 3.0)), "no number"),
        (DATA + pool(whole(1, 2), whole(2, 2)), "maxima and averages"),
        (DATA + pool(whole(2, 2), whole(4, 2)), "padding"),
        (DATA + pool(whole(2, 1), whole(3, 9)), "outside the picture"),
        (DATA + layer("Scale", ["data"], ["x"], part(142, whole(1, 0))), "one factor"),
        (DATA + layer("Softmax", ["data"], ["x"], part(125, whole(2, 2))), "over channels"),
        (DATA + layer("Scale", ["data"], ["x"], b"", part(7, part(5, b"abc"))), "inside a number"),
        (DATA + layer("Scale", ["data"], ["x"], b"", part(7, real(5, 1.0) * 2)), "do not fill"),
        (DATA + part(100, part(1, b"\xff")), "not text"),
        (DATA + SAME + whole(100, 7), "another type"),
        (DATA + layer("Scale", ["data"], ["x"], b"", blob(np.full(3, np.nan))), "not finite"),
        (
            DATA
            + layer(
                "BatchNorm",
                *(["data"], ["x"]),
                b"",
                *(blob(W["mean"]), blob(-W["variance"]), blob(W["count"])),
            ),
            "variance",
        ),
    ],
)
def test_what_is_not_read_is_refused(data: bytes, part_of_message: str) -> None:
    assert part_of_message in words(data)


SMALL = small()


def test_every_truncated_file_is_refused() -> None:
    assert outcome(SMALL) == "read"
    # The layer that counts hits ends the file: without it, or any part of it, nothing is lost.
    last = len(SMALL) - len(layer("Accuracy", ["fc", "label"], ["accuracy"]))
    for end in range(0, last, 7):
        assert outcome(SMALL[:end]) == "weights_unusable", end


@given(at=st.integers(0, len(SMALL) - 1), byte=st.integers(0, 255), more=st.binary(max_size=4))
def test_damaged_files_are_refused_or_read(at: int, byte: int, more: bytes) -> None:
    damaged = SMALL[:at] + bytes([byte]) + more + SMALL[at + 1 :]
    assert outcome(damaged) in ("read", "weights_unusable")


@given(data=st.binary(max_size=200))
def test_random_bytes_are_refused(data: bytes) -> None:
    assert outcome(data) == "weights_unusable"


def test_a_network_of_the_form_of_open_nsfw() -> None:
    network = to_onnx(open_nsfw(), 224, 224)
    assert (network.labels, network.dim) == (2, 1024)
    images = np.random.default_rng(0).normal(size=(1, 224, 224, 3))
    probabilities, embedding = run(network, images)
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert np.isfinite(embedding).all()
    assert embedding.std() > 0
