"""The training loop of both forms of prompt learning.

Labels are independent: each has its own two prompts, its own loss and its own best epoch. They are
learned at once because the text tower then runs once for a step, over all prompts together, and
not once for a label, let alone for an image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vedette.errors import VedetteError
from vedette.extras import require
from vedette.train.examples import Bools, Ints
from vedette.train.finishing import Epoch
from vedette.train.prompt.checkpoint import State, digest_of, read_state, write_state
from vedette.train.prompt.options import PromptOptions
from vedette.types import Float32

SCALE = 100.0
"""CLIP's logit scale, which its training ended at and which stays fixed."""
_LENGTH = 1e-3
"""How far from 1 a direction's length may be."""
_LINES = 20
"""Of progress, at most."""
Directions = Callable[[Any], Any]
"""A tensor of what is learned [labels, 2, ...] to unit vectors [labels, 2, dim] in CLIP's space;
differentiable. Of the two, the safe one comes first."""


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """What is learned from."""

    features: Float32
    """float32 [n, dim], L2-normalised"""
    targets: Bools
    """bool [n, labels]"""
    known: Bools
    """bool [n, labels]: others are left out of the loss."""
    train: Ints
    """Row numbers."""
    validation: Ints
    """Row numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What came out."""

    vectors: Float32
    """float32 [labels, 2, ...]: what was learned, of each label's kept epoch."""
    directions: Float32
    """float32 [labels, 2, dim], of length 1"""
    history: Sequence[Epoch]
    start: Mapping[str, float]
    """Losses and F1 before the first step: for prompts that start from text, zero-shot."""


@dataclass(frozen=True, slots=True)
class Run:
    """Where and how a loop runs, beside the user's options."""

    seed: int
    checkpoint: Path
    """Written after every epoch; a run that finds its own goes on from there."""
    device: str = "cpu"
    say: Callable[[str], None] = lambda _: None


def learn(
    lessons: Lessons, start: Float32, directions: Directions, options: PromptOptions, run: Run
) -> Learned:
    """Learn two prompts for each label with cross-entropy and Adam.

    The loss of a label is the cross-entropy of the softmax over the two cosines, times
    :data:`SCALE`; its mean over the images of a batch whose label is known.

    Args:
        lessons: see there.
        start: float32 [labels, 2, ...]: where what is learned starts.
        directions: see there.
        options: ``epochs``, ``batch``, ``learning_rate`` and ``patience`` count here.
        run: see there.

    Raises:
        VedetteError: ``training_failed``: the loss is no number any more; ``write_failed``.
    """
    loop = _Loop(lessons, start, directions, options, run)
    every = -(-options.epochs // _LINES)
    while loop.state.epoch < options.epochs and not loop.stopped:
        epoch = loop.epoch()
        if epoch.number % every == 0 or epoch.number == options.epochs or loop.stopped:
            told = ", ".join(f"{name} {value:.4g}" for name, value in epoch.values.items())
            run.say(f"epoch {epoch.number:g} of {options.epochs}: {told}")
    return loop.learned()


class _Loop:
    """The state on the device, and one epoch after the other."""

    def __init__(
        self,
        lessons: Lessons,
        start: Float32,
        directions: Directions,
        options: PromptOptions,
        run: Run,
    ) -> None:
        self._torch = torch = require("torch", extra="zoo")
        self._lessons, self._directions = lessons, directions
        self._options, self._run = options, run
        self._features = torch.from_numpy(lessons.features).to(run.device)
        self._targets = torch.from_numpy(lessons.targets.astype(np.float32)).to(run.device)
        self._known = torch.from_numpy(lessons.known.astype(np.float32)).to(run.device)
        self._parameter = torch.from_numpy(start.copy()).to(run.device).requires_grad_(True)
        self._adam = torch.optim.Adam([self._parameter], lr=options.learning_rate)
        parts = lessons.train, lessons.validation
        learned_from = digest_of(lessons.features, lessons.targets, lessons.known, *parts, start)
        found = read_state(run.checkpoint, learned_from)
        if found is None:
            labels = start.shape[0]
            found = State(
                learned_from=learned_from,
                vectors=start,
                best=start,
                best_loss=(float("inf"),) * labels,
                waited=(0,) * labels,
                start=self._validated()[1],
            )
        else:
            run.say(f"going on after epoch {found.epoch}")
            self._restore(found)
        self.state = found

    @property
    def stopped(self) -> bool:
        """Whether every label has waited long enough for a lower validation loss."""
        return self._stops and all(w >= self._options.patience for w in self.state.waited)

    @property
    def _stops(self) -> bool:
        return self._options.patience > 0 and len(self._lessons.validation) > 0

    def epoch(self) -> Epoch:
        """One pass over the images, in an order that follows from the seed and the epoch alone."""
        torch, options, state = self._torch, self._options, self.state
        number = state.epoch + 1
        order = np.random.default_rng([self._run.seed, number]).permutation(self._lessons.train)
        rows = torch.from_numpy(order).to(self._run.device)
        total = torch.zeros(self._parameter.shape[0], device=self._run.device)
        seen = torch.zeros_like(total)
        for batch in rows.split(options.batch):
            losses, count = self._losses(self._directions(self._parameter), batch)
            # A sum over labels: each has the gradient, and so the steps, that it has alone.
            (losses / count.clamp(min=1)).sum().backward()
            self._adam.step()
            self._adam.zero_grad()
            total += losses.detach()
            seen += count
        train_loss = float((total / seen.clamp(min=1)).mean())
        if not (np.isfinite(train_loss) and bool(torch.isfinite(self._parameter).all())):
            raise self._diverged(number)
        vectors = self._parameter.detach().cpu().numpy().copy()
        by_label, measured = self._validated()
        if not np.isfinite(list(measured.values())).all():
            raise self._diverged(number)
        best, best_loss, waited = vectors, state.best_loss, state.waited
        if self._stops:
            best, best_loss, waited = _kept(state, vectors, by_label, options.patience)
        epoch = Epoch(number, {"train loss": train_loss, **measured})
        self.state = replace(
            state,
            epoch=number,
            vectors=vectors,
            moments=self._moments(),
            best=best,
            best_loss=best_loss,
            waited=waited,
            history=(*state.history, epoch),
        )
        write_state(self._run.checkpoint, self.state)
        return epoch

    @staticmethod
    def _diverged(number: int) -> VedetteError:
        return VedetteError(
            f"the loss is no number after epoch {number}",
            code="training_failed",
            hint="lower --learning-rate",
        )

    def learned(self) -> Learned:
        """What is kept in the end."""
        torch, state = self._torch, self.state
        with torch.no_grad():
            kept = self._directions(torch.from_numpy(state.best.copy()).to(self._run.device))
        directions = kept.cpu().numpy().astype(np.float32)
        # A vector that has grown without bound has a length of 0 when it is normalised.
        if not np.allclose(np.linalg.norm(directions, axis=-1), 1, atol=_LENGTH):
            raise VedetteError(
                "the prompts have no direction any more",
                code="training_failed",
                hint="lower --learning-rate",
            )
        return Learned(state.best, directions, state.history, state.start)

    def _losses(self, directions: Any, rows: Any) -> tuple[Any, Any]:
        """The sums of the cross-entropies of ``rows`` by label, and how many are known."""
        logits = SCALE * self._features[rows] @ (directions[:, 1] - directions[:, 0]).T
        # Of a softmax over two this is the cross-entropy: their difference is its log-odds.
        each = self._torch.nn.functional.binary_cross_entropy_with_logits(
            logits, self._targets[rows], reduction="none"
        )
        known = self._known[rows]
        return (each * known).sum(dim=0), known.sum(dim=0)

    def _validated(self) -> tuple[Sequence[float | None], dict[str, float]]:
        """On the validation part: the loss of each label, None where it has no known image there;
        and the means of the labels' losses and F1, by name, where there are any."""
        torch, lessons = self._torch, self._lessons
        known = lessons.known[lessons.validation]
        unsafe = lessons.targets[lessons.validation] & known
        rows = torch.from_numpy(lessons.validation).to(self._run.device)
        with torch.no_grad():
            directions = self._directions(self._parameter)
            losses, count = self._losses(directions, rows)
            margins = self._features[rows] @ (directions[:, 1] - directions[:, 0]).T
        flagged = (margins > 0).cpu().numpy() & known
        means = (losses / count.clamp(min=1)).tolist()
        by_label = [one if known[:, k].any() else None for k, one in enumerate(means)]
        found = {}
        if losses_there := [one for one in by_label if one is not None]:
            found["validation loss"] = float(np.mean(losses_there))
        both = flagged.sum(axis=0) + unsafe.sum(axis=0)
        if (both > 0).any():
            f1 = 2 * (flagged & unsafe).sum(axis=0)[both > 0] / both[both > 0]
            found["validation F1"] = float(f1.mean())
        return by_label, found

    def _moments(self) -> tuple[Float32, Float32]:
        (kept,) = self._adam.state_dict()["state"].values()
        return tuple(kept[name].cpu().numpy().copy() for name in ("exp_avg", "exp_avg_sq"))

    def _restore(self, found: State) -> None:
        torch = self._torch
        with torch.no_grad():
            self._parameter.copy_(torch.from_numpy(found.vectors.copy()))
        first, second = (torch.from_numpy(one.copy()) for one in found.moments)
        steps = found.epoch * -(-len(self._lessons.train) // self._options.batch)
        own = {"step": torch.tensor(float(steps)), "exp_avg": first, "exp_avg_sq": second}
        groups = self._adam.state_dict()["param_groups"]
        self._adam.load_state_dict({"state": {0: own}, "param_groups": groups})


def _kept(
    state: State, vectors: Float32, losses: Sequence[float | None], patience: int
) -> tuple[Float32, tuple[float, ...], tuple[int, ...]]:
    """Of each label the epoch with the lowest validation loss so far; a stopped one stays so.

    A label without a validation loss does not stop: its last epoch is kept.
    """
    best, best_loss, waited = state.best.copy(), list(state.best_loss), list(state.waited)
    for k, loss in enumerate(losses):
        if waited[k] >= patience:
            continue
        if loss is None:
            best[k] = vectors[k]
        elif loss < best_loss[k]:
            best[k], best_loss[k], waited[k] = vectors[k], loss, 0
        else:
            waited[k] += 1
    return best, tuple(best_loss), tuple(waited)
