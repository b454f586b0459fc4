"""Heads made of texts: concepts with thresholds of one's own, and zero-shot categories."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vedette.errors import UsageError
from vedette.extras import require
from vedette.heads.base import sigmoid
from vedette.taxonomy import Category, parse_category
from vedette.types import Float32

_SCALE = 100.0
"""CLIP's own logit scale: a hundredth of cosine is one unit of logit."""
_LIMIT = 2**20
"""Bytes of a concept file."""

NEUTRAL = (
    "an ordinary photograph of everyday life",
    "a harmless picture of people, animals or things",
    "a landscape, a building or an object",
    "a drawing or a diagram that anybody may see",
)
"""What a harmless picture is closest to: the other side of each category's zero-shot question."""


@dataclass(frozen=True, slots=True, eq=False)
class Concepts:
    """Cosines to texts, each with the threshold from which its concept counts as seen.

    The scheme of LAION's safety settings. See :class:`vedette.heads.base.Head`.
    """

    labels: tuple[str, ...]
    texts: Float32
    """float32 [labels, dim], L2-normalised"""
    thresholds: Float32
    """float32 [labels], cosines"""
    unit = True

    @property
    def dim(self) -> int:
        """Dimensions of the embeddings that it takes."""
        return int(self.texts.shape[1])

    def scores(self, embeddings: Float32) -> Float32:
        """Cosine minus threshold, float32 [n, labels]: above 0 where a concept is seen."""
        return np.asarray(_unit(embeddings) @ self.texts.T - self.thresholds, dtype=np.float32)

    def probabilities(self, scores: Float32) -> Float32:
        """Logistic of the margin at CLIP's scale; not a calibrated probability."""
        return sigmoid(_SCALE * scores)


@dataclass(frozen=True, slots=True, eq=False)
class ZeroShot:
    """For each category: is a picture closer to its definition than to a harmless picture's?

    See :class:`vedette.heads.base.Head`.
    """

    labels: tuple[str, ...]
    texts: Float32
    """float32 [labels, dim], L2-normalised: the categories' definitions"""
    neutral: Float32
    """float32 [m, dim], L2-normalised: descriptions of harmless pictures"""
    unit = True

    @property
    def dim(self) -> int:
        """Dimensions of the embeddings that it takes."""
        return int(self.texts.shape[1])

    def scores(self, embeddings: Float32) -> Float32:
        """Cosine to the definition minus the highest to a harmless text, float32 [n, labels]."""
        rows = _unit(embeddings)
        harmless = (rows @ self.neutral.T).max(axis=1, keepdims=True)
        return np.asarray(rows @ self.texts.T - harmless, dtype=np.float32)

    def probabilities(self, scores: Float32) -> Float32:
        """Softmax of the two cosines at CLIP's scale; not a calibrated probability."""
        return sigmoid(_SCALE * scores)


def _unit(embeddings: Float32) -> Float32:
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return np.asarray(embeddings / np.maximum(norms, 1e-12), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class ConceptList:
    """A file of concepts: what is looked for, from which cosine on, and what it counts for."""

    thresholds: Mapping[str, float]
    counts: Mapping[str, tuple[Category, ...]]
    revision: str
    """A hash of what it says, so that Records of different lists can be told apart."""


def read_concepts(path: Path) -> ConceptList:
    """The concepts of a ``.toml``, ``.json`` or ``.yml`` file.

    Groups of any name, each a table with ``concepts`` (text to threshold) and ``category``: a
    category's name, or a list of names. A group without one, as all groups of LAION's own file,
    counts for the category that its name is (``nsfw`` for Sexual), else it is evidence only.

    Raises:
        UsageError: it cannot be read, or is not such a file.
        MissingExtraError: a YAML file, and PyYAML is not installed.
    """
    try:
        if path.stat().st_size > _LIMIT:
            raise UsageError(f"{path} is too large for a list of concepts")
        groups = _parsed(path)
        thresholds: dict[str, float] = {}
        counts: dict[str, tuple[Category, ...]] = {}
        for name, group in groups.items():
            counted = _category(name, group.get("category"))
            for text, threshold in group["concepts"].items():
                value = float(threshold)
                if not -1 < value < 1:
                    raise ValueError(f"{text!r}: a cosine of {value}")
                if str(text) in thresholds:
                    raise ValueError(f"{text!r} is there twice")
                thresholds[str(text)], counts[str(text)] = value, counted
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"{path} is not a list of concepts: {error}",
            hint='see docs/heads.md: [group] category = "…", [group.concepts] "text" = 0.2',
        ) from error
    if not any(counts.values()):
        raise UsageError(f"{path}: none of its concepts counts for a category")
    said = json.dumps([[text, thresholds[text], counts[text]] for text in thresholds])
    return ConceptList(thresholds, counts, hashlib.sha256(said.encode()).hexdigest()[:12])


def _parsed(path: Path) -> Mapping[str, Any]:
    text = path.read_text(encoding="utf-8")
    if path.suffix.lower() in (".yml", ".yaml"):
        yaml = require("yaml", extra="zoo")
        try:
            parsed = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(str(error)) from error
    else:
        parsed = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    if not isinstance(parsed, dict):
        raise ValueError("no groups in it")
    return parsed


def _category(group: str, given: object) -> tuple[Category, ...]:
    if given is None:
        if group.casefold() in ("nsfw", "sexual"):
            return (Category.SEXUAL,)
        try:
            return (parse_category(group),)
        except KeyError:
            return ()
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list):
        raise TypeError(f"{group}: category must be a name or a list of names")
    return tuple(parse_category(str(name)) for name in names)
