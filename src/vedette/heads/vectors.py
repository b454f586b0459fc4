"""Heads of two vectors: LAION's violence detector, and Q16."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vedette.errors import ModelError
from vedette.formats.pickled import read_array, read_state_dict
from vedette.heads.base import softmax
from vedette.types import Float32

_Q16_SCALE = np.float32(100)
"""Of the cosines: CLIP's own logit scale."""


@dataclass(frozen=True, slots=True, eq=False)
class Violence:
    """LAION's violence vectors. See :class:`vedette.heads.base.Head`.

    Source: clip-retrieval's use of LAION-AI/CLIP-based-NSFW-Detector's files: plain dot products,
    violent where the second one is larger.
    """

    vectors: Float32
    """float32 [2, dim], as published"""
    labels: tuple[str, ...] = ("nonviolent", "violent")
    unit: bool = True

    @property
    def dim(self) -> int:
        """Dimensions of the embeddings that it takes."""
        return int(self.vectors.shape[1])

    def scores(self, embeddings: Float32) -> Float32:
        """The two dot products, float32 [n, 2]."""
        return np.asarray(embeddings @ self.vectors.T, dtype=np.float32)

    def probabilities(self, scores: Float32) -> Float32:
        """Their softmax: above 0.5 where the published decision is made, not calibrated."""
        return softmax(scores)


@dataclass(frozen=True, slots=True, eq=False)
class Q16:
    """Two soft prompts, tuned on SMID. See :class:`vedette.heads.base.Head`.

    Source: Schramowski et al., "Can Machines Help Us Answering Question 16 in Datasheets?" (FAccT
    2022), and its repository ml-research/Q16.
    """

    prompts: Float32
    """float32 [2, dim], L2-normalised"""
    labels: tuple[str, ...] = ("appropriate", "inappropriate")
    unit: bool = True

    @property
    def dim(self) -> int:
        """Dimensions of the embeddings that it takes."""
        return int(self.prompts.shape[1])

    def scores(self, embeddings: Float32) -> Float32:
        """Softmax of 100 times the two cosines, float32 [n, 2]."""
        norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
        cosines = (embeddings / np.maximum(norms, np.float32(1e-12))) @ self.prompts.T
        return softmax(_Q16_SCALE * cosines)

    def probabilities(self, scores: Float32) -> Float32:
        """The scores themselves."""
        return scores


def read_violence(path: Path) -> Violence:
    """The head of a ``.npy`` file with two rows.

    Raises:
        ModelError: ``weights_missing`` or ``weights_unusable``.
    """
    return Violence(_two_rows(read_vectors(path), path))


def read_q16(path: Path) -> Q16:
    """The head of ``prompts.p``, of a ``.pt`` file with one tensor, or of a ``.npy`` file.

    Raises:
        ModelError: ``weights_missing`` or ``weights_unusable``.
    """
    rows = _two_rows(read_vectors(path), path)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not (norms > 0).all():
        raise ModelError(f"{path.name}: a prompt that is zero", code="weights_unusable")
    return Q16(np.asarray(rows / norms, dtype=np.float32))


def read_vectors(path: Path) -> Float32:
    """One float32 array, from a pickle, a torch file or numpy's own format.

    Raises:
        ModelError: ``weights_missing`` or ``weights_unusable``.
    """
    if not path.is_file():
        raise ModelError(f"{path} is not there", code="weights_missing")
    if path.suffix == ".npy":
        try:
            return _npy(path.read_bytes())
        except (OSError, ValueError, EOFError) as error:
            raise ModelError(f"{path.name}: no array: {error}", code="weights_unusable") from error
    if path.suffix in (".pt", ".pth"):
        tensors = read_state_dict(path)
        if len(tensors) != 1:
            raise ModelError(f"{path.name}: more than one tensor", code="weights_unusable")
        return next(iter(tensors.values()))
    return read_array(path)


def _npy(data: bytes) -> Float32:
    """numpy's own format, its shape held to its bytes before there is an array."""
    file, header = io.BytesIO(data), np.lib.format
    version = header.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"a version {version}")
    read = header.read_array_header_1_0 if version == (1, 0) else header.read_array_header_2_0
    shape, fortran, dtype = read(file)
    raw = data[file.tell() :]
    if dtype.kind != "f" or math.prod(shape) * dtype.itemsize != len(raw):
        raise ValueError("it is cut, or not of floating point numbers")
    return np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")


def _two_rows(rows: Float32, path: Path) -> Float32:
    with np.errstate(over="ignore"):
        kept = np.ascontiguousarray(rows, dtype=np.float32)
    if rows.ndim != 2 or len(rows) != 2 or not rows.shape[1] or not np.isfinite(kept).all():
        raise ModelError(f"{path.name}: not two rows of numbers", code="weights_unusable")
    return kept
