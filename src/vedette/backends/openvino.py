"""OpenVINO: the fast backend on CPUs, in bf16 where the CPU computes it natively."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from vedette.backends.base import Array, PixelNorm, streams_and_threads
from vedette.errors import ModelError
from vedette.extras import available, require

_MAX_SHAPES = 16
"""Networks kept compiled, one for each input shape. Models pad to a few shapes (a static shape
runs up to a fifth faster than a dynamic one); past this many the oldest goes."""


@lru_cache(maxsize=1)
def _core() -> Any:
    return require("openvino", extra="openvino").Core()


def cpu_has_bf16() -> bool:
    """Whether OpenVINO is installed and this CPU computes bf16 natively (AMX, AVX512-BF16)."""
    if not available("openvino"):
        return False
    return "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVinoSession:
    """See :class:`vedette.backends.base.Session`."""

    backend = "openvino"

    def __init__(self, path: Path, norm: PixelNorm | None, precision: str) -> None:
        self.precision = precision
        self.streams, threads = streams_and_threads()
        self._config = {
            "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
            "NUM_STREAMS": self.streams,
            "INFERENCE_NUM_THREADS": self.streams * threads,
        }
        try:
            self._model = _core().read_model(str(path))
        except RuntimeError as error:
            raise ModelError(f"OpenVINO cannot load {path.name}: {error}") from error
        if norm is not None:
            self._model = _with_norm(self._model, norm)
        self._inputs = [port.get_any_name() for port in self._model.inputs]
        self._outputs = [port.get_any_name() for port in self._model.outputs]
        self._lock = threading.Lock()
        self._compiled: dict[tuple[tuple[int, ...], ...], _Compiled] = {}

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """See :class:`vedette.backends.base.Session`."""
        values = [np.ascontiguousarray(inputs[name]) for name in self._inputs]
        compiled = self._for_shapes(tuple(value.shape[1:] for value in values))
        each = [compiled.infer([v[i : i + 1] for v in values]) for i in range(len(values[0]))]
        return {
            name: np.concatenate([outputs[k] for outputs in each])
            for k, name in enumerate(self._outputs)
        }

    def _for_shapes(self, shapes: tuple[tuple[int, ...], ...]) -> _Compiled:
        with self._lock:
            compiled = self._compiled.get(shapes)
            if compiled is None:
                while len(self._compiled) >= _MAX_SHAPES:
                    self._compiled.pop(next(iter(self._compiled)))
                compiled = _Compiled(self._compile(shapes))
                self._compiled[shapes] = compiled
            return compiled

    def _compile(self, shapes: tuple[tuple[int, ...], ...]) -> Any:
        model = self._model.clone()
        named = {name: [1, *shape] for name, shape in zip(self._inputs, shapes, strict=True)}
        try:
            model.reshape(named)
            return _core().compile_model(model, "CPU", self._config)
        except RuntimeError as error:
            raise ModelError(f"OpenVINO cannot compile for {named}: {error}") from error


class _Compiled:
    """A network compiled for one shape, and its idle infer requests."""

    def __init__(self, network: Any) -> None:
        self._network = network
        self._outputs = range(len(network.outputs))
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def infer(self, values: list[Array]) -> list[Array]:
        try:
            request = self._idle.get_nowait()
        except queue.Empty:
            request = self._network.create_infer_request()
        result = request.infer(dict(enumerate(values)), share_inputs=True, share_outputs=False)
        self._idle.put(request)
        return [result[k] for k in self._outputs]


def _with_norm(model: Any, norm: PixelNorm) -> Any:
    """The model with uint8 NHWC pixels as its first input, the norm inside the graph."""
    openvino = require("openvino", extra="openvino")
    preprocess = require("openvino.preprocess", extra="openvino")
    steps = preprocess.PrePostProcessor(model)
    pixels = steps.input(0)
    pixels.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    pixels.model().set_layout(openvino.Layout("NCHW"))
    chain = pixels.preprocess().convert_element_type(openvino.Type.f32)
    if any(norm.mean):
        chain = chain.mean([255 * m for m in norm.mean])
    chain.scale([255 * s for s in norm.std])
    return steps.build()
