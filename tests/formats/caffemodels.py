"""A writer of caffemodels: protocol buffers, as far as they need them, and Yahoo's network."""

from __future__ import annotations

import struct
from collections.abc import Iterable

import numpy as np

from vedette.backends.base import Array


def varint(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def whole(number: int, *values: int) -> bytes:
    return b"".join(varint(number << 3) + varint(value) for value in values)


def real(number: int, value: float) -> bytes:
    return varint(number << 3 | 5) + struct.pack("<f", value)


def part(number: int, data: bytes | str) -> bytes:
    raw = data.encode() if isinstance(data, str) else data
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def blob(values: Array) -> bytes:
    shape = part(7, part(1, b"".join(varint(side) for side in values.shape)))
    return part(7, shape + part(5, values.astype("<f4").tobytes()))


def old_blob(values: Array) -> bytes:
    """As Caffe wrote it before 2015: four sides, and each value by itself."""
    sides = [1] * (4 - values.ndim) + list(values.shape)
    numbers = b"".join(real(5, float(value)) for value in values.flat)
    return part(7, b"".join(whole(n + 1, side) for n, side in enumerate(sides)) + numbers)


def double_blob(values: Array) -> bytes:
    shape = part(7, part(1, b"".join(varint(side) for side in values.shape)))
    return part(7, shape + part(8, values.astype("<f8").tobytes()))


def layer(
    kind: str, inputs: Iterable[str], outputs: Iterable[str], settings: bytes = b"", *more: bytes
) -> bytes:
    name = next(iter(outputs), kind)
    ends = [part(3, i) for i in inputs] + [part(4, o) for o in outputs]
    return part(100, part(1, name) + part(2, kind) + b"".join([*ends, settings, *more]))


def conv(name: str, source: str, settings: bytes, *weights: Array) -> bytes:
    return layer("Convolution", [source], [name], part(106, settings), *(blob(w) for w in weights))


def ending(source: str, weight: Array, bias: Array) -> bytes:
    """What a training network ends in: what comes before it is the embedding."""
    inner = part(117, whole(1, len(bias)))
    return b"".join(
        [
            layer("InnerProduct", [source], ["fc"], inner, blob(weight), blob(bias)),
            layer("SoftmaxWithLoss", ["fc", "label"], ["loss"]),
            layer("Accuracy", ["fc", "label"], ["accuracy"]),
        ]
    )


DATA = layer("Data", [], ["data", "label"])


def resnet_settings(filters: int, k: int, step: int, pad: int) -> bytes:
    return whole(1, filters) + whole(2, 0) + whole(3, pad) + whole(4, k) + whole(6, step)


def normed(name: str, source: str, settings: bytes, weight: Array, relu: bool = True) -> bytes:
    """Convolution, batch norm and scale, as in Caffe's residual networks."""
    count = len(weight)
    ones = np.ones(count, np.float32)
    parts = [
        conv(name, source, settings, weight),
        layer(
            "BatchNorm",
            *([name], [name]),
            b"",
            *(blob(v) for v in (0 * ones, ones, ones[:1])),
        ),
        layer("Scale", [name], [name], part(142, whole(4, 1)), blob(ones), blob(0 * ones)),
    ]
    return b"".join([*parts, layer("ReLU", [name], [name])] if relu else parts)


def open_nsfw() -> bytes:
    """A network of the form of Yahoo's: ResNet-50 with half the filters, random weights."""
    rng = np.random.default_rng(0)

    def weight(filters: int, inputs: int, k: int) -> Array:
        drawn = rng.normal(size=(filters, inputs, k, k)) / np.sqrt(inputs * k * k)
        return np.asarray(drawn, np.float32)

    parts = [DATA, normed("c1", "data", resnet_settings(64, 7, 2, 3), weight(64, 3, 7))]
    parts.append(layer("Pooling", ["c1"], ["p1"], part(121, whole(2, 3) + whole(3, 2))))
    source, inputs = "p1", 64
    for stage, (blocks, width) in enumerate([(3, 32), (4, 64), (6, 128), (3, 256)]):
        for block in range(blocks):
            name, step = f"s{stage}b{block}", 2 if stage and not block else 1
            short = source
            if not block:
                short = f"{name}p"
                settings = resnet_settings(4 * width, 1, step, 0)
                parts.append(normed(short, source, settings, weight(4 * width, inputs, 1), False))
            for branch, (filters, k, s) in enumerate(
                [(width, 1, step), (width, 3, 1), (4 * width, 1, 1)]
            ):
                before = f"{name}_{branch - 1}" if branch else source
                settings = resnet_settings(filters, k, s, k // 2)
                taken = [inputs, width, width][branch]
                parts.append(
                    normed(
                        f"{name}_{branch}", before, settings, weight(filters, taken, k), branch < 2
                    )
                )
            parts.append(layer("Eltwise", [f"{name}_2", short], [name]))
            parts.append(layer("ReLU", [name], [name]))
            source, inputs = name, 4 * width
    parts.append(layer("Pooling", [source], ["pool"], part(121, whole(1, 1) + whole(2, 7))))
    parts.append(ending("pool", weight(2, 1024, 1)[..., 0, 0] / 10, np.zeros(2, "f4")))
    return b"".join(parts)
