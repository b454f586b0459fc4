"""A head's layers compiled with OpenVINO, for a fixed number of rows at a time."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from vedette.backends.base import streams_and_threads
from vedette.backends.openvino import cpu_has_bf16, import_openvino
from vedette.embeddings.base import Rows
from vedette.embeddings.plan import Plan
from vedette.errors import ModelError
from vedette.extras import require
from vedette.heads.base import Dense
from vedette.types import Float32


class Network:
    """A plan on all cores: each stream has its own rows, and calls from that many threads overlap.

    A stream computes on cores of its own, with rows that were just read and are still in their
    cache. One network over all cores would share out each layer's rows anew.

    Each stream has a network of its own, too. Of one with several streams OpenVINO compiles each
    stream's graph by itself and chooses anew for each call, so that one that was compiled wrongly
    (seen twice in some thousand test runs, with a head of five layers of one size) could come after
    a check that another had passed.
    """

    def __init__(
        self, plan: Plan, dim: int, dtype: np.dtype[Any], precision: str, rows: int
    ) -> None:
        """Compile.

        Args:
            plan: of a head.
            dim: of its embeddings.
            dtype: float16 or float32; the network converts it.
            precision: ``fp32`` or ``bf16``.
            rows: of one call.
        """
        openvino = import_openvino()
        cpu_has_bf16()  # OpenVINO's own table of types is made on its first use: not by two threads
        self.precision = precision
        self.streams, threads = streams_and_threads()
        config = {
            "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,
        }
        try:
            model = _model(openvino, plan, (rows, dim), dtype)
            core = openvino.Core()
            compiled = [core.compile_model(model, "CPU", config) for _ in range(self.streams)]
        except RuntimeError as error:
            raise ModelError(f"OpenVINO cannot compile the head: {error}") from error
        # Last in, first out: a buffer that is still in a cache is taken before one that is not.
        self._idle: queue.LifoQueue[Slot] = queue.LifoQueue()
        for one in compiled:
            self._idle.put(Slot(openvino, one, plan, np.zeros((rows, dim), dtype)))

    def scores(self, rows: Rows) -> Float32:
        """Of finite rows, at most as many as one call takes."""
        with self.slot() as slot:
            slot.rows[: len(rows)] = rows
            return slot.scores(len(rows))

    def of_each(self, rows: Rows) -> list[Float32]:
        """The same scores by each stream: they are to be equal. Of nobody else's use meanwhile."""
        slots = [self._idle.get() for _ in range(self.streams)]
        try:
            for slot in slots:
                slot.rows[: len(rows)] = rows
            return [slot.scores(len(rows)) for slot in slots]
        finally:
            for slot in slots:
                self._idle.put(slot)

    @contextmanager
    def slot(self) -> Iterator[Slot]:
        """Rows to fill and to compute, for one caller at a time."""
        slot = self._idle.get()
        try:
            yield slot
        finally:
            self._idle.put(slot)


class Slot:
    """A buffer of rows, and the request that computes them where they are."""

    def __init__(self, openvino: Any, compiled: Any, plan: Plan, rows: Rows) -> None:
        self.rows = rows
        self._plan = plan
        self._request = compiled.create_infer_request()
        self._request.set_input_tensor(0, openvino.Tensor(rows, shared_memory=True))
        if plan.lookup is not None:
            self._found = np.zeros((len(rows), len(plan.columns)), np.float32)
            tensor = openvino.Tensor(self._found, shared_memory=True)
            self._request.set_input_tensor(1, tensor)

    def scores(self, count: int) -> Float32:
        """Of the first ``count`` rows, which are finite; float32 [count, labels]."""
        # What an earlier, longer call has left behind is computed along: it is finite too.
        if self._plan.lookup is not None:
            self._found[:count] = self._plan.lookup(self.rows[:count])
        self._request.infer()
        outputs = self._request.get_output_tensor(0).data[:count]
        norms = np.zeros((1, 1), np.float32)
        if self._plan.norms:
            norms = np.sqrt(self._request.get_output_tensor(1).data[:count])
        # A copy: the request writes its next outputs where these are.
        return np.array(self._plan.finish(outputs, norms), dtype=np.float32)


def _model(openvino: Any, plan: Plan, shape: tuple[int, int], dtype: np.dtype[Any]) -> Any:
    ops = require("openvino.opset13", extra="openvino")
    rows = ops.parameter(shape, dtype.type, name="rows")
    inputs = [rows]
    values = ops.convert(rows, "f32") if dtype == np.float16 else rows
    found = None
    if plan.lookup is not None:
        found = ops.parameter((shape[0], len(plan.columns)), np.float32, name="found")
        inputs.append(found)
    chains = []
    for mlp in plan.mlps:
        first, *others = mlp.layers
        folded = plan.first_layer(first)
        x = ops.matmul(values, ops.constant(folded.weight), False, False)
        if found is not None:
            # Beside the others: an index goes into the thousands, where a float16 is too coarse.
            looked_up = ops.constant(np.ascontiguousarray(first.weight[plan.columns]))
            x = ops.add(x, ops.matmul(found, looked_up, False, False))
        x = _activated(ops, x, folded)
        for dense in others:
            x = _activated(ops, ops.matmul(x, ops.constant(dense.weight), False, False), dense)
        chains.append(x)
    outputs = [chains[0] if len(chains) == 1 else ops.concat(chains, 1)]
    if plan.norms:
        axes = ops.constant(np.array([1], np.int64))
        outputs.append(ops.reduce_sum(ops.multiply(values, values), axes, True))
    return openvino.Model(outputs, inputs, "head")


def _activated(ops: Any, x: Any, dense: Dense) -> Any:
    x = ops.add(x, ops.constant(dense.bias))
    return ops.relu(x) if dense.activation == "relu" else x
