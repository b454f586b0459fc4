"""OpenVINO: the fast backend on CPUs, in bf16 where the CPU computes it natively."""

from __future__ import annotations

import queue
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from vedette.backends.base import Array, PixelNorm, streams_and_threads
from vedette.errors import ModelError
from vedette.extras import available, require

_TELEMETRY = "openvino_telemetry"
_MAX_SHAPES = 16
"""Networks a stream keeps compiled, one for each input shape. Models pad to a few shapes (a static
shape runs up to a fifth faster than a dynamic one); past this many the oldest goes."""


def import_openvino() -> Any:
    """OpenVINO, imported so that it sends nothing.

    Its Python package reports every import to its makers, unless the package that does so is
    missing: for the time of the import it is.

    Raises:
        MissingExtraError: OpenVINO is not installed.
    """
    if "openvino" in sys.modules:
        return sys.modules["openvino"]
    # Typed loosely: None in sys.modules is how Python spells "cannot be imported".
    modules: dict[str, Any] = sys.modules
    hidden = {name: modules.pop(name) for name in list(modules) if name.startswith(_TELEMETRY)}
    modules[_TELEMETRY] = None
    try:
        return require("openvino", extra="openvino")
    finally:
        del modules[_TELEMETRY]
        modules.update(hidden)


@lru_cache(maxsize=1)
def _core() -> Any:
    openvino = import_openvino()
    # OpenVINO makes its table of types on first use, releasing the GIL meanwhile: two threads that
    # run their first inference at the same time would wait for each other for ever.
    openvino.Type.f32.to_dtype()
    return openvino.Core()


def cpu_has_bf16() -> bool:
    """Whether OpenVINO is installed and this CPU computes bf16 natively (AMX, AVX512-BF16)."""
    if not available("openvino"):
        return False
    return "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVinoSession:
    """See :class:`vedette.backends.base.Session`.

    Each stream is a set of networks of its own, compiled for one stream on its own threads and not
    pinned to a core: networks of several shapes that share streams get in each other's way (a
    third slower on photographs of mixed shapes, docs/performance.md). A network whose pictures
    all have one size is compiled once for all streams, which then share its weights.
    """

    backend = "openvino"

    def __init__(
        self,
        path: Path,
        norm: PixelNorm | None,
        precision: str,
        size: tuple[int, int] | None = None,
    ) -> None:
        self.precision = precision
        self.streams, threads = streams_and_threads()
        config = {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,
        }
        try:
            model = _core().read_model(str(path))
        except RuntimeError as error:
            raise ModelError(f"OpenVINO cannot load {path.name}: {error}") from error
        if norm is not None:
            model = _with_norm(model, norm)
        self._inputs = [port.get_any_name() for port in model.inputs]
        self._outputs = [port.get_any_name() for port in model.outputs]
        # Last in, first out: a lone caller stays on one stream and compiles nothing twice.
        self._idle: queue.LifoQueue[_Stream] = queue.LifoQueue()
        shared = size is not None and len(self._inputs) == 1
        if shared:
            assert size is not None
            shape = (1, *size, 3) if norm is not None else (1, 3, *size)
            config |= {"NUM_STREAMS": self.streams, "INFERENCE_NUM_THREADS": self.streams * threads}
            compiled = _compile(model, {self._inputs[0]: list(shape)}, config)
        for _ in range(self.streams):
            stream = _Stream(model, self._inputs, config)
            if shared:
                stream.keep((shape,), compiled)
            self._idle.put(stream)

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """See :class:`vedette.backends.base.Session`."""
        values = [np.ascontiguousarray(inputs[name]) for name in self._inputs]
        stream = self._idle.get()
        try:
            # One by one: on a core's own thread a batch is no faster, and so no image's values
            # can depend on its neighbours.
            each = [stream.infer([v[i : i + 1] for v in values]) for i in range(len(values[0]))]
        finally:
            self._idle.put(stream)
        return {
            name: np.concatenate([outputs[k] for outputs in each])
            for k, name in enumerate(self._outputs)
        }


class _Stream:
    """Networks for one caller at a time, compiled for each input shape when it first comes."""

    def __init__(self, model: Any, inputs: list[str], config: Mapping[str, Any]) -> None:
        self._model = model
        self._inputs = inputs
        self._config = config
        self._requests: dict[tuple[tuple[int, ...], ...], Any] = {}

    def infer(self, values: list[Array]) -> list[Array]:
        result = self._request(tuple(value.shape for value in values)).infer(
            dict(enumerate(values)), share_inputs=True, share_outputs=False
        )
        return [result[k] for k in range(len(result))]

    def keep(self, shapes: tuple[tuple[int, ...], ...], compiled: Any) -> None:
        """Use a network that was compiled for these shapes already."""
        self._requests[shapes] = compiled.create_infer_request()

    def _request(self, shapes: tuple[tuple[int, ...], ...]) -> Any:
        request = self._requests.get(shapes)
        if request is None:
            while len(self._requests) >= _MAX_SHAPES:
                self._requests.pop(next(iter(self._requests)))
            named = {name: list(shape) for name, shape in zip(self._inputs, shapes, strict=True)}
            request = _compile(self._model, named, self._config).create_infer_request()
            self._requests[shapes] = request
        return request


def _compile(model: Any, shapes: Mapping[str, list[int]], config: Mapping[str, Any]) -> Any:
    try:
        model = model.clone()
        model.reshape(dict(shapes))
        return _core().compile_model(model, "CPU", config)
    except RuntimeError as error:
        raise ModelError(f"OpenVINO cannot compile for {shapes}: {error}") from error


def _with_norm(model: Any, norm: PixelNorm) -> Any:
    """The model with uint8 NHWC pixels as its first input, the norm inside the graph."""
    openvino = import_openvino()
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
