"""Training MLP probes: PerspectiveVision's loop, for all labels at once.

Each label's training is its own: its start follows from the seed and its name, its loss is the mean
over its own known images, and it stops by itself. What labels share is the order of the images. So
a label ends where it would end if it were trained alone.

Source: "UnsafeBench" (CCS 2025), section on PerspectiveVision: 768-384-2, cross-entropy, Adam 2e-4,
batch 128, 30 epochs.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette.errors import VedetteError
from vedette.extras import require
from vedette.heads.base import Dense, Mlp
from vedette.train.probe.checkpoint import Checkpoint
from vedette.train.probe.grouped import NAMES, Adam, GroupedMlp, Precision, initial
from vedette.train.probe.samples import Samples, check_both
from vedette.train.weighing import ClassWeights, weighing

_ROWS = 1024
"""Images in one forward pass of the validation: bounds memory, not results."""
_PATIENCE_OF_EYES = 2.0
"""Seconds between two lines of progress."""
Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MlpOptions:
    """How MLP probes are trained; the defaults are the paper's."""

    hidden: int = 384
    epochs: int = 30
    batch: int = 128
    learning_rate: float = 2e-4
    weight_decay: float = 0.0
    """Decoupled, as in AdamW; on all weights."""
    class_weights: ClassWeights = "none"
    patience: int | None = None
    """Epochs without a lower validation loss after which a label stops, and keeps its best epoch;
    None: all epochs, and the last is kept."""
    precision: Precision = "fp32"
    seed: int = 7


@dataclass(frozen=True, slots=True)
class Seen:
    """One epoch, by label; a label that has stopped keeps its last values."""

    train: tuple[float, ...]
    """Mean cross-entropy over the epoch's images, each before its own step."""
    validation: tuple[float | None, ...]
    """Mean cross-entropy after the epoch; None without validation images."""
    f1: tuple[float | None, ...]
    """Of unsafe in the validation images at a probability of one half."""


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What came out."""

    labels: tuple[str, ...]
    mlps: tuple[Mlp, ...]
    """One for each label, from embeddings to its logit."""
    history: Sequence[Seen]
    epoch: tuple[int, ...]
    """Which epoch of each label was kept, from 1."""


def train_mlp(
    train: Samples,
    validation: Samples,
    options: MlpOptions,
    checkpoint: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Trained:
    """Train a probe for each label.

    Args:
        train: what is learned from.
        validation: what early stopping goes by; without patience it is only looked at.
        options: see there.
        checkpoint: a file that keeps where the training stands; one of the same training is gone
            on from.
        say: is told how far it is.

    Raises:
        UsageError: ``too_few_labels``: a label with images of one class only.
        VedetteError: ``training_failed``: the loss of a label is no number; ``write_failed``.
        MissingExtraError: torch or safetensors are not installed.
    """
    check_both(train)
    run = _Run(train, validation, options)
    file = None if checkpoint is None else Checkpoint(checkpoint, _told(train, validation, options))
    stored = None if file is None else file.read()
    if stored is not None:
        run.restore(*stored)
    shown = 0.0
    with _denormals_flushed():
        while run.active and run.done < options.epochs:
            run.epoch()
            last = not run.active or run.done == options.epochs
            if file is not None and (last or file.due()):
                file.write(run.tensors(), run.facts())
            if last or time.monotonic() - shown > _PATIENCE_OF_EYES:
                say(run.line())
                shown = time.monotonic()
    return run.trained()


class _Run:
    """One training under way."""

    def __init__(self, train: Samples, validation: Samples, options: MlpOptions) -> None:
        torch = require("torch", extra="zoo")
        self._torch, self._options = torch, options
        self._labels = train.labels
        weights = initial(train.labels, train.x.shape[1], options.hidden, options.seed)
        adam = Adam(options.learning_rate, options.weight_decay)
        self._net = GroupedMlp(weights, adam, options.precision)
        weighed = weighing(train.targets, train.known, options.class_weights)
        self._x = torch.from_numpy(train.x).to(self._net.dtype)
        self._sign = _rows(torch, np.where(train.targets, 1, -1))
        self._weight = _rows(torch, weighed.of(train.targets, train.known))
        self._held_out = validation
        self._held_out_x = torch.from_numpy(validation.x)
        self._held_out_weight = (
            weighed.of(validation.targets, validation.known).astype(np.float64).T
        )
        # A class that is not there says nothing about when to stop.
        self._stops = validation.both() & (options.patience is not None)
        self.active = list(range(len(train.labels)))
        self.done = 0
        self._kept = [one.clone() for one in weights]
        self._kept_epoch = [0] * len(train.labels)
        self._best = [math.inf] * len(train.labels)
        self._history: list[Seen] = []

    def epoch(self) -> None:
        """Once over all images, then a look at the validation images."""
        self.done += 1
        n = len(self._x)
        # From the seed and the number alone: a run that goes on needs no generator's state.
        drawn = np.random.default_rng([self._options.seed, self.done]).permutation(n)
        order = self._torch.from_numpy(drawn)
        sign, weight = (one[self.active][:, order] for one in (self._sign, self._weight))
        loss = self._torch.zeros(len(self.active), dtype=self._torch.float64)
        for start in range(0, n, self._options.batch):
            part = slice(start, start + self._options.batch)
            loss += self._net.step(
                self._x[order[part]], sign[:, part].contiguous(), weight[:, part].contiguous()
            )
        self._look((loss / weight.sum(1, dtype=self._torch.float64)).numpy())
        self._stop()

    def _look(self, loss: Float64) -> None:
        self._check(loss)
        before = self._history[-1] if self._history else None
        none = (None,) * len(self._labels)
        train = list(before.train if before else (0.0,) * len(self._labels))
        validation = list(before.validation if before else none)
        f1 = list(before.f1 if before else none)
        if len(self._held_out):
            logits = self._held_out_logits()
            # The last step of an epoch is in no loss of its own.
            self._check(np.abs(logits).max(axis=1))
            told = self._held_out.targets.T
        for at, k in enumerate(self.active):
            train[k] = float(loss[at])
            if len(self._held_out) and self._held_out_weight[k].any():
                weight = self._held_out_weight[k]
                validation[k] = float(cross_entropy(logits[at], told[k]) @ weight / weight.sum())
                f1[k] = _f1(logits[at] >= 0, told[k], self._held_out.known[:, k])
        self._history.append(Seen(tuple(train), tuple(validation), tuple(f1)))

    def _check(self, seen: Float64) -> None:
        """Whether a value of each label that still learns is a number."""
        lost = [self._labels[k] for k, v in zip(self.active, seen, strict=True) if not v < math.inf]
        if lost:
            raise VedetteError(
                f"the loss of {', '.join(lost)} is no number any more in epoch {self.done}",
                code="training_failed",
                hint="lower --learning-rate; or bring embeddings to length 1 with --unit",
            )

    def _held_out_logits(self) -> Float64:
        """float64 [active labels, n]"""
        blocks = self._held_out_x.split(_ROWS)
        logits = self._torch.cat([self._net.logits(block) for block in blocks], dim=1)
        found: Float64 = logits.double().numpy()
        return found

    def _stop(self) -> None:
        """Keep what is best so far, and let go of labels that have not become better for long."""
        still = []
        for at, k in enumerate(self.active):
            loss = self._history[-1].validation[k]
            if not self._stops[k] or loss is None or loss < self._best[k]:
                self._best[k] = math.inf if loss is None else loss
                self._kept_epoch[k] = self.done
                if self._stops[k] or self.done == self._options.epochs:
                    for kept, one in zip(self._kept, self._net.weights, strict=True):
                        kept[k] = one[at]
            if not self._stops[k] or self.done - self._kept_epoch[k] < (
                self._options.patience or 0
            ):
                still.append(at)
        if len(still) < len(self.active):
            self.active = [self.active[at] for at in still]
            self._net.keep(still)

    def line(self) -> str:
        """For a person."""
        last = self._history[-1]
        told = f"epoch {self.done} of {self._options.epochs}: train loss {_mean(last.train):.4f}"
        validation = _mean(last.validation)
        if validation is not None:
            told += f", validation loss {validation:.4f}"
        if len(self.active) < len(self._labels):
            told += f", {len(self._labels) - len(self.active)} labels have stopped"
        return told

    def tensors(self) -> dict[str, Any]:
        """For a checkpoint."""
        net = self._net
        groups = {"weights": net.weights, "first": net.first, "second": net.second}
        groups["kept"] = self._kept
        return {
            f"{group}.{name}": one
            for group, tensors in groups.items()
            for name, one in zip(NAMES, tensors, strict=True)
        }

    def facts(self) -> dict[str, Any]:
        """For a checkpoint, as JSON values."""
        return {
            "done": self.done,
            "steps": self._net.steps,
            "active": self.active,
            "kept_epoch": self._kept_epoch,
            "best": [None if math.isinf(v) else v for v in self._best],
            "history": [asdict(seen) for seen in self._history],
        }

    def restore(self, tensors: dict[str, Any], facts: dict[str, Any]) -> None:
        """Be where a checkpoint was made."""
        weights, first, second, self._kept = (
            [tensors[f"{group}.{name}"] for name in NAMES]
            for group in ("weights", "first", "second", "kept")
        )
        self._net.restore(weights, first, second, facts["steps"])
        self.done, self.active = facts["done"], facts["active"]
        self._kept_epoch = facts["kept_epoch"]
        self._best = [math.inf if v is None else v for v in facts["best"]]
        self._history = [
            Seen(tuple(one["train"]), tuple(one["validation"]), tuple(one["f1"]))
            for one in facts["history"]
        ]

    def trained(self) -> Trained:
        """What there is at the end."""
        hidden, bias, out, out_bias = (one.numpy() for one in self._kept)
        mlps = tuple(
            Mlp(
                (
                    Dense(np.ascontiguousarray(hidden[k].T), bias[k].copy(), "relu"),
                    Dense(out[k][:, None].copy(), out_bias[k : k + 1].copy()),
                )
            )
            for k in range(len(self._labels))
        )
        return Trained(self._labels, mlps, self._history, tuple(self._kept_epoch))


def cross_entropy(logits: Float64, targets: NDArray[np.bool_]) -> Float64:
    """Of the two logits whose difference is ``logits``, by image: log(1 + exp(-+ logit))."""
    return np.logaddexp(0, np.where(targets, -logits, logits))


@contextmanager
def _denormals_flushed() -> Iterator[None]:
    """Adam's moments of a unit that no image reaches any more fade through the denormals.

    Many processors compute with those a hundred times slower, and no weight notices them.
    """
    torch = require("torch", extra="zoo")
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def _rows(torch: Any, values: NDArray[Any]) -> Any:
    """[n, labels] to float32 [labels, n]."""
    return torch.from_numpy(np.ascontiguousarray(values.T, dtype=np.float32))


def _f1(flagged: NDArray[np.bool_], unsafe: NDArray[np.bool_], known: NDArray[np.bool_]) -> Any:
    hits = int((flagged & unsafe & known).sum())
    total = int((flagged & known).sum() + (unsafe & known).sum())
    return 2 * hits / total if total else None


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [v for v in values if v is not None]
    return sum(defined) / len(defined) if defined else None


def _told(train: Samples, validation: Samples, options: MlpOptions) -> str:
    """The training that a checkpoint is of: same data, same options."""
    told = hashlib.blake2b(json.dumps([train.labels, asdict(options)]).encode(), digest_size=16)
    for samples in (train, validation):
        for array in (samples.x, samples.targets, samples.known):
            told.update(str(array.shape).encode())
            told.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return told.hexdigest()
