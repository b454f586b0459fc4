"""A small honest predictor for tests: bright pictures are unsafe. It decodes what it is given."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import PIL.Image

from tests.pictures import drawn
from vedette.bench.perturbations.pixels import array_of
from vedette.bench.predictions import Predictions
from vedette.bench.predictor import Answer, Predictor, PredictorCard
from vedette.bench.tasks.base import BenchOptions, Context
from vedette.data.memory import ItemSource
from vedette.settings import Settings
from vedette.taxonomy import Category
from vedette.types import Failure, Item

SEEN = (Category.VIOLENCE, Category.SEXUAL)
SOURCES = ("Laion5B", "Lexica")


def brightness(data: bytes) -> float:
    """Mean of all values of a file, 0 to 1."""
    with PIL.Image.open(io.BytesIO(data)) as picture:
        return float(array_of(picture).mean()) / 255


class Brightness:
    """Probability of violence: how bright a picture is; of sexual content: how dark."""

    def __init__(
        self,
        habit: Callable[[str], None] = lambda key: None,
        fails: Callable[[str], bool] = lambda key: False,
    ) -> None:
        self.card = PredictorCard(name="brightness", model="brightness@1", covered=SEEN)
        self.asked: list[str] = []
        self._habit = habit
        self._fails = fails

    def predict(self, items: Iterable[Item]) -> Iterator[Answer]:
        for item in items:
            self._habit(item.key)
            self.asked.append(item.key)
            if isinstance(item.data, Failure):
                yield Answer(item.key, None, None, failure=item.data)
                continue
            assert isinstance(item.data, bytes)
            sha256 = hashlib.sha256(item.data).hexdigest()
            if self._fails(item.key):
                failure = Failure("infer", "model_failed", "it choked")
                yield Answer(item.key, sha256, None, failure=failure)
                continue
            light = brightness(item.data)
            p = {Category.VIOLENCE: light, Category.SEXUAL: 1 - light}
            yield Answer(item.key, sha256, p)

    def close(self) -> None:
        pass


def items(count: int, width: int = 48, height: int = 36) -> list[Item]:
    """Drawn pictures; the third of each four has no category, every second is unsafe."""
    out = []
    for number in range(count):
        shade = 40 if number % 3 else 0
        pixels = np.clip(np.asarray(drawn(number, width, height)).astype(int) + shade, 0, 255)
        stream = io.BytesIO()
        PIL.Image.fromarray(pixels.astype(np.uint8)).save(stream, "PNG")
        out.append(Item(f"img/{number:03d}.png", stream.getvalue()))
    return out


def predictions(given: Sequence[Item], predictor: Predictor) -> Predictions:
    """What the predictor says about items, with labels that are right more often than not."""
    n, k = len(given), len(Category)
    p = np.zeros((n, k), dtype=np.float32)
    for row, answer in enumerate(predictor.predict(given)):
        assert answer.p is not None
        for one, value in answer.p.items():
            p[row, one.position] = value
    covered = np.zeros(k, dtype=np.bool_)
    covered[[c.position for c in SEEN]] = True
    category = np.array(
        [-1 if row % 4 == 2 else SEEN[row % 3 == 0].position for row in range(n)], dtype=np.int64
    )
    flagged = p >= 0.5
    own = flagged[np.arange(n), np.maximum(category, 0)]
    decided = np.where(category >= 0, own, (flagged & covered).any(axis=1))
    unsafe = np.where(np.arange(n) % 5 == 4, ~decided, decided)
    labels = np.zeros((n, k), dtype=np.bool_)
    labels[np.flatnonzero(unsafe & (category >= 0)), category[unsafe & (category >= 0)]] = True
    return Predictions(
        keys=tuple(item.key for item in given),
        sha256=tuple(hashlib.sha256(item.data).hexdigest() for item in given),  # type: ignore[arg-type]
        source=tuple(SOURCES[row % 2] for row in range(n)),
        category=category,
        labels=labels,
        unsafe=unsafe,
        p=p,
        flagged=flagged,
        covered=covered,
        group=np.arange(n, dtype=np.int64) // 2,
    )


def context(
    state: Path,
    predictor: Predictor | None = None,
    count: int = 12,
    options: BenchOptions | None = None,
) -> Context:
    """A whole context over drawn pictures in memory."""
    given = items(count)
    predictor = predictor or Brightness()
    return Context(
        predictions=predictions(given, Brightness()),
        validation=None,
        card=predictor.card,
        predictor=predictor,
        classifier=None,
        source=ItemSource(given),
        settings=Settings(),
        options=options or BenchOptions(images=6, bootstrap=200),
        state=state,
    )
