"""All that explains a model's score of one picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vedette.errors import UnknownNameError, UsageError
from vedette.explain.cover import Cover
from vedette.explain.deletion import Deletion, deletion_test
from vedette.explain.occlusion import Relevance, relevance
from vedette.explain.subject import Subject, find_subject
from vedette.models.base import Classifier, ModelCard, bare
from vedette.settings import Settings
from vedette.taxonomy import Category, parse_category
from vedette.types import SCORE_DECIMALS, Failure, Item, Region

_LOGIT_DECIMALS = 4


@dataclass(frozen=True, slots=True)
class ExplainOptions:
    """What a user may choose.

    Raises:
        UsageError: a grid outside 2..32, or fewer than 2 orders.
    """

    category: Category | None = None
    """None: the one with the highest score."""
    frame: int | None = None
    """By its number in the file. None: the one with the highest score."""
    grid: int = 8
    """Cells along each side of the map."""
    orders: int = 10
    """Random orders, and moved maps, that the map has to beat."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not 2 <= self.grid <= 32:
            raise UsageError(f"a grid of {self.grid}", hint="give 2 to 32 cells along a side")
        if self.orders < 2:
            raise UsageError(f"{self.orders} random orders", hint="give at least 2")


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """What the score of one category rests on."""

    key: str
    card: ModelCard
    subject: Subject
    relevance: Relevance | None
    """None where regions explain the score."""
    deletion: Deletion | None
    """The test of the map; None where there is none."""
    failure: Failure | None
    """Why frames behind the explained one could not be looked at."""

    def labels(self) -> list[tuple[str, float]]:
        """The model's labels with their probabilities, the nearest to the picture first."""
        prediction = self.subject.prediction
        pairs = zip(prediction.labels, prediction.probs, strict=True)
        return sorted(((name, float(p)) for name, p in pairs), key=lambda pair: -pair[1])

    def counts(self, region: Region) -> bool:
        """Whether the region's label counts for the explained category."""
        return any(
            bare(label) == region.label and self.subject.category in counted
            for card in (self.card, *self.card.needs)
            for label, counted in card.labels.items()
        )


def explain(
    model: Classifier, item: Item, settings: Settings, options: ExplainOptions
) -> Explanation:
    """What the model's score of a file's decisive frame rests on.

    Where the label behind the score comes with regions, these are the explanation; elsewhere a
    relevance map is made and tested.

    Args:
        model: any classifier.
        item: a picture, an animation or a video.
        settings: limits, sampling, and how a scan decodes.
        options: what to explain, and how closely.

    Raises:
        UsageError: the model does not cover the category, or there is no such frame.
        ItemError: nothing could be decoded, or the model failed.
    """
    _check_covered(model.card, options.category)
    subject, failure = find_subject(model, item, settings, options.category, options.frame)
    found: Relevance | None = None
    test: Deletion | None = None
    if not _explained_by_regions(subject, model.card):
        cover = Cover(subject.prepared, options.grid)
        found = relevance(model, cover, subject.category)
        test = deletion_test(model, cover, found, orders=options.orders, seed=options.seed)
    return Explanation(item.key, model.card, subject, found, test, failure)


def category_named(name: str) -> Category:
    """The category of that name.

    Raises:
        UnknownNameError: there is none; says which one was likely meant.
    """
    try:
        return parse_category(name)
    except KeyError:
        raise UnknownNameError("category", name, list(Category)) from None


def to_dict(explanation: Explanation) -> dict[str, Any]:
    """The explanation as JSON values; the keys are those of docs/explain.md."""
    subject, test = explanation.subject, explanation.deletion
    image, category, failure = subject.image, subject.category, explanation.failure
    labels = explanation.card.labels
    found = explanation.relevance
    return {
        "key": explanation.key,
        "model": explanation.card.model,
        "frame": image.frame,
        "category": category.value,
        "p": _rounded(subject.p),
        "scores": {c.value: p for c, p in subject.scores.as_dict().items()},
        "labels": [
            {"label": label, "p": _rounded(p), "categories": [c.value for c in labels[label]]}
            for label, p in explanation.labels()
        ],
        "regions": [
            {
                "label": region.label,
                "score": region.score,
                "box": list(region.box),
                "counts": explanation.counts(region),
            }
            for region in subject.prediction.regions
        ],
        "map": None
        if found is None
        else [[round(float(v), _LOGIT_DECIMALS) for v in row] for row in found.cells],
        "deletion": None
        if test is None
        else {
            "beats_random": test.beats_random,
            "area": _rounded(test.area),
            "random_mean": _rounded(test.random_mean),
            "random_std": _rounded(test.random_std),
            "orders": test.orders,
            "moved_as_good": test.moved_as_good,
            "moved": test.moved,
            "curve": [_rounded(p) for p in test.curve],
        },
        "failure": None
        if failure is None
        else {"stage": failure.stage, "code": failure.code, "message": failure.message},
    }


def _check_covered(card: ModelCard, category: Category | None) -> None:
    if not card.covered:
        raise UsageError(f"{card.id} looks for no category: there is no score to explain")
    if category is not None and category not in card.covered:
        raise UsageError(
            f"{card.id} does not look for {category}", hint=f"it covers {', '.join(card.covered)}"
        )


def _explained_by_regions(subject: Subject, card: ModelCard) -> bool:
    """Whether the label behind the category's probability has a region in the picture."""
    prediction = subject.prediction
    pairs = zip(prediction.labels, prediction.probs, strict=True)
    counting = [(float(p), label) for label, p in pairs if subject.category in card.labels[label]]
    _, behind = max(counting, key=lambda pair: pair[0])
    return any(region.label == bare(behind) for region in prediction.regions)


def _rounded(p: float) -> float:
    return round(p, SCORE_DECIMALS)
