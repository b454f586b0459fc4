"""Where a training runs: one device, or several processes with one each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette.backends.base import PixelNorm
from vedette.errors import VedetteError
from vedette.extras import require
from vedette.train.examples import Ints
from vedette.train.finetune.options import Precision
from vedette.types import Float32, UInt8

_RANK, _WORLD = "RANK", "WORLD_SIZE"
_FULL = ("out of memory", "not enough memory", "can't allocate memory")


def process_number() -> int:
    """Of this process among those that one command line started, from 0; without loading torch."""
    given = os.environ.get(_RANK, "0")
    several = os.environ.get(_WORLD, "1") != "1"
    return int(given) if several and given.isdecimal() else 0


class Device:
    """A device of this process, and the way to the other processes.

    Args:
        precision: ``auto`` is bf16 on a GPU that computes it, fp32 on a CPU: there a network in
            bf16 was measured to be slower.

    Raises:
        MissingExtraError: accelerate or torch is not installed.
    """

    def __init__(self, precision: Precision = "auto") -> None:
        torch = require("torch", extra="zoo")
        # Precision is ours: accelerate keeps one for the life of the process.
        self._accelerator = require("accelerate", extra="train").Accelerator(mixed_precision="no")
        self.name = self._accelerator.device
        self.processes = int(self._accelerator.num_processes)
        self.process = int(self._accelerator.process_index)
        self.first = bool(self._accelerator.is_main_process)
        fast = self.name.type == "cuda" and bool(torch.cuda.is_bf16_supported())
        self.bf16 = precision == "bf16" or (precision == "auto" and fast)

    @property
    def told(self) -> str:
        """For a person: ``cpu, fp32``."""
        several = f"{self.processes} x " if self.processes > 1 else ""
        return f"{several}{self.name.type}, {'bf16' if self.bf16 else 'fp32'}"

    def place(self, module: Any) -> None:
        """Move a module there."""
        module.to(self.name)

    def wrapped(self, module: Any) -> Any:
        """``module`` with its gradients averaged over the processes; itself where there is one."""
        if self.processes == 1:
            return module
        parallel = require("torch.nn.parallel", extra="zoo").DistributedDataParallel
        ids = [self.name] if self.name.type == "cuda" else None
        return parallel(module, device_ids=ids)

    def autocast(self) -> AbstractContextManager[Any]:
        """A context in which products are in bf16, where that is chosen."""
        torch = require("torch", extra="zoo")
        context: AbstractContextManager[Any] = torch.autocast(
            self.name.type, torch.bfloat16, enabled=self.bf16
        )
        return context

    def share(self, rows: Ints) -> Ints:
        """This process's part of some rows."""
        return rows[self.process :: self.processes]

    def pixels(self, squares: UInt8) -> Any:
        """uint8 [n, h, w, 3] as float32 [n, 3, h, w] in 0..1, there."""
        torch = require("torch", extra="zoo")
        moved = torch.from_numpy(squares).to(self.name)
        return moved.permute(0, 3, 1, 2).float().div_(255).contiguous()

    def tensor(self, values: NDArray[Any]) -> Any:
        """A numpy array there."""
        return require("torch", extra="zoo").from_numpy(np.ascontiguousarray(values)).to(self.name)

    def normaliser(self, norm: PixelNorm) -> Callable[[Any], Any]:
        """From pixels in 0..1 to what the network takes."""
        torch = require("torch", extra="zoo")
        mean, std = (
            torch.tensor(values, device=self.name).reshape(1, 3, 1, 1)
            for values in (norm.mean, norm.std)
        )
        return lambda x: (x - mean) / std

    def mean(self, value: Any) -> float:
        """The mean over the processes of a tensor with one value."""
        if self.processes == 1:
            return float(value)
        return float(self._accelerator.reduce(value.clone(), "mean"))

    def gathered(self, values: Float32, rows: int) -> Float32:
        """Rows that the processes computed each for its :meth:`share`, all of them in order.

        Args:
            values: float32 [ours, n].
            rows: how many there are in all.
        """
        if self.processes == 1:
            return values
        longest = -(-rows // self.processes)
        padded = np.zeros((longest, values.shape[1]), np.float32)
        padded[: len(values)] = values
        whole = self._accelerator.gather(self.tensor(padded)).cpu().numpy()
        parts = whole.reshape(self.processes, longest, -1).transpose(1, 0, 2)
        return np.ascontiguousarray(parts.reshape(-1, values.shape[1])[:rows])

    def wait(self) -> None:
        """Until all processes are here."""
        self._accelerator.wait_for_everyone()

    def close(self) -> None:
        """Leave the other processes."""
        if self.processes > 1:
            self._accelerator.end_training()


@contextmanager
def memory_told() -> Iterator[None]:
    """Tell of memory that is not enough in words.

    Raises:
        VedetteError: ``training_failed``.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        told = str(error)
        if isinstance(error, MemoryError) or any(word in told.lower() for word in _FULL):
            raise VedetteError(
                "there is not enough memory for this training",
                code="training_failed",
                hint="use a smaller --batch, or --gradient-checkpointing",
            ) from error
        raise
