"""A torch module as an ONNX file, made once for its weights and kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vedette.compile.cache import cached, file_sha256
from vedette.compile.quiet import quiet
from vedette.errors import ModelError
from vedette.extras import require

_VERSION = "torch-onnx-1"
"""Part of the cache's key: raise it whenever the exported graph changes."""
IMAGES = "images"
"""Name of the one input of every exported network: float32 [n, 3, h, w], normalised pixels."""


def onnx_of(
    weights: Sequence[Path],
    side: int,
    outputs: Sequence[str],
    module: Callable[[], Any],
    kind: str,
) -> Path:
    """The ONNX file of the module that ``module`` builds from ``weights``.

    Args:
        weights: the files that it is built from; their content is the cache's key.
        side: px of the square that it takes.
        outputs: names of what it returns.
        module: builds the torch module; not called where the file is there already.
        kind: what else the graph depends on, e.g. ``clip-vision``.

    Raises:
        ModelError: ``backend_failed``: torch cannot export it; and what ``module`` raises.
        MissingExtraError: torch or onnxscript is not installed, and the file was not made before.
    """
    key = [_VERSION, kind, str(side), *outputs, *map(file_sha256, weights)]

    def make(path: Path) -> None:
        export(module(), side, outputs, path)

    return cached(key, ".onnx", make)


def export(module: Any, side: int, outputs: Sequence[str], path: Path) -> None:
    """Write ``module`` to ``path`` for any batch of squares; weights lie in files beside it.

    Raises:
        ModelError: ``backend_failed``.
        MissingExtraError: torch or onnxscript is not installed.
    """
    torch = require("torch", extra="zoo")
    require("onnxscript", extra="zoo")
    batch = torch.export.Dim("n", min=1, max=4096)
    example = torch.zeros(2, 3, side, side)
    try:
        with quiet(), torch.no_grad():
            torch.onnx.export(
                module.eval(),
                (example,),
                str(path),
                dynamo=True,
                input_names=[IMAGES],
                output_names=list(outputs),
                dynamic_shapes=({0: batch},),
                external_data=True,
                verbose=False,
            )
    except Exception as error:  # torch's exporter raises errors of many kinds
        raise ModelError(f"torch cannot export the network: {error}") from error
