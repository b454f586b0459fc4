"""Several models as one: ``any(a,b)``, ``mean(a,b)`` and ``cascade(fast -> slow)``.

A combination is a Classifier like any other: it can be scanned with, and be a member of another.
Its labels bear the member's name, ``q16:inappropriate``, so that a Record shows who decided.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vedette.errors import UsageError
from vedette.models.base import Classifier, ModelCard, Prepared, labelled
from vedette.resize import Fit
from vedette.scores import to_scores
from vedette.taxonomy import Category
from vedette.types import Float32, Image, Prediction

DEFAULT_LOW, DEFAULT_HIGH = 0.1, 0.9


class _Combination:
    """What the three have in common. See :class:`vedette.models.base.Classifier`."""

    def __init__(self, card: ModelCard, members: Sequence[Classifier]) -> None:
        if len({member.icc for member in members}) != 1:
            raise UsageError(
                f"{card.id}: its members want their colours differently",
                hint="nudenet-compatible does not combine with other models: use nudenet",
            )
        self.card = card
        self.members = tuple(members)
        self.icc = members[0].icc
        self.streams = max(member.streams for member in members)
        self.runtime = ", ".join(dict.fromkeys(member.runtime for member in members))
        self.fit = common_fit([member.fit for member in members])

    def prepare(self, image: Image) -> Prepared:
        """The picture as each member takes it."""
        parts = tuple(member.prepare(image) for member in self.members)
        first = parts[0]
        return Prepared(first.pixels, first.width, first.height, frame=first.frame, others=parts)

    def _infer(self, index: int, batch: Sequence[Prepared]) -> list[Prediction]:
        predictions = list(self.members[index].infer([p.others[index] for p in batch]))
        if len(predictions) != len(batch):
            member = self.members[index].card.id
            raise ValueError(f"{member}: {len(predictions)} predictions for {len(batch)} images")
        return predictions


class AnyOf(_Combination):
    """Unsafe if any member says so: all labels of all members side by side."""

    def infer(self, batch: Sequence[Prepared]) -> Sequence[Prediction]:
        """See :class:`vedette.models.base.Classifier`."""
        columns = [self._infer(index, batch) for index in range(len(self.members))]
        return [self._joined(predictions) for predictions in zip(*columns, strict=True)]

    def _joined(self, predictions: Sequence[Prediction]) -> Prediction:
        named = [
            (labelled(member.card, label), p)
            for member, prediction in zip(self.members, predictions, strict=True)
            for label, p in zip(prediction.labels, prediction.probs, strict=True)
        ]
        probs = np.array([p for _, p in named], dtype=np.float32)
        return _with_evidence(
            Prediction(tuple(label for label, _ in named), probs, self.card.model), predictions
        )


class MeanOf(_Combination):
    """For each category the mean over the members that cover it."""

    def infer(self, batch: Sequence[Prepared]) -> Sequence[Prediction]:
        """See :class:`vedette.models.base.Classifier`."""
        columns = [self._infer(index, batch) for index in range(len(self.members))]
        return [self._averaged(predictions) for predictions in zip(*columns, strict=True)]

    def _averaged(self, predictions: Sequence[Prediction]) -> Prediction:
        scores = [
            to_scores(prediction, member.card.labels)
            for member, prediction in zip(self.members, predictions, strict=True)
        ]
        covered = np.stack([s.covered for s in scores])
        total = np.stack([s.p * s.covered for s in scores]).sum(axis=0, dtype=np.float64)
        means = total / np.maximum(covered.sum(axis=0), 1)
        probs = np.array([means[c.position] for c in self.card.covered], dtype=np.float32)
        labels = tuple(category.value for category in self.card.covered)
        return _with_evidence(Prediction(labels, probs, self.card.model), predictions)


@dataclass(frozen=True, slots=True)
class CascadeCost:
    """What a cascade has done so far."""

    pictures: int
    reached: int
    """Of these, the ones that the slow model saw."""
    fast_s: float
    slow_s: float
    """Seconds in each model, over all streams."""


class Cascade(_Combination):
    """A fast model first; a slow one for what the fast one leaves between its two thresholds.

    It covers what both cover: of a picture that never reaches the slow model, nobody has looked
    for more.
    """

    def __init__(
        self, card: ModelCard, fast: Classifier, slow: Classifier, low: float, high: float
    ) -> None:
        super().__init__(card, (fast, slow))
        self._low, self._high = low, high
        self._lock = threading.Lock()
        self._cost = CascadeCost(0, 0, 0.0, 0.0)

    @property
    def cost(self) -> CascadeCost:
        """What it has done so far."""
        with self._lock:
            return self._cost

    def told(self) -> Sequence[str]:
        """The cost in words, for the end of a scan."""
        cost = self.cost
        if not cost.pictures:
            return ()
        fast, slow = (member.card.id for member in self.members)
        return (
            f"{cost.reached} of {cost.pictures} pictures "
            f"({100 * cost.reached / cost.pictures:.1f} %) went on to {slow}; "
            f"model time: {fast} {cost.fast_s:.1f} s, {slow} {cost.slow_s:.1f} s",
        )

    def infer(self, batch: Sequence[Prepared]) -> Sequence[Prediction]:
        """See :class:`vedette.models.base.Classifier`."""
        started = time.perf_counter()
        fast = self._infer(0, batch)
        between = [k for k, prediction in enumerate(fast) if self._is_between(prediction)]
        switched = time.perf_counter()
        slow = self._infer(1, [batch[k] for k in between]) if between else []
        ended = time.perf_counter()
        with self._lock:
            self._cost = CascadeCost(
                self._cost.pictures + len(batch),
                self._cost.reached + len(between),
                self._cost.fast_s + switched - started,
                self._cost.slow_s + ended - switched,
            )
        decided = [self._from(0, prediction, ()) for prediction in fast]
        for k, prediction in zip(between, slow, strict=True):
            decided[k] = self._from(1, prediction, (fast[k],))
        return decided

    def _is_between(self, prediction: Prediction) -> bool:
        scores = to_scores(prediction, self.members[0].card.labels)
        # As a Record would have it: what is judged is what is shown.
        highest = max(scores[category] or 0.0 for category in self.card.covered)
        return self._low <= highest <= self._high

    def _from(self, index: int, prediction: Prediction, others: Sequence[Prediction]) -> Prediction:
        member = self.members[index].card
        labels = tuple(labelled(member, label) for label in prediction.labels)
        own = Prediction(labels, prediction.probs, self.card.model)
        return _with_evidence(own, (prediction, *others))


def common_fit(fits: Iterable[Fit | None]) -> Fit | None:
    """What a scaled decode may rely on if every one of ``fits`` is to have its pixels."""
    known = list(fits)
    demands = {(fit.size, fit.mode) for fit in known if fit is not None}
    if None in known:
        return None
    first = known[0]
    if first is not None and len(demands) == 1:
        return first
    # The short side at least the largest size: no mode of a smaller one asks for more.
    return Fit(max(size for size, _ in demands), "cover")


def _with_evidence(prediction: Prediction, sources: Sequence[Prediction]) -> Prediction:
    """``prediction`` with the embedding of the first source that has one, and all regions."""
    embedding: Float32 | None = next(
        (s.embedding for s in sources if s.embedding is not None), None
    )
    regions = tuple(region for source in sources for region in source.regions)
    return replace(prediction, embedding=embedding, regions=regions)


def any_card(name: str, cards: Sequence[ModelCard]) -> ModelCard:
    """The card of ``any(…)``."""
    labels: dict[str, tuple[Category, ...]] = {}
    for card in cards:
        for label, counts in card.labels.items():
            named = labelled(card, label)
            if labels.setdefault(named, counts) != counts:
                raise UsageError(
                    f"{name}: {named} counts for other categories in each of two members"
                )
    return _card(name, cards, labels, "unsafe if any of its members says so")


def mean_card(name: str, cards: Sequence[ModelCard]) -> ModelCard:
    """The card of ``mean(…)``."""
    covered = {category for card in cards for category in card.covered}
    labels: dict[str, tuple[Category, ...]] = {
        category.value: (category,) for category in Category if category in covered
    }
    return _card(name, cards, labels, "for each category the mean of the members that cover it")


def cascade_card(name: str, fast: ModelCard, slow: ModelCard, low: float, high: float) -> ModelCard:
    """The card of ``cascade(…)``.

    Raises:
        UsageError: the two cover nothing in common.
    """
    shared = set(fast.covered) & set(slow.covered)
    if not shared:
        raise UsageError(
            f"{name}: {slow.id} cannot settle what {fast.id} leaves open",
            hint=f"{fast.id} covers {', '.join(fast.covered)}; "
            f"{slow.id} covers {', '.join(slow.covered)}",
        )
    labels = {
        labelled(card, label): tuple(category for category in counts if category in shared)
        for card in (fast, slow)
        for label, counts in card.labels.items()
    }
    summary = f"{slow.id} for what {fast.id} scores {low:g} to {high:g}"
    return _card(name, (fast, slow), labels, summary)


def _card(
    name: str,
    cards: Sequence[ModelCard],
    labels: dict[str, tuple[Category, ...]],
    summary: str,
) -> ModelCard:
    common = [p for p in cards[0].precisions if all(p in card.precisions for card in cards)]
    return ModelCard(
        id=name,
        revision="+".join(dict.fromkeys(card.revision for card in cards)),
        summary=summary,
        licence="; ".join(f"{card.id}: {card.licence}" for card in cards),
        terms="; ".join(f"{card.id}: {card.terms}" for card in cards),
        trained_on="; ".join(f"{card.id}: {card.trained_on}" for card in cards),
        source="; ".join(f"{card.id}: {card.source}" for card in cards),
        sha256=None,
        labels=labels,
        fit=common_fit([card.fit for card in cards]) or cards[0].fit,
        precisions=tuple(common),
        extra=next((card.extra for card in cards if card.extra is not None), None),
        commercial=all(card.commercial for card in cards),
        needs=tuple(cards),
        embedding=next((card.embedding for card in cards if card.embedding), None),
        parameters=sum(card.parameters or 0 for card in cards) or None,
        reference="its members",
    )
