"""Two sources of drawn pictures that differ, or do not, for tests of what compares them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import PIL.Image

from tests.bench.brightness import SOURCES, Brightness
from tests.pictures import drawn, encoded
from vedette.bench.evidence import Evidence
from vedette.bench.predictions import Predictions
from vedette.bench.tasks.base import BenchOptions, Context
from vedette.data.memory import ItemSource
from vedette.settings import Settings
from vedette.taxonomy import Category
from vedette.types import Item, UInt8

OPTIONS = BenchOptions(bootstrap=200, images=16)


def noisy(number: int, pixels: UInt8) -> UInt8:
    """The picture with the noise of a bad sensor."""
    noise = np.random.default_rng(number).normal(0, 25, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def alike(number: int, pixels: UInt8) -> UInt8:
    """The picture itself."""
    return pixels


def pictures(count: int, of_second: Callable[[int, UInt8], UInt8] = noisy) -> list[Item]:
    """Drawn pictures, every second of the second source."""
    out = []
    for number in range(count):
        pixels = np.asarray(drawn(number, 48, 36))
        if number % 2:
            pixels = of_second(number, pixels)
        data = encoded(PIL.Image.fromarray(pixels))
        out.append(Item(f"img/{number:03d}.png", data))
    return out


def predictions(items: list[Item], seed: int = 0) -> Predictions:
    """Answers that are right for four images in five, a little less for the second source."""
    rng = np.random.default_rng(seed)
    n, k = len(items), len(Category)
    category = np.arange(n) // 2 % 3
    unsafe = rng.random(n) < 0.5
    wrong = rng.random(n) < np.where(np.arange(n) % 2, 0.3, 0.15)
    sure = 0.5 + 0.5 * rng.random(n)
    flagged_asked = unsafe ^ wrong
    p = np.zeros((n, k), dtype=np.float32)
    p[np.arange(n), category] = np.where(flagged_asked, sure, 1 - sure)
    labels = np.zeros((n, k), dtype=np.bool_)
    labels[np.flatnonzero(unsafe), category[unsafe]] = True
    covered = np.zeros(k, dtype=np.bool_)
    covered[:3] = True
    return Predictions(
        keys=tuple(item.key for item in items),
        sha256=tuple(
            hashlib.sha256(item.data).hexdigest() for item in items if isinstance(item.data, bytes)
        ),
        source=tuple(SOURCES[number % 2] for number in range(n)),
        category=category.astype(np.int64),
        labels=labels,
        unsafe=unsafe,
        p=p,
        flagged=p >= 0.5,
        covered=covered,
        group=np.arange(n, dtype=np.int64),
    )


def context(
    state: Path,
    items: list[Item],
    given: Predictions | None = None,
    options: BenchOptions = OPTIONS,
) -> Context:
    """A whole context over pictures in memory."""
    predictor = Brightness()
    return Context(
        predictions=predictions(items) if given is None else given,
        validation=None,
        card=predictor.card,
        predictor=predictor,
        classifier=None,
        source=ItemSource(items),
        settings=Settings(),
        options=options,
        state=state,
        embedded_by="planted" if given is not None and given.embedding is not None else "",
    )


def embedded(given: Predictions, embedding: np.ndarray) -> Predictions:
    """The predictions with embeddings of the classifier's."""
    return replace(given, embedding=embedding.astype(np.float32))


def as_json(evidence: Evidence) -> str:
    """As a result has it; an error where a number is not finite."""
    return json.dumps(asdict(evidence), allow_nan=False, sort_keys=True)


def codes(evidence: Evidence) -> set[str]:
    """Of the warnings."""
    return {caveat.code for caveat in evidence.warnings}
