"""The training itself: AdamW on the adapter alone, and checkpoints that survive a kill.

Every step seeds its own random numbers, so a run that goes on from a checkpoint ends with the same
weights as one that was never stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vedette.errors import VedetteError
from vedette.extras import require
from vedette.networks.vlm import VlmNetwork
from vedette.train.finishing import Epoch
from vedette.train.lora.batches import Writer, answer_loss, padded
from vedette.train.lora.checkpoint import Progress, load, save
from vedette.train.lora.options import LoraOptions
from vedette.train.lora.prompts import Example, shuffled
from vedette.types import UInt8

_LOOKS = 20
"""Points at which the loss is told and a checkpoint is written, at least, where there are steps."""
_CLIP = 1.0
"""Norm of the gradient, at most."""

Picture = Callable[[int], UInt8]
"""The square of a row: uint8 [side, side, 3]."""


@dataclass(slots=True)
class Meter:
    """What a training costs."""

    tokens: int = 0
    """Of prompts, pictures and answers, without padding, in this run."""
    seconds: float = 0.0
    peak_bytes: int | None = None
    """Of a GPU's memory; None on a CPU."""

    def as_json(self) -> dict[str, Any]:
        """For the account of the training."""
        rate = round(self.tokens / self.seconds, 1) if self.seconds else None
        return {"tokens": self.tokens, "tokens_per_s": rate, "gpu_peak_bytes": self.peak_bytes}


class LoraLoop:
    """One training.

    Args:
        network: with a new adapter, whose parameters are the only ones that can be trained.
        examples: to learn from.
        picture: gives their squares.
        options: see there.
        seed: of the order and of dropout.
    """

    def __init__(
        self,
        network: VlmNetwork,
        examples: Sequence[Example],
        picture: Picture,
        options: LoraOptions,
        seed: int,
    ) -> None:
        self.network = network
        self.meter = Meter()
        self._examples = examples
        self._picture = picture
        self._options = options
        self._seed = seed
        self._write = Writer(network, options.negatives)
        self._per_epoch = -(-len(examples) // options.batch)
        self.steps = options.epochs * self._per_epoch

    def run(
        self,
        state: Path,
        say: Callable[[str], None],
        looked: Callable[[], Mapping[str, float]] = dict,
    ) -> list[Epoch]:
        """Train, or go on where an earlier run was.

        Args:
            state: folder of the checkpoints.
            say: is told how it goes on.
            looked: what is to be seen of the network at the end of an epoch.

        Returns:
            The history.

        Raises:
            VedetteError: ``training_failed``: a loss that is no number, or too little memory.
            OSError: a checkpoint cannot be written.
        """
        torch = require("torch", extra="zoo")
        trained = {n: p for n, p in self.network.model.named_parameters() if p.requires_grad}
        optimizer = torch.optim.AdamW(trained.values(), self._options.learning_rate, weight_decay=0)
        every = max(1, self.steps // _LOOKS)
        with _own_randomness(torch, self.network.device), self._measured(torch):
            progress = load(state, trained, optimizer)
            if progress.step:
                say(f"going on after step {progress.step:,} of {self.steps:,}")
            losses: list[float] = []
            while progress.step < self.steps:
                losses.append(self._step(torch, trained, optimizer, progress.step))
                progress.step += 1
                ends = progress.step % self._per_epoch == 0
                if ends or progress.step % every == 0:
                    seen = looked() if ends else {}
                    _check(progress.step, *seen.values())
                    self._note(progress, float(np.mean(losses)), seen, say)
                    losses = []
                    save(state, progress, trained, optimizer)
        self.network.model.eval()
        return progress.history

    def _step(self, torch: Any, trained: Mapping[str, Any], optimizer: Any, step: int) -> float:
        epoch, at = divmod(step, self._per_epoch)
        size = self._options.batch
        order = shuffled(len(self._examples), self._seed, epoch)
        chosen = [self._examples[i] for i in order[at * size : (at + 1) * size]]
        written = [self._write(example) for example in chosen]
        count = sum(len(one.ids) - one.begin for one in written)
        self.meter.tokens += sum(len(one.ids) for one in written)
        torch.manual_seed(int(np.random.default_rng((self._seed, step)).integers(2**62)))
        for group in optimizer.param_groups:
            group["lr"] = self._options.learning_rate * schedule(
                step, self.steps, self._options.warm_up
            )
        optimizer.zero_grad(set_to_none=True)
        self.network.model.train()
        total = 0.0
        part = -(-size // self._options.gradient_accumulation)
        for begin in range(0, len(chosen), part):
            few = slice(begin, begin + part)
            squares = np.stack([self._picture(example.row) for example in chosen[few]])
            inputs, learned = padded(self.network, written[few])
            try:
                with _mixed(torch, self.network.device):
                    pixels = self.network.normalised(squares)
                    loss = answer_loss(self.network, inputs, learned, pixels) / count
                loss.backward()
            except torch.OutOfMemoryError as error:
                raise VedetteError(
                    "the device has too little memory for this training",
                    code="training_failed",
                    hint="use --gradient-accumulation, --gradient-checkpointing or --4bit",
                ) from error
            total += float(loss.detach())
        norm = float(torch.nn.utils.clip_grad_norm_(list(trained.values()), _CLIP).detach())
        _check(step + 1, total, norm)
        optimizer.step()
        return total

    def _note(
        self,
        progress: Progress,
        loss: float,
        seen: Mapping[str, float],
        say: Callable[[str], None],
    ) -> None:
        done = progress.step - 1
        rate = self._options.learning_rate * schedule(done, self.steps, self._options.warm_up)
        number = progress.step / self._per_epoch
        progress.history.append(Epoch(number, {"train loss": loss, "learning rate": rate, **seen}))
        told = "".join(f", {name} {value:.3f}" for name, value in seen.items())
        say(f"step {progress.step:,} of {self.steps:,}: train loss {loss:.4f}{told}")

    @contextmanager
    def _measured(self, torch: Any) -> Iterator[None]:
        device = self.network.device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        started = time.monotonic()
        yield
        self.meter.seconds = time.monotonic() - started
        if device.type == "cuda":
            self.meter.peak_bytes = int(torch.cuda.max_memory_allocated(device))


def schedule(step: int, steps: int, warm_up: float) -> float:
    """What the learning rate is multiplied by: a straight rise, then half a cosine down to 0."""
    rising = math.ceil(warm_up * steps)
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def _check(step: int, *seen: float) -> None:
    if not all(map(math.isfinite, seen)):
        raise VedetteError(
            f"the loss is no number at step {step}",
            code="training_failed",
            hint="lower --learning-rate; nothing was written",
        )


def _mixed(torch: Any, device: Any) -> Any:
    """bf16 on a GPU, with the adapter's own weights in fp32; on a CPU nothing."""
    if device.type != "cuda":
        return nullcontext()
    return torch.autocast("cuda", dtype=torch.bfloat16)


@contextmanager
def _own_randomness(torch: Any, device: Any) -> Iterator[None]:
    """The caller's random numbers are afterwards as if nothing had been drawn."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield
