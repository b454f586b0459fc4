"""Our own classifiers under test, through the ordinary pipeline: what a user would get."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from vedette.bench.predictions import SHIPPED
from vedette.bench.predictor import Answer, PredictorCard
from vedette.compile.cache import file_sha256
from vedette.models.base import Classifier
from vedette.pipeline import Scanner
from vedette.policy import Policy, Rule
from vedette.settings import Settings
from vedette.taxonomy import Category
from vedette.types import Item, Record

_POLICY = Policy("bench", "1", {category: Rule(None, SHIPPED) for category in Category})
"""Asks about everything: what is evaluated are the scores."""


class ClassifierPredictor:
    """See :class:`vedette.bench.predictor.Predictor`.

    Args:
        name: a name of ``vedette models list``, a folder, a combination, or a Classifier.
        settings: limits and options of the scan; embeddings are kept whatever they say.

    Raises:
        VedetteError: the model cannot be loaded.
    """

    def __init__(self, name: str | Classifier, settings: Settings) -> None:
        scan = dataclasses.replace(settings.scan, embeddings=True)
        self._scanner = Scanner(name, _POLICY, dataclasses.replace(settings, scan=scan))
        card = self.classifier.card
        self.card = PredictorCard(
            name=name if isinstance(name, str) else card.id,
            model=card.model,
            covered=card.covered,
            sha256=card.sha256 or _of_folder(card.id) or _of_weights(self.classifier),
            runtime=self.classifier.runtime,
            licence=card.licence,
            terms=card.terms,
            trained_on=card.trained_on,
            facts={"parameters": card.parameters} if card.parameters else {},
        )

    @property
    def classifier(self) -> Classifier:
        """The model that runs."""
        return self._scanner.model

    def predict(self, items: Iterable[Item]) -> Iterator[Answer]:
        """See :class:`vedette.bench.predictor.Predictor`."""
        with closing(self._scanner.scan_many(items)) as records:
            for record in records:
                yield _answer(record)

    def close(self) -> None:
        """End the pipeline's threads."""
        self._scanner.close()


def _answer(record: Record) -> Answer:
    whole = record.failure is None and record.scores is not None
    return Answer(
        key=record.key,
        sha256=record.sha256,
        p=record.scores.as_dict() if whole and record.scores is not None else None,
        failure=record.failure,
        embedding=record.embedding if whole else None,
        ms=sum(record.times_ms.values()),
    )


def _of_folder(name: str) -> str | None:
    """Over all files of a model's folder, where the name is of one."""
    folder = Path(name.removeprefix("vit:").removeprefix("gantman:"))
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file())
    except (OSError, ValueError):
        return None
    told = "".join(f"{path.name}\0{file_sha256(path)}\n" for path in files)
    return hashlib.sha256(told.encode()).hexdigest()


def _of_weights(classifier: Classifier) -> str | None:
    """Over the hashes that the card states of its files and of what it needs."""
    told = [
        file.sha256
        for card in (classifier.card, *classifier.card.needs)
        for file in (card.weights.files if card.weights else ())
        if file.sha256
    ]
    return hashlib.sha256("".join(told).encode()).hexdigest() if told else None
