"""A teacher whose taste is known, pictures that it tells apart, and a student small enough."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import PIL.Image

from tests.pictures import encoded
from tests.trained_folders import head_folder
from vedette.bench.predictor import Answer, Predictor, PredictorCard
from vedette.data.paths import PathSource
from vedette.heads.base import Dense, Mlp
from vedette.heads.trained import TrainedMlp
from vedette.settings import Limits, Settings
from vedette.taxonomy import Category
from vedette.train.data import SetOptions
from vedette.train.distill.pool import Pool, read_pool
from vedette.types import Item

TASTE = (Category.VIOLENCE, Category.SEXUAL)


def teacher(folder: Path) -> str:
    """A head over the dummy's 4 x 4 colours: Violence is red, Sexual is blue."""
    grid = np.zeros((2, 4, 4, 3), np.float32)
    grid[0, :] = (1, -0.5, -0.5)
    grid[1, :] = (-0.5, -0.5, 1)
    rows = 3 * grid.reshape(2, 48)
    bias = np.full(1, -3, np.float32)
    mlps = tuple(Mlp((Dense(row[:, None], bias),)) for row in rows)
    head = TrainedMlp(tuple(c.value for c in TASTE), mlps, unit=True)
    return str(head_folder(folder, "dummy", head))


def picture(seed: int) -> PIL.Image.Image:
    """Red, green or blue, with blocks of noise that tell pictures of one colour apart."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 130, (8, 8, 3)).repeat(5, axis=0).repeat(5, axis=1)
    pixels[..., int(rng.integers(3))] += 90
    return PIL.Image.fromarray(pixels.astype(np.uint8))


def pictures(root: Path, count: int) -> Path:
    """A folder of them, without labels."""
    root.mkdir(parents=True)
    for seed in range(count):
        root.joinpath(f"{seed:04}.png").write_bytes(encoded(picture(seed)))
    return root


def pool_of(root: Path, seed: int = 7) -> Pool:
    """That folder as a pool."""
    source = PathSource([str(root)], Limits())
    return read_pool(str(root), source, Settings(), SetOptions(seed))


class Counting:
    """A predictor that counts what it is asked, and is cut off after so many answers."""

    def __init__(self, inner: Predictor, most: int = 10**9) -> None:
        self._inner = inner
        self._most = most
        self.asked: list[str] = []

    @property
    def card(self) -> PredictorCard:
        return self._inner.card

    def predict(self, items: Iterable[Item]) -> Iterator[Answer]:
        for answer in self._inner.predict(items):
            if len(self.asked) >= self._most:
                raise KeyboardInterrupt
            self.asked.append(answer.key)
            yield answer

    def close(self) -> None:
        self._inner.close()


def account(folder: Path) -> dict[str, object]:
    """``training.json`` of a folder."""
    told: dict[str, object] = json.loads((folder / "training.json").read_text())
    return told
