"""The pictures of a set as batches for a network: to learn from, and to be judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import cast

import numpy as np

from vedette.backends.base import cores
from vedette.errors import UsageError
from vedette.models.base import Classifier
from vedette.models.recipe import Recipe
from vedette.pipeline import decoder_for
from vedette.resize import Fit
from vedette.settings import Settings
from vedette.train.data import TrainingSet
from vedette.train.examples import Ints
from vedette.train.finetune.augment import augmented
from vedette.train.finetune.loader import Loader
from vedette.train.finetune.options import FineTuneOptions
from vedette.train.finetune.squares import Squares
from vedette.types import UInt8


class _Wants:
    """What a decoder asks of a classifier."""

    icc = True

    def __init__(self, fit: Fit) -> None:
        self.fit: Fit | None = fit


class Pictures:
    """Batches of a set's pictures, made ahead in threads; a context manager.

    Args:
        data: with its source.
        recipe: of the network: training sees the pixels that a scan sees.
        settings: limits of decoding.
        options: of the training.
        seed: of the training.
        folder: for squares that are kept on disk.

    Raises:
        UsageError: the set has no pictures.
    """

    def __init__(
        self,
        data: TrainingSet,
        recipe: Recipe,
        settings: Settings,
        options: FineTuneOptions,
        seed: int,
        folder: Path,
    ) -> None:
        if data.source is None:
            raise UsageError(f"{data.given} has no pictures to learn from")
        self._keys = data.examples.keys
        self._recipe = recipe
        self._options = options
        self._seed = seed
        self._decoder = decoder_for(cast(Classifier, _Wants(recipe.fit)), settings)
        self.squares = Squares(
            data.source,
            self._keys,
            self._decoder,
            recipe.prepare,
            recipe.crop,
            options.cache,
            folder,
        )
        self.loader = Loader(options.workers or cores(), recipe.crop)

    def training(self, wanted: Sequence[Ints], epoch: int) -> Iterator[tuple[Ints, UInt8]]:
        """Batches of changed pictures: rows, and uint8 [n, side, side, 3].

        Args:
            wanted: rows of each batch.
            epoch: counted over all stages; what is done to a picture follows from it.
        """

        def square(row: int) -> UInt8:
            plain = self.squares[row]
            return augmented(
                plain, self._keys[row], epoch, self._seed, self._options, self._recipe.prepare
            )

        return self.loader.batches(wanted, square)

    def plain(self, rows: Ints, batch: int) -> Iterator[tuple[Ints, UInt8]]:
        """The rows and pixels of pictures as a scan shows them, in order."""
        wanted = [np.asarray(rows[at : at + batch]) for at in range(0, len(rows), batch)]
        return self.loader.batches(wanted, self.squares.__getitem__)

    def __enter__(self) -> Pictures:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.loader.close()
        self._decoder.close()
