"""ONNX Runtime: the reference backend, on the CPU in fp32, on CUDA or CoreML where they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vedette.backends.base import Array, PixelNorm, streams_and_threads
from vedette.errors import ModelError
from vedette.extras import require

_ACCELERATORS = ("CUDAExecutionProvider", "CoreMLExecutionProvider")


def _runtime() -> Any:
    runtime = require("onnxruntime", extra="onnx")
    runtime.disable_telemetry_events()
    return runtime


def accelerator() -> str | None:
    """The accelerator provider of the installed ONNX Runtime, if it has one."""
    providers = _runtime().get_available_providers()
    return next((p for p in _ACCELERATORS if p in providers), None)


class OnnxSession:
    """See :class:`vedette.backends.base.Session`."""

    backend = "onnx"

    def __init__(self, path: Path, norm: PixelNorm | None, precision: str = "fp32") -> None:
        runtime = _runtime()
        self.precision = precision  # int8 is in the network itself, the rest is computed in fp32
        self._norm = norm
        self._on_cpu = accelerator() is None
        self.streams, threads = streams_and_threads() if self._on_cpu else (1, 0)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        providers = [p for p in (accelerator(), "CPUExecutionProvider") if p]
        try:
            self._session = runtime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # onnxruntime's errors share no public base class
            raise ModelError(f"ONNX Runtime cannot load {path.name}: {error}") from error
        self._image_input = self._session.get_inputs()[0].name
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """See :class:`vedette.backends.base.Session`."""
        feed = {name: self._normed(name, value) for name, value in inputs.items()}
        count = len(next(iter(feed.values())))
        if not self._on_cpu or count == 1:
            return dict(zip(self._outputs, self._session.run(None, feed), strict=True))
        # One by one: on a core's own thread a batch is no faster, and so no image's values can
        # depend on its neighbours.
        each = [
            self._session.run(None, {name: value[i : i + 1] for name, value in feed.items()})
            for i in range(count)
        ]
        return {
            name: np.concatenate([outputs[k] for outputs in each])
            for k, name in enumerate(self._outputs)
        }

    def _normed(self, name: str, value: Array) -> Array:
        if self._norm is None or name != self._image_input:
            return value
        std = np.asarray(self._norm.std, dtype=np.float32)
        scale = (1 / (255 * std)).astype(np.float32)
        offset = (np.asarray(self._norm.mean, dtype=np.float32) / std).astype(np.float32)
        planes = np.ascontiguousarray(value.transpose(0, 3, 1, 2), dtype=np.float32)
        planes *= scale[:, None, None]
        if offset.any():
            planes -= offset[:, None, None]
        return planes
