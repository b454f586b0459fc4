"""Static int8 quantisation of an ONNX network, calibrated on the user's own pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vedette.backends.base import PixelNorm
from vedette.compile.quiet import quiet
from vedette.compile.torch_onnx import IMAGES
from vedette.errors import ModelError
from vedette.extras import require
from vedette.types import Float32, UInt8

_QUANTISED = ["MatMul", "Gemm", "Conv"]
"""What takes the time. Norms, softmax and activations stay in floating point."""


@dataclass(frozen=True, slots=True)
class Drift:
    """How far reduced precision moves the probabilities of pictures it was not calibrated on."""

    pictures: int
    largest: float
    """0..1"""
    mean: float
    """0..1"""
    flips: int
    """Pictures whose highest label became another one."""

    def __str__(self) -> str:
        return (
            f"probabilities moved by at most {self.largest:.4f}, by {self.mean:.4f} on average; "
            f"{self.flips} of {self.pictures} pictures changed their first label"
        )


def drift(reference: Float32, reduced: Float32) -> Drift:
    """The drift of float32 probabilities [pictures, labels] from those of fp32.

    Raises:
        ValueError: no pictures.
    """
    if not len(reference):
        raise ValueError("no pictures to measure the drift on")
    moved = np.abs(reference - reduced)
    flips = int((reference.argmax(axis=1) != reduced.argmax(axis=1)).sum())
    return Drift(len(reference), float(moved.max()), float(moved.mean()), flips)


def check_libraries() -> Any:
    """ONNX Runtime's tools that quantise; asked for early where a training comes first.

    Raises:
        MissingExtraError: onnx or onnxruntime is not installed.
    """
    require("onnx", extra="zoo")
    return require("onnxruntime.quantization", extra="onnx")


def quantise(network: Path, pictures: Iterable[UInt8], norm: PixelNorm, out: Path) -> None:
    """Write ``network`` with int8 weights and activations to ``out``.

    Weights are scaled for each channel, activations by the extremes that ``pictures`` reach.

    Args:
        network: an ONNX file whose one input is ``images``.
        pictures: uint8 [h, w, 3], as the model prepares them.
        norm: of the pixels.
        out: the new ONNX file.

    Raises:
        ModelError: ``backend_failed``: ONNX Runtime cannot quantise it.
        MissingExtraError: onnx or onnxruntime is not installed.
    """
    quantization = check_libraries()
    feeds = _feeds(pictures, norm)

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc, name-defined]
        def get_next(self) -> dict[str, Float32] | None:
            return next(feeds, None)

    try:
        with quiet():
            quantization.quantize_static(
                str(network),
                str(out),
                Reader(),
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                op_types_to_quantize=_QUANTISED,
                calibrate_method=quantization.CalibrationMethod.MinMax,
                # Products of two activations (attention) lose most and gain least.
                extra_options={"MatMulConstBOnly": True, "WeightSymmetric": True},
            )
    except Exception as error:  # onnxruntime's tools raise errors of many kinds
        raise ModelError(f"ONNX Runtime cannot quantise the network: {error}") from error


def _feeds(pictures: Iterable[UInt8], norm: PixelNorm) -> Iterator[dict[str, Any]]:
    mean, std = (np.array(v, dtype=np.float32) for v in (norm.mean, norm.std))
    for pixels in pictures:
        planes = ((pixels.astype(np.float32) / 255 - mean) / std).transpose(2, 0, 1)
        yield {IMAGES: np.ascontiguousarray(planes[None])}
