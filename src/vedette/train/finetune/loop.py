"""The loop: stages, epochs, steps; what is kept, and where it stops.

On accelerate, which knows the devices: one process on a CPU or a GPU, or several that
``accelerate launch`` or ``torchrun`` started, each with its share of every batch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vedette.errors import VedetteError
from vedette.extras import require
from vedette.train.examples import Examples, Ints
from vedette.train.finetune import checkpoints
from vedette.train.finetune.adversarial import adversarial
from vedette.train.finetune.checkpoints import Progress
from vedette.train.finetune.device import Device
from vedette.train.finetune.evaluate import judged, validation
from vedette.train.finetune.layers import Trained, groups, height, share_at, trained
from vedette.train.finetune.loss import bce, tempered
from vedette.train.finetune.network import Network
from vedette.train.finetune.options import FineTuneOptions, Stage
from vedette.train.finetune.pictures import Pictures
from vedette.train.finishing import Epoch
from vedette.train.weighing import weighing

_LOOKS = 20
"""Steps between two looks at whether the loss is a number: on a GPU each look is a stop."""


class Loop:
    """One fine-tuning from its start, or from its last checkpoint, to its end.

    Args:
        network: is trained in place.
        examples: labels and parts.
        pictures: of the same rows.
        options: see there.
        seed: of the order of pictures and of what is random in a step.
        device: to train on.
        folder: of the checkpoints; of the first process, where there are several.
        say: is told how it goes.
    """

    def __init__(
        self,
        network: Network,
        examples: Examples,
        pictures: Pictures,
        options: FineTuneOptions,
        seed: int,
        device: Device,
        folder: Path,
        say: Callable[[str], None],
    ) -> None:
        self._network = network
        self._module = network.module
        self._examples = examples
        self._pictures = pictures
        self._options = options
        self._seed = seed
        self._device = device
        self._folder = folder
        self._say = say
        self._rows = examples.rows("train")
        targets, known = examples.targets[self._rows], examples.known[self._rows]
        self._weights = np.zeros(examples.targets.shape, np.float32)
        self._weights[self._rows] = weighing(targets, known, options.class_weights).of(
            targets, known
        )
        self._targets = tempered(examples.learned, options.temperature)

    def run(self) -> Progress:
        """Train; the module has the best weights at the end.

        Returns:
            The history, and which epoch was best.

        Raises:
            VedetteError: ``training_failed``: the loss is no number.
            OSError: a checkpoint cannot be written.
        """
        loaded = checkpoints.load(self._folder, self._module)
        progress, moments = loaded or (Progress(), {})
        if loaded:
            self._say(f"going on after {progress.number} epochs and {progress.step} steps")
        self._device.place(self._module)
        while progress.stage < len(self._options.stages):
            self._stage(self._options.stages[progress.stage], progress, moments)
            moments = {}
        if progress.best_epoch:
            checkpoints.load_best(self._folder, self._module, progress.best_epoch)
        return progress

    def _stage(self, stage: Stage, progress: Progress, moments: dict[str, Any]) -> None:
        torch = require("torch", extra="zoo")
        parameters = trained(self._module, self._network.blocks, stage, self._options)
        optimizer = torch.optim.AdamW(groups(parameters, self._options), lr=0.0)
        named = {one.name: one.parameter for one in parameters}
        checkpoints.restore(optimizer, named, moments, progress.updates)
        wrapped = self._device.wrapped(self._module)
        while progress.epoch < stage.epochs:
            self._epoch(stage, progress, optimizer, parameters, wrapped)
            lost = self._ended(stage, progress)
            progress.epoch += 1
            if lost:
                break
            if progress.epoch < stage.epochs:
                self._save(progress, optimizer)
        progress.stage, progress.epoch, progress.updates, progress.bad = progress.stage + 1, 0, 0, 0
        self._save(progress, torch.optim.AdamW(groups(parameters, self._options), lr=0.0))

    def _epoch(
        self,
        stage: Stage,
        progress: Progress,
        optimizer: Any,
        parameters: Sequence[Trained],
        wrapped: Any,
    ) -> None:
        torch = require("torch", extra="zoo")
        batches = self._batches(progress.number)
        every = self._options.checkpoint_steps
        steps = stage.epochs * len(batches)
        mine = [self._device.share(rows) for rows in batches]
        waited, started, done = self._pictures.loader.waited, time.perf_counter(), progress.step
        total = torch.zeros((), dtype=torch.float64, device=self._device.name)
        self._module.train()
        made = self._pictures.training(mine[progress.step :], progress.number)
        for rows, pixels in made:
            for group in optimizer.param_groups:
                share = share_at(progress.updates, steps, self._options.warmup)
                group["lr"] = height(stage, self._options) * group["rate"] * share
            torch.manual_seed(self._seed_of(progress))
            loss = self._loss(wrapped, rows, pixels, batches[progress.step])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(
                [one.parameter for one in parameters], self._options.clip
            )
            optimizer.step()
            total += loss.detach()
            progress.step += 1
            progress.updates += 1
            if progress.step % _LOOKS == 0:
                self._check(float(total))
            if every and progress.updates % every == 0 and progress.step < len(batches):
                progress.total += self._sum(total)
                total.zero_()
                self._check(progress.total)
                self._save(progress, optimizer)
        progress.total += self._sum(total)
        self._check(progress.total)
        seconds = max(time.perf_counter() - started, 1e-9)
        images = sum(len(rows) for rows in batches[done:])
        last = share_at(max(0, progress.updates - 1), steps, self._options.warmup)
        progress.history.append(
            Epoch(
                progress.number + 1,
                {
                    "train loss": progress.total / max(1, len(batches)),
                    "learning rate": height(stage, self._options) * last,
                    "waiting share": min(1.0, (self._pictures.loader.waited - waited) / seconds),
                    "images per second": images / seconds,
                },
            )
        )
        progress.step, progress.total = 0, 0.0

    def _ended(self, stage: Stage, progress: Progress) -> bool:
        """Look at ``validation`` after an epoch; whether the stage is over before its end."""
        progress.number += 1
        last = progress.history[-1]
        values = dict(last.values)
        rows = self._examples.rows("validation")
        better = False
        if len(rows):
            logits = judged(self._module, self._network, self._pictures, rows, self._device)
            found = validation(self._examples, rows, logits)
            self._check(found.loss)
            values |= {"validation loss": found.loss, "validation F1": found.f1}
            better = progress.best is None or found.loss < progress.best
            progress.bad = 0 if better else progress.bad + 1
            if better:
                progress.best, progress.best_epoch = found.loss, progress.number
                if self._device.first:
                    checkpoints.save_best(self._folder, self._module, progress.number)
                self._device.wait()
        progress.history[-1] = Epoch(last.number, values)
        self._tell(stage, values, progress.number, better)
        return bool(self._options.patience) and progress.bad >= self._options.patience

    def _tell(self, stage: Stage, values: dict[str, float], number: int, better: bool) -> None:
        epochs = sum(one.epochs for one in self._options.stages)
        told = f"epoch {number}/{epochs} ({stage.name}): train loss {values['train loss']:.4f}"
        if "validation loss" in values:
            told += f", validation loss {values['validation loss']:.4f}"
            told += f", F1 {values['validation F1']:.3f}{' (best)' if better else ''}"
        speed = values["images per second"]
        told += f"; {speed:,.{0 if speed >= 10 else 1}f} images/s"
        self._say(f"{told}, {values['waiting share']:.1%} of the time waiting for pictures")

    def _loss(self, wrapped: Any, rows: Ints, pixels: Any, whole: Ints) -> Any:
        """The mean over the labels that are known in the whole batch, of which this is a share."""
        x = self._device.pixels(pixels)
        targets = self._device.tensor(self._targets[rows])
        weights = self._device.tensor(self._weights[rows])
        known = max(float(self._weights[whole].sum()), 1e-6)
        options = self._options
        normalised = self._device.normaliser(self._network.recipe.norm)

        def value(logits: Any) -> Any:
            t = options.temperature
            # Its square keeps the gradients' size (Hinton et al. 2015).
            return bce(logits / t, targets, weights, options.label_smoothing) * t**2

        if options.adversarial_steps:
            x = adversarial(
                lambda given: self._module(normalised(given))[0],
                value,
                x,
                options.adversarial_eps,
                options.adversarial_steps,
            )
        with self._device.autocast():
            logits, _ = wrapped(normalised(x))
        # Processes' gradients are averaged: each counts for its share of the sum.
        return value(logits) * (self._device.processes / known)

    def _batches(self, number: int) -> list[Ints]:
        """The rows of each batch of an epoch, of all processes together."""
        order = np.random.default_rng([self._seed, number]).permutation(self._rows)
        size = self._options.batch
        batches = [order[at : at + size] for at in range(0, len(order), size)]
        # Every process needs a picture of each batch.
        return [one for one in batches if len(one) >= self._device.processes]

    def _seed_of(self, progress: Progress) -> int:
        place = (self._seed, progress.number, progress.step, self._device.process)
        return int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0] >> 1)

    def _sum(self, total: Any) -> float:
        """Over the processes, each of which has its part of the mean."""
        return self._device.mean(total)

    def _save(self, progress: Progress, optimizer: Any) -> None:
        if self._device.first:
            checkpoints.save(self._folder, progress, self._module, optimizer)
            checkpoints.forget_others(self._folder, progress.best_epoch)
        self._device.wait()

    def _check(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise VedetteError(
                "the loss is no number any more",
                code="training_failed",
                hint=f"lower --learning-rate, which is {self._options.learning_rate:g}; "
                "nothing was written",
            )
