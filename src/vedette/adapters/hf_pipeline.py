"""A callable like transformers' ``pipeline("image-classification")``.

Source of the convention: ``ImageClassificationPipeline`` of huggingface/transformers: one image
gives a list of ``{"label", "score"}``, the highest first; several give a list of such lists.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypedDict

import numpy as np
import PIL.Image

from vedette.adapters.scanning import Scans
from vedette.data.memory import Scannable
from vedette.errors import UsageError, VedetteError
from vedette.pipeline import Scanner
from vedette.types import Item, Record

TASK = "image-classification"
_TOP_K = 5


class Label(TypedDict):
    """One category and its probability."""

    label: str
    score: float


class ImageClassifier:
    """Images in, the probabilities of their categories out.

    Labels are the categories that the model sees; they are judged one by one, so scores do not
    sum to 1. The policy has no say here: who wants a decision takes the Record's.

    Args:
        scanner: a Scanner, or a Client of a service. It is not closed with this.
        top_k: labels for each image, at most; None: all.
    """

    task = TASK

    def __init__(self, scanner: Scans, *, top_k: int | None = _TOP_K) -> None:
        self._scanner = scanner
        self._top_k = _checked(top_k)
        self._own: Scanner | None = None

    def __call__(
        self, inputs: Scannable | Iterable[Scannable], top_k: int | None = None
    ) -> list[Label] | list[list[Label]]:
        """The labels of one image, or of each of several.

        Args:
            inputs: a path, the bytes of a file, a Pillow image or a uint8 array, or several.
                No URL: a picture on the web is one's own to fetch.
            top_k: labels for each image, at most; None: as the classifier was made.

        Raises:
            UsageError: it is none of these.
            VedetteError: an image cannot be scanned; its code is that of the Record's failure.
                There are no scores for it, and a list without them could pass for harmless.
        """
        most = self._top_k if top_k is None else _checked(top_k)
        if isinstance(inputs, str | bytes | Item | PIL.Image.Image | np.ndarray):
            return _labels(self._scanner.scan(_local(inputs)), most)
        if not isinstance(inputs, Iterable):  # a path object, or what scan() refuses
            return _labels(self._scanner.scan(inputs), most)
        records = self._scanner.scan_many(_local(one) for one in inputs)
        return [_labels(record, most) for record in records]

    def close(self) -> None:
        """End the Scanner that :func:`pipeline` has made; one that was given is left alone."""
        if self._own is not None:
            self._own.close()


def pipeline(
    task: str = TASK, model: str = "nudenet", *, top_k: int | None = _TOP_K
) -> ImageClassifier:
    """An :class:`ImageClassifier` over a model of this machine, as transformers makes one.

    Args:
        task: ``image-classification``.
        model: a name of ``vedette models list``.
        top_k: labels for each image, at most; None: all.

    Raises:
        UsageError: another task.
        VedetteError: the model cannot be loaded.
    """
    if task != TASK:
        raise UsageError(f"no pipeline for {task!r}", hint=f"there is {TASK}")
    _checked(top_k)
    scanner = Scanner(model)
    made = ImageClassifier(scanner, top_k=top_k)
    made._own = scanner
    return made


def _local(given: Any) -> Any:
    if isinstance(given, str) and given.lower().startswith(("http://", "https://")):
        raise UsageError(
            "URLs are not taken here", hint="fetch the picture, or use Client.scan with its URL"
        )
    return given


def _labels(record: Record, most: int | None) -> list[Label]:
    if record.failure is not None or record.scores is None:
        failure = record.failure
        message = failure.message if failure else "it has no scores"
        code = failure.code if failure else "model_output_invalid"
        raise VedetteError(f"{record.key}: {message}", code=code)
    found = sorted(record.scores.as_dict().items(), key=lambda pair: -pair[1])
    return [Label(label=category.value, score=p) for category, p in found[:most]]


def _checked(top_k: int | None) -> int | None:
    if top_k is not None and top_k < 1:
        raise UsageError(f"top_k must be positive, not {top_k}")
    return top_k
