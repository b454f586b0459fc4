"""NudeNet 3.4: a YOLOv8-nano detector of 18 body parts; gives regions and the Sexual category.

Two models over one file of weights:

``nudenet``
    The network as it works best: RGB, antialiased resize, padded only to the next multiple of the
    network's stride (a fifth to a third less to compute than a square, for most photographs).
``nudenet-compatible``
    What the nudenet package's own Python does, for parity: BGR, padded to a square before a
    resize without antialias, colours as stored. Its boxes and scores equal the package's.

docs/nudenet.md has the measured differences.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vedette.backends.base import PixelNorm, Session, choose, open_session
from vedette.errors import ModelError
from vedette.models.base import ModelCard, ModelEntry, ModelOptions, Prepared
from vedette.resize import Fit, resize
from vedette.taxonomy import Category
from vedette.types import SCORE_DECIMALS, Float32, Image, Prediction, Region, UInt8

_SIZE = 320
_SHORT_SIDES = (160, 192, 224, 256, 320)
"""px. The short side is padded to one of these: multiples of the stride (32), and few, because
each shape is compiled once."""
_DETECT = 0.25
"""Least score of a region, as the nudenet package has it."""
_SAME_THING_IOU = 0.45

_SEXUAL = (Category.SEXUAL,)
# Output order of the network. What is covered, and what is shown on any beach, says nothing about
# safety by itself: a policy can still take these labels in through its [regions] table.
_LABELS: dict[str, tuple[Category, ...]] = {
    "FEMALE_GENITALIA_COVERED": (),
    "FACE_FEMALE": (),
    "BUTTOCKS_EXPOSED": _SEXUAL,
    "FEMALE_BREAST_EXPOSED": _SEXUAL,
    "FEMALE_GENITALIA_EXPOSED": _SEXUAL,
    "MALE_BREAST_EXPOSED": (),
    "ANUS_EXPOSED": _SEXUAL,
    "FEET_EXPOSED": (),
    "BELLY_COVERED": (),
    "FEET_COVERED": (),
    "ARMPITS_COVERED": (),
    "ARMPITS_EXPOSED": (),
    "FACE_MALE": (),
    "BELLY_EXPOSED": (),
    "MALE_GENITALIA_EXPOSED": _SEXUAL,
    "ANUS_COVERED": (),
    "FEMALE_BREAST_COVERED": (),
    "BUTTOCKS_COVERED": (),
}
_LABEL_NAMES = tuple(_LABELS)


def _card(model_id: str, summary: str, precisions: tuple[str, ...]) -> ModelCard:
    return ModelCard(
        id=model_id,
        revision="3.4.2",
        summary=summary,
        licence=(
            "contradictory: the wheel's metadata says MIT, the licence files inside it and the "
            "network's own metadata (exported with Ultralytics 8.2.46) say AGPL-3.0"
        ),
        terms="treat as AGPL-3.0 until its author settles the contradiction",
        trained_on="not published by its author",
        source="320n.onnx inside the nudenet wheel (PyPI, version 3.4.2)",
        sha256="c15d8273adad2d0a92f014cc69ab2d6c311a06777a55545f2c4eb46f51911f0f",
        labels=_LABELS,
        fit=Fit(_SIZE, "inside"),
        precisions=precisions,
        extra="nudenet",
        parameters=3_014_166,
        reference="the nudenet 3.4.2 package",
    )


CARD = _card(
    "nudenet-320n",
    "body-part detector, 18 labels; sees the Sexual category only",
    # int8 is not offered: it flips most detections of this network (docs/nudenet.md).
    ("fp32", "bf16"),
)
COMPATIBLE_CARD = _card(
    "nudenet-320n-compatible",
    "the same weights fed as the nudenet package feeds them, for parity with it",
    ("fp32", "bf16"),
)


class NudeNet:
    """See :class:`vedette.models.base.Classifier`."""

    card = CARD
    icc = True

    def __init__(self, session: Session) -> None:
        self.session = session
        self.streams = session.streams
        self.fit: Fit | None = CARD.fit
        self.runtime = f"{session.backend} {session.precision}"

    def prepare(self, image: Image) -> Prepared:
        """Long side to 320, black below and to the right up to the next compiled shape."""
        width, height = CARD.fit.target(image.width, image.height)
        pixels = np.zeros((_padded(height), _padded(width), 3), dtype=np.uint8)
        pixels[:height, :width] = resize(image.pixels, width, height)
        scale = (image.width / width, image.height / height)
        return Prepared(pixels, image.width, image.height, scale, image.frame)

    def infer(self, batch: Sequence[Prepared]) -> Sequence[Prediction]:
        """See :class:`vedette.models.base.Classifier`."""
        output = self.session.run({"images": np.stack([p.pixels for p in batch])})["output0"]
        peaks = np.clip(output[:, 4:].max(axis=2), 0, 1)
        return [
            Prediction(_LABEL_NAMES, probs, self.card.model, regions=_regions(rows, prepared))
            for probs, rows, prepared in zip(peaks, output, batch, strict=True)
        ]


class CompatibleNudeNet(NudeNet):
    """NudeNet with the nudenet package's own preparation."""

    card = COMPATIBLE_CARD
    icc = False  # OpenCV shows it the pixels as stored

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.fit = None  # its resize without antialias reads single pixels of the full picture

    def prepare(self, image: Image) -> Prepared:
        """Padded to a square, then 320 x 320 by bilinear samples, channels reversed."""
        side = max(image.width, image.height)
        pixels = _sample_square(image.pixels, side)[..., ::-1]
        scale = side / _SIZE
        return Prepared(
            np.ascontiguousarray(pixels), image.width, image.height, (scale, scale), image.frame
        )


def _padded(side: int) -> int:
    return next(s for s in _SHORT_SIDES if s >= side)


def _sample_square(pixels: UInt8, side: int) -> UInt8:
    """``pixels`` on a black square of ``side`` px, sampled bilinearly to 320 x 320.

    The arithmetic of OpenCV's INTER_LINEAR on uint8, to the bit: weights of 11 bits, the column
    sums shifted before they are weighted. The square itself is never made.
    """
    height, width = pixels.shape[:2]
    top, bottom, top_weight, bottom_weight = _sample_positions(side)
    left, right, left_weight, right_weight = _sample_positions(side, firm_border=True)

    def columns(rows: NDArray[np.intp]) -> NDArray[np.int32]:
        taken = pixels[np.minimum(rows, height - 1)].astype(np.int32)
        taken[rows >= height] = 0
        lefts: NDArray[np.int32] = taken[:, np.minimum(left, width - 1)]
        rights = taken[:, np.minimum(right, width - 1)]
        lefts[:, left >= width] = 0
        rights[:, right >= width] = 0
        lefts *= left_weight[:, None]
        lefts += rights * right_weight[:, None]
        return lefts

    above = (top_weight[:, None, None] * (columns(top) >> 4)) >> 16
    below = (bottom_weight[:, None, None] * (columns(bottom) >> 4)) >> 16
    return ((above + below + 2) >> 2).astype(np.uint8)


def _sample_positions(
    side: int, *, firm_border: bool = False
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.int32], NDArray[np.int32]]:
    """The two neighbours of each of 320 sample centres along ``side`` px, and their weights.

    ``firm_border`` gives a sample beyond the border one neighbour of full weight. OpenCV does so
    along x only; along y it weighs the same pixel twice, which rounds differently.
    """
    centre = ((np.arange(_SIZE) + 0.5) * (side / _SIZE) - 0.5).astype(np.float32)
    low = np.floor(centre).astype(np.intp)
    weight = (centre - low).astype(np.float32)
    if firm_border:
        weight = np.where((low < 0) | (low >= side - 1), np.float32(0), weight)
    unit = np.float32(2048)
    return (
        np.clip(low, 0, side - 1),
        np.clip(low + 1, 0, side - 1),
        np.rint((1 - weight) * unit).astype(np.int32),
        np.rint(weight * unit).astype(np.int32),
    )


def _regions(rows: Float32, prepared: Prepared) -> tuple[Region, ...]:
    """Detections among the network's rows [4 + 18, anchors], each thing once."""
    scores = rows[4:].max(axis=0)
    chosen = np.flatnonzero(scores > _DETECT)
    if not len(chosen):
        return ()
    chosen = chosen[np.argsort(-scores[chosen], kind="stable")]
    labels = rows[4:, chosen].argmax(axis=0)
    boxes = _boxes(rows[:4, chosen].T.astype(np.float64), prepared)
    kept = _suppress(boxes)
    return tuple(
        Region(
            _LABEL_NAMES[labels[k]],
            round(float(min(scores[chosen[k]], 1.0)), SCORE_DECIMALS),
            tuple(int(v) for v in boxes[k]),  # type: ignore[arg-type]  # four of them
            prepared.frame,
        )
        for k in kept
    )


def _boxes(centred: NDArray[np.float64], prepared: Prepared) -> NDArray[np.float64]:
    """(centre x, centre y, w, h) in network px to (x, y, w, h) in original px, clipped."""
    scale = np.array([*prepared.scale, *prepared.scale])
    corner = np.concatenate([centred[:, :2] - centred[:, 2:] / 2, centred[:, 2:]], axis=1) * scale
    limits = np.array([prepared.width, prepared.height], dtype=np.float64)
    # As the package does: the corner is moved inside, the size then cut to what is left.
    position = np.clip(corner[:, :2], 0, limits)
    size = np.minimum(corner[:, 2:], limits - position)
    return np.concatenate([position, size], axis=1)


def _suppress(boxes: NDArray[np.float64]) -> list[int]:
    """Greedy non-maximum suppression over boxes sorted by falling score, labels not regarded."""
    x, y, w, h = boxes.T
    area = w * h
    left = np.arange(len(boxes))
    kept: list[int] = []
    while len(left):
        best, left = int(left[0]), left[1:]
        kept.append(best)
        wide = np.minimum(x[best] + w[best], (x + w)[left]) - np.maximum(x[best], x[left])
        high = np.minimum(y[best] + h[best], (y + h)[left]) - np.maximum(y[best], y[left])
        common = np.maximum(wide, 0) * np.maximum(high, 0)
        total = area[best] + area[left]
        # Two boxes of no area (clipped away at a border) are one thing, as OpenCV has it.
        empty = total <= np.finfo(np.float64).eps
        overlap = np.where(empty, 1.0, common / np.where(empty, 1.0, total - common))
        left = left[overlap <= _SAME_THING_IOU]
    return kept


def weights_path() -> Path:
    """The network inside the installed nudenet wheel; the package's code is never imported.

    Raises:
        ModelError: not installed, or not the file that the card names.
    """
    spec = importlib.util.find_spec("nudenet")
    roots = spec.submodule_search_locations if spec is not None else None
    path = Path(next(iter(roots))) / "320n.onnx" if roots else None
    if path is None or not path.is_file():
        raise ModelError(
            "the nudenet wheel, which carries the weights, is not installed",
            code="weights_missing",
            hint="pip install 'vedette[nudenet]'",
        )
    if hashlib.sha256(path.read_bytes()).hexdigest() != CARD.sha256:
        raise ModelError(
            f"{path.name} is not the file of nudenet {CARD.revision}",
            code="weights_altered",
            hint=f"pip install --force-reinstall nudenet=={CARD.revision}",
        )
    return path


def _open(options: ModelOptions) -> Session:
    path = weights_path()
    choice = choose(options.backend, options.precision, CARD.precisions)
    return open_session(path, PixelNorm(), choice)


MODELS = (
    ModelEntry("nudenet", CARD, lambda options: NudeNet(_open(options))),
    ModelEntry(
        "nudenet-compatible", COMPATIBLE_CARD, lambda options: CompatibleNudeNet(_open(options))
    ),
)
