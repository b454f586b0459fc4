"""GantMan/nsfw_model: MobileNetV2 with five classes, as nsfwjs publishes and runs it.

The weights are TensorFlow.js files (quantised to 8 bits) or a Keras ``.h5``; both are turned into
ONNX by :mod:`vedette.formats`, once, without TensorFlow.

The picture is prepared as nsfwjs does it: stretched to 224 x 224 by bilinear samples *without*
antialias, the corners of both grids in the same place. Only so do its published numbers come out:
nsfwjs' own check picture is Drawing 0.68 this way, where 0.688 is expected, and 0.35 with our
antialiased resize. docs/gantman.md has what else the two ways change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vedette.backends.base import PixelNorm, Session, choose, open_session
from vedette.compile.cache import cached, file_sha256
from vedette.errors import ModelError
from vedette.formats.graph import Network, unusable
from vedette.formats.hdf5 import read_h5
from vedette.formats.keras import to_onnx
from vedette.formats.tfjs import read_tfjs, tfjs_files
from vedette.hub.locate import locate, revision_of
from vedette.models.base import (
    Checkpoint,
    ModelCard,
    ModelEntry,
    ModelOptions,
    ModelPattern,
    Prepared,
    WeightsFile,
)
from vedette.resize import Fit
from vedette.taxonomy import Category
from vedette.types import Image, Prediction, UInt8

_SIZE = 224
_CONVERSION = "keras-1"
"""Changes with what the same weights are turned into, so that no older file is used."""
_PATTERN = "gantman:"

_SEXUAL = (Category.SEXUAL,)
_SHARD = "8e7dddbb16acacc1bf1601b1b8a761e730ff934b7f2d7771312b2f000e5f5f13"

CARD = ModelCard(
    id="gantman",
    revision="97584648db83",
    summary="five classes of nsfwjs; sees the Sexual category only, drawn pictures too",
    licence="MIT",
    terms=(
        "none stated beyond the licence; the licence is that of the code and weights, the pictures "
        "that it was trained on belong to others"
    ),
    trained_on=(
        "about 60 GB of pictures collected from public web pages with nsfw_data_scraper (Reddit "
        "and others), not published; two of the classes are pornography"
    ),
    source="infinitered/nsfwjs on GitHub, quant_nsfw_mobilenet; trained in GantMan/nsfw_model",
    sha256=_SHARD,
    # Output order of the network. "Sexy" is "sexually explicit images, not pornography" to those
    # who made the classes. That is within Sexual as the taxonomy defines it (pictures made to
    # arouse), and a tool that fails closed does not hide what it was told. Who shows beaches reads
    # the label in the Record's reasons, or sets a higher threshold.
    labels={
        "Drawing": (),
        "Hentai": _SEXUAL,
        "Neutral": (),
        "Porn": _SEXUAL,
        "Sexy": _SEXUAL,
    },
    fit=Fit(_SIZE, "stretch"),
    # bf16 is not offered: it moves scores of harmless photographs by up to 0.19 (docs/gantman.md).
    extra="zoo",
    weights=Checkpoint(
        repo="infinitered/nsfwjs",
        revision="97584648db83c3139dd26dd119b95a888a9e2053",
        files=(
            WeightsFile(
                "model.json", "11846416217e68bf1eb7b0e651bcfd305973566453c63275bbd16766ab089979"
            ),
            WeightsFile("group1-shard1of1", _SHARD),
        ),
        url=(
            "https://raw.githubusercontent.com/infinitered/nsfwjs/"
            "97584648db83c3139dd26dd119b95a888a9e2053/examples/nsfw_demo/public/quant_nsfw_mobilenet"
        ),
    ),
    embedding=128,
    parameters=2_619_461,
    reference="TensorFlow.js 4.22, and the snapshot of nsfwjs' own regression check",
)


class Gantman:
    """See :class:`vedette.models.base.Classifier`."""

    fit: Fit | None = None  # a resize without antialias reads single pixels of the full picture
    icc = True

    def __init__(self, card: ModelCard, session: Session) -> None:
        self.card = card
        self.session = session
        self.streams = session.streams
        self.runtime = f"{session.backend} {session.precision}"

    def prepare(self, image: Image) -> Prepared:
        """224 x 224 as nsfwjs samples it, rounded to whole levels."""
        scale = (image.width / _SIZE, image.height / _SIZE)
        pixels = sample_aligned(image.pixels, _SIZE)
        return Prepared(pixels, image.width, image.height, scale, image.frame)

    def infer(self, batch: Sequence[Prepared]) -> Sequence[Prediction]:
        """See :class:`vedette.models.base.Classifier`."""
        outputs = self.session.run({"images": np.stack([p.pixels for p in batch])})
        probs = np.clip(outputs["probabilities"], 0, 1)
        return [
            Prediction(tuple(self.card.labels), row, self.card.model, embedding)
            for row, embedding in zip(probs, outputs["embedding"], strict=True)
        ]


def sample_aligned(pixels: UInt8, size: int) -> UInt8:
    """``pixels`` [h, w, 3] as [size, size, 3]: ``tf.image.resizeBilinear(..., alignCorners)``.

    The first and last samples are the picture's corner pixels; each sample weighs its four
    neighbours. TensorFlow.js keeps the fractions of a level, here they are rounded: at most half a
    level of 255 apart (docs/gantman.md says what that does to probabilities).
    """
    height, width = pixels.shape[:2]
    top, bottom, down = _positions(height, size)
    left, right, across = _positions(width, size)
    # Only the rows that are sampled, and of these only the columns.
    above, below = pixels[top], pixels[bottom]
    upper = _between(above[:, left], above[:, right], across[None, :, None])
    lower = _between(below[:, left], below[:, right], across[None, :, None])
    levels = np.rint(_between(upper, lower, down[:, None, None]))
    return levels.astype(np.uint8, order="C")


def _positions(
    side: int, size: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    place = np.arange(size) * ((side - 1) / (size - 1))
    low = np.minimum(np.floor(place).astype(np.intp), side - 1)
    return low, np.minimum(low + 1, side - 1), place - low


def _between(
    one: NDArray[np.float64] | UInt8, other: NDArray[np.float64] | UInt8, at: NDArray[np.float64]
) -> NDArray[np.float64]:
    near, far = one.astype(np.float64), other.astype(np.float64)
    return near + (far - near) * at


def open_folder(folder: Path, options: ModelOptions, card: ModelCard = CARD) -> Gantman:
    """The model whose weights are in ``folder``: ``model.json`` with its shards, or one ``.h5``.

    Raises:
        ModelError: weights missing or unusable, or a backend that cannot run them.
        MissingExtraError: onnx, h5py or a backend is not installed.
    """
    choice = choose(options.backend, options.precision, card.precisions)
    path = _network(_files(folder))
    return Gantman(card, open_session(path, PixelNorm(), choice, (_SIZE, _SIZE)))


def _files(folder: Path) -> list[Path]:
    """The files that the network is made of."""
    if (folder / "model.json").is_file():
        return tfjs_files(folder)
    found = sorted(folder.glob("*.h5"))
    if len(found) != 1:
        raise ModelError(
            f"{folder.name:.80} has {len(found)} .h5 files and no model.json",
            code="weights_missing",
            hint="give a folder with nsfwjs' model.json and its shards, or with one .h5",
        )
    return found


def _network(files: Sequence[Path]) -> Path:
    hashes = [file_sha256(path) for path in files]
    return cached([_CONVERSION, *hashes], ".onnx", partial(_convert, files[0]))


def _convert(first: Path, target: Path) -> None:
    read = read_h5(first) if first.suffix == ".h5" else read_tfjs(first.parent)
    network: Network = to_onnx(*read)
    shape = (network.height, network.width, network.labels)
    if shape != (_SIZE, _SIZE, len(CARD.labels)):
        raise unusable(f"a network of {_SIZE} x {_SIZE} and 5 labels is wanted, this has {shape}")
    target.write_bytes(network.onnx)


def _build(options: ModelOptions) -> Gantman:
    folder = locate(CARD)
    return open_folder(folder, options, replace(CARD, revision=revision_of(CARD)))


def _of_folder(name: str) -> ModelEntry | None:
    """``gantman:FOLDER``, for weights of one's own: the Keras release, or one trained further."""
    if not name.startswith(_PATTERN):
        return None
    folder = Path(name.removeprefix(_PATTERN))
    digest = hashlib.sha256("".join(map(file_sha256, _files(folder))).encode()).hexdigest()
    card = replace(
        CARD,
        revision=f"local-{digest[:12]}",
        summary="the five classes of gantman with weights of your own choice",
        licence="not known to Vedette: see where you have it from",
        terms="not known to Vedette",
        trained_on="not known to Vedette",
        source="a folder of yours",
        sha256=None,
        commercial=False,  # nobody has said that it may
        weights=None,
    )
    return ModelEntry(name, card, lambda options: open_folder(folder, options, card))


MODELS = (ModelEntry(CARD.id, CARD, _build),)
PATTERNS = (
    ModelPattern(
        "gantman:FOLDER",
        "the network of gantman, from TensorFlow.js files or one Keras .h5",
        _of_folder,
    ),
)
