"""Yahoo's open_nsfw: a Caffe ResNet-50 with half the filters that tells pornography from the rest.

Its caffemodel is turned into ONNX by :mod:`vedette.formats.caffe`, once, without Caffe.

The picture is prepared as Yahoo's ``classify_nsfw.py`` does it: stretched to 256 x 256, saved as a
JPEG and read again, the middle 224 x 224 cut out, channels reversed, the mean of the training
pictures taken off. The JPEG looks odd and stays: the training pictures were made by these
very steps, and Yahoo's script asks to keep them.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import PIL.Image

from vedette.backends.base import PixelNorm, Session, choose, open_session
from vedette.compile.cache import cached, file_sha256
from vedette.errors import ModelError
from vedette.formats.caffe import to_onnx
from vedette.formats.graph import unusable
from vedette.hub.locate import locate, revision_of
from vedette.models.base import (
    Checkpoint,
    ModelCard,
    ModelEntry,
    ModelOptions,
    Prepared,
    WeightsFile,
)
from vedette.resize import Fit, resize
from vedette.taxonomy import Category
from vedette.types import Image, Prediction, UInt8

_SIZE, _CROP = 256, 224
_LARGEST = 1 << 28
"""bytes; the file has about 24 million"""
_CONVERSION = "caffe-1"
"""Changes with what the same weights are turned into, so that no older file is used."""
_FILE = "nsfw_model/resnet_50_1by2_nsfw.caffemodel"
# Sessions compute (x / 255 - mean) / std: here levels of 0..255 less the mean, blue first.
_NORM = PixelNorm((104 / 255, 117 / 255, 123 / 255), (1 / 255, 1 / 255, 1 / 255))

CARD = ModelCard(
    id="open_nsfw",
    revision="master",
    summary="Yahoo's classifier of pornographic photographs; sees the Sexual category only",
    licence=(
        "BSD-2-Clause for the code, by its licence file; the weights stand in the same repository "
        "without a word of their own"
    ),
    terms="none stated beyond the licence; no guarantee of accuracy is given",
    trained_on=(
        "ImageNet, then pictures that Yahoo's editors labelled; not published, and by its authors "
        "neither drawings nor violence are among them"
    ),
    source="yahoo/open_nsfw on GitHub (archived in 2019)",
    sha256=None,  # its publisher states none: the first pull records it
    labels={"sfw": (), "nsfw": (Category.SEXUAL,)},
    fit=Fit(_SIZE, "stretch"),
    extra="zoo",
    weights=Checkpoint(
        repo="yahoo/open_nsfw",
        revision="master",
        files=(WeightsFile(_FILE),),
        url="https://raw.githubusercontent.com/yahoo/open_nsfw/master",
    ),
    embedding=1024,
    reference=(
        "Yahoo's classify_nsfw.py for the preparation; for the network, which was never run here "
        "with the published weights, torch layer by layer"
    ),
)


class OpenNsfw:
    """See :class:`vedette.models.base.Classifier`."""

    fit: Fit | None = CARD.fit
    icc = True

    def __init__(self, card: ModelCard, session: Session) -> None:
        self.card = card
        self.session = session
        self.streams = session.streams
        self.runtime = f"{session.backend} {session.precision}"

    def prepare(self, image: Image) -> Prepared:
        """256 x 256, through a JPEG, its middle 224 x 224 with blue first."""
        scale = (image.width / _SIZE, image.height / _SIZE)
        pixels = _middle(_through_jpeg(resize(image.pixels, _SIZE, _SIZE)))[..., ::-1]
        return Prepared(np.ascontiguousarray(pixels), image.width, image.height, scale, image.frame)

    def infer(self, batch: Sequence[Prepared]) -> Sequence[Prediction]:
        """See :class:`vedette.models.base.Classifier`."""
        outputs = self.session.run({"images": np.stack([p.pixels for p in batch])})
        probs = np.clip(outputs["probabilities"], 0, 1)
        return [
            Prediction(tuple(self.card.labels), row, self.card.model, embedding)
            for row, embedding in zip(probs, outputs["embedding"], strict=True)
        ]


def _through_jpeg(pixels: UInt8) -> UInt8:
    """What a JPEG with Pillow's own quality (75) leaves of a picture."""
    stream = io.BytesIO()
    PIL.Image.fromarray(pixels).save(stream, "JPEG")
    with PIL.Image.open(stream) as picture:
        return np.asarray(picture)


def _middle(pixels: UInt8) -> UInt8:
    start = (_SIZE - _CROP) // 2
    return pixels[start : start + _CROP, start : start + _CROP]


def open_file(path: Path, options: ModelOptions, card: ModelCard = CARD) -> OpenNsfw:
    """The model whose caffemodel is at ``path``.

    Raises:
        ModelError: weights missing or unusable, or a backend that cannot run them.
        MissingExtraError: onnx or a backend is not installed.
    """
    choice = choose(options.backend, options.precision, card.precisions)
    if not path.is_file():
        raise ModelError(f"{path.name:.80} is not there", code="weights_missing")
    if path.stat().st_size > _LARGEST:
        raise unusable(f"{path.name:.80} is larger than {_LARGEST} bytes")
    network = cached([_CONVERSION, file_sha256(path)], ".onnx", partial(_convert, path))
    return OpenNsfw(card, open_session(network, _NORM, choice, (_CROP, _CROP)))


def _convert(path: Path, target: Path) -> None:
    network = to_onnx(path.read_bytes(), _CROP, _CROP)
    shape = (network.labels, network.dim)
    if shape != (len(CARD.labels), CARD.embedding):
        raise unusable(f"2 labels from 1024 features are wanted, this network has {shape}")
    target.write_bytes(network.onnx)


def _build(options: ModelOptions) -> OpenNsfw:
    path = locate(CARD) / _FILE
    return open_file(path, options, replace(CARD, revision=revision_of(CARD)))


MODELS = (ModelEntry(CARD.id, CARD, _build),)
