"""A backbone that counts what it is shown, and a program that embeds a folder slowly with it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vedette.data.opening import open_source
from vedette.embeddings.embed import Embedder
from vedette.embeddings.folder import About
from vedette.embeddings.into_folder import embed_set
from vedette.embeddings.store import space_of
from vedette.models.base import Prepared
from vedette.models.dummy import Dummy
from vedette.settings import Settings
from vedette.types import Float32, Image, Prediction

DIM = Dummy.card.embedding or 0


class Counting(Dummy):
    """The dummy without its labels, as a bare backbone is; counts pictures on either side of it."""

    card = replace(Dummy.card, id="counting", labels={})

    def __init__(
        self,
        changed: Callable[[Float32], Float32] = lambda embedding: embedding,
        seconds: float = 0.0,
    ) -> None:
        self.prepared = 0
        self.inferred = 0
        self._changed = changed
        self._seconds = seconds

    def prepare(self, image: Image) -> Prepared:
        self.prepared += 1
        return super().prepare(image)

    def infer(self, batch: Sequence[Prepared]) -> Sequence[Prediction]:
        self.inferred += len(batch)
        time.sleep(self._seconds)
        made = []
        for prediction in super().infer(batch):
            assert prediction.embedding is not None
            embedding = self._changed(prediction.embedding)
            made.append(Prediction((), np.zeros(0, np.float32), self.card.model, embedding))
        return made


def about(backbone: Dummy, data: str) -> About:
    return About(backbone.card.id, space_of(backbone), backbone.card.fit, data, None)


def run(
    data: Path,
    out: Path,
    store: Path,
    backbone: Dummy,
    *,
    shard_rows: int = 8,
    overwrite: bool = False,
    settings: Settings | None = None,
) -> About:
    """Embed a folder into a folder."""
    _, source = open_source(str(data))
    with Embedder(backbone, settings or Settings(), store) as embedder:
        return embed_set(
            source,
            embedder,
            out,
            about(backbone, str(data)),
            shard_rows=shard_rows,
            overwrite=overwrite,
        )


if __name__ == "__main__":
    slow = Counting(seconds=0.1)
    run(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), slow)
    print(slow.inferred)
