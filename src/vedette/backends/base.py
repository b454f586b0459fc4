"""What a backend is, and how one is chosen for a model on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from vedette.errors import MissingExtraError, ModelError, UnknownNameError
from vedette.extras import available

Array = NDArray[Any]

BACKENDS = ("onnx", "openvino")
PRECISIONS = ("fp32", "bf16", "int8")
"""``int8`` only for networks that were exported so, with their own check (docs/export.md)."""


@dataclass(frozen=True, slots=True)
class PixelNorm:
    """How uint8 pixels become the network's input: ``(x / 255 - mean) / std``, NHWC to NCHW.

    Sessions do it themselves: a tensor waits in queues as uint8, a quarter of the memory, and
    OpenVINO fuses it into the graph.
    """

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


class Session(Protocol):
    """One compiled network. Thread-safe: ``streams`` calls of ``run`` may usefully overlap."""

    backend: str
    precision: str
    streams: int

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Run a batch.

        Args:
            inputs: by input name. The image input is uint8 [n, h, w, 3]; any n, h and w that the
                network admits.

        Returns:
            float32 outputs by name, first axis n. An image's values do not depend on the others
            in its batch.
        """
        ...


@dataclass(frozen=True, slots=True)
class Choice:
    """A backend and a precision, both settled."""

    backend: str
    precision: str


def check_names(backend: str, precision: str) -> None:
    """Refuse names that are none.

    Raises:
        UnknownNameError: no such backend or precision.
    """
    if backend not in ("auto", *BACKENDS):
        raise UnknownNameError("backend", backend, ("auto", *BACKENDS))
    if precision not in ("auto", *PRECISIONS):
        raise UnknownNameError("precision", precision, ("auto", *PRECISIONS))


def choose(backend: str, precision: str, allowed: Sequence[str]) -> Choice:
    """Settle ``auto``: bf16 on OpenVINO where the CPU computes it natively, else fp32.

    Args:
        backend: ``auto`` or one of :data:`BACKENDS`.
        precision: ``auto`` or one of :data:`PRECISIONS`.
        allowed: precisions that the model's card admits, by measurement.

    Raises:
        UnknownNameError: no such backend or precision.
        ModelError: a precision that the card or the backend does not admit.
        MissingExtraError: no backend is installed.
    """
    check_names(backend, precision)
    if precision != "auto" and precision not in allowed:
        hint = f"use --precision {' or '.join(allowed)}"
        if precision == "int8":
            hint += ", or make it so with: vedette models export NAME --precision int8"
        why = "its network is int8" if "int8" in allowed else "it changes its verdicts"
        raise ModelError(f"{precision} is not offered for this model: {why}", hint=hint)
    if tuple(allowed) == ("int8",):
        precision = "int8"
    if precision == "bf16" and backend == "onnx":
        raise ModelError("the onnx backend computes in fp32", hint="use --backend openvino")
    if backend == "auto":
        backend = _best_backend(precision)
    if precision == "auto":
        from vedette.backends.openvino import cpu_has_bf16

        fast = backend == "openvino" and "bf16" in allowed and cpu_has_bf16()
        precision = "bf16" if fast else "fp32"
    return Choice(backend, precision)


def _best_backend(precision: str) -> str:
    if precision != "bf16" and _may_have_accelerator():
        from vedette.backends.onnx import accelerator

        if accelerator() is not None:
            return "onnx"
    for backend, module in (("openvino", "openvino"), ("onnx", "onnxruntime")):
        if available(module) and not (precision == "bf16" and backend == "onnx"):
            return backend
    raise MissingExtraError(
        "no backend is installed", hint="pip install 'vedette[nudenet,openvino]'"
    )


def _may_have_accelerator() -> bool:
    """Whether the installed ONNX Runtime is a build that can have an accelerator.

    Told by platform and package: asking the runtime itself would load it, a fifth of the time to
    the first verdict, on every machine that then runs OpenVINO.
    """
    if sys.platform == "darwin":
        return available("onnxruntime")
    try:
        return bool(metadata.version("onnxruntime-gpu"))
    except metadata.PackageNotFoundError:
        return False


def open_session(
    path: Path, norm: PixelNorm | None, choice: Choice, size: tuple[int, int] | None = None
) -> Session:
    """Load the ONNX file at ``path``.

    Args:
        path: the network; its first input takes the images.
        norm: what to do with uint8 pixels; None feeds inputs as they are.
        choice: from :func:`choose`.
        size: (height, width) in px where every picture has the same one: the streams then share
            one compiled network and one copy of its weights.

    Raises:
        ModelError: the backend cannot load it.
        MissingExtraError: the backend is not installed.
    """
    if choice.backend == "openvino":
        from vedette.backends.openvino import OpenVinoSession

        return OpenVinoSession(path, norm, choice.precision, size)
    from vedette.backends.onnx import OnnxSession

    return OnnxSession(path, norm, choice.precision)


def cores() -> int:
    """CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def streams_and_threads() -> tuple[int, int]:
    """(parallel streams, threads of each) for this machine's cores.

    One image on each core beats one image over all cores as long as the caches hold: measured in
    docs/performance.md. Past eight streams more threads each is the better use.
    """
    count = cores()
    streams = min(count, 8)
    return streams, max(1, count // streams)
