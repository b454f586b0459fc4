"""The history of a training as TensorBoard reads it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vedette.compile.quiet import quiet
from vedette.errors import MissingExtraError, VedetteError
from vedette.extras import available
from vedette.train.finishing import Epoch


def check_tensorboard() -> None:
    """Refuse what will not be possible at the end of a training.

    Raises:
        MissingExtraError: TensorBoard is not installed.
    """
    if not available("tensorboard"):
        raise MissingExtraError("tensorboard is not installed", hint="pip install tensorboard")


def write_history(folder: Path, history: Sequence[Epoch]) -> None:
    """Write one event file: a scalar for each value, at its epoch in thousandths.

    Args:
        folder: is made; TensorBoard shows each such folder as one run.
        history: of a training.

    Raises:
        MissingExtraError: TensorBoard or torch is not installed.
        VedetteError: ``write_failed``.
    """
    check_tensorboard()
    with quiet():
        writer_of: Any = _summary_writer()
    try:
        with writer_of(log_dir=str(folder)) as writer:
            for one in history:
                for name, value in one.values.items():
                    writer.add_scalar(name, value, global_step=round(1000 * one.number))
    except OSError as error:
        raise VedetteError(
            f"cannot write {folder}: {error.strerror or error}", code="write_failed"
        ) from error


def _summary_writer() -> Any:
    from vedette.extras import require

    return require("torch.utils.tensorboard", extra="zoo").SummaryWriter
