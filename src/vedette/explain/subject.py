"""Which picture of a file is explained: the one frame that decides about it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from vedette.errors import DecodeError, ItemError, UsageError
from vedette.explain.forward import predict
from vedette.models.base import Classifier, Prepared
from vedette.pipeline import decoder_for
from vedette.settings import Settings
from vedette.taxonomy import Category
from vedette.types import Failure, Image, Item, Prediction, Scores


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A frame, and what the model says of it."""

    image: Image
    prepared: Prepared
    prediction: Prediction
    scores: Scores
    category: Category
    """The one asked for, or the one with the highest score."""

    @property
    def p(self) -> float:
        """Of the category."""
        return float(self.scores.p[self.category.position])


def find_subject(
    model: Classifier,
    item: Item,
    settings: Settings,
    category: Category | None = None,
    frame: int | None = None,
) -> tuple[Subject, Failure | None]:
    """The frame with the highest score, decoded and sampled as a scan does, and what failed after.

    Args:
        model: whose scores count.
        item: the file.
        settings: limits, sampling, and how a scan decodes.
        category: whose score counts; any if None.
        frame: take this one instead, by its number in the file.

    Raises:
        UsageError: no such frame among those that a scan looks at.
        ItemError: no picture could be decoded, or the model failed.
    """
    best: Subject | None = None
    failure: Failure | None = None
    seen: list[int] = []
    with closing(decoder_for(model, settings)) as decoder:
        try:
            for image in decoder.frames(item):
                seen.append(image.frame)
                if frame is not None and image.frame != frame:
                    if image.frame > frame:
                        break  # frames come in order
                    continue
                found = _seen_by(model, image, category)
                if best is None or found.p > best.p:
                    best = found
        except ItemError as error:
            if best is None:
                raise
            failure = error.failure()
    if best is not None:
        return best, failure
    if not seen:
        raise DecodeError("the file holds no picture")
    assert frame is not None
    near = sorted({max((n for n in seen if n < frame), default=seen[0]), seen[-1]})
    raise UsageError(
        f"frame {frame} is not among those that a scan looks at",
        hint=f"near it is {' and '.join(map(str, near))}; see the Record's timeline",
    )


def _seen_by(model: Classifier, image: Image, category: Category | None) -> Subject:
    prepared = model.prepare(image)
    ((prediction, scores),) = predict(model, [prepared])
    chosen = category or max(model.card.covered, key=lambda c: float(scores.p[c.position]))
    return Subject(image, prepared, prediction, scores, chosen)
