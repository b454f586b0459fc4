"""Model folders that ``vedette train`` writes, and ``--model FOLDER`` reads.

A folder holds ``vedette-model.json``: the model's card, what it was trained on and whose terms it
carries, the hash of every file, and what its kind needs to open it. Beside it lie the weights
(safetensors), the calibration, a policy with the thresholds that were chosen, and the account of
the training. Nothing in it is code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from vedette.calibrate import Calibration, read_calibration
from vedette.compile.cache import file_sha256
from vedette.errors import ModelError, UnknownNameError
from vedette.models.base import Classifier, ModelCard, ModelEntry, ModelOptions, ModelPattern
from vedette.models.exported import CALIBRATION as CALIBRATION
from vedette.models.exported import CARD_FILE, TRAINED, is_there
from vedette.networks.files import field, read_json, unusable
from vedette.resize import Fit
from vedette.taxonomy import parse_category

POLICY = "policy.toml"
TRAINING = "training.json"
REPORT = "report.html"
_UNHASHED = (CARD_FILE, REPORT)
"""The card holds the hashes; the report may be moved or deleted."""
_KINDS = {
    # kind: the module of vedette.models whose function `open_trained` opens it
    "head": "over",
    "vit": "finetuned",
    "clip": "finetuned",
    "vlm": "vlm_folder",
}
_TEXTS = (
    *("id", "revision", "summary", "licence", "terms", "trained_on", "source", "reference"),
    "measured",
)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What ``vedette-model.json`` says."""

    folder: Path
    kind: str
    card: ModelCard
    parts: Mapping[str, Any]
    """What the kind needs to open it: JSON values, as its trainer wrote them."""
    files: Mapping[str, str]
    """SHA-256 by file name."""

    @property
    def path(self) -> Path:
        """The card's file, for messages."""
        return self.folder / CARD_FILE

    def calibration(self) -> Calibration | None:
        """The calibration of its labels; None where it has none.

        Raises:
            ModelError: ``weights_unusable``: the card says that there is one.
            UsageError: ``bad_calibration``.
        """
        if CALIBRATION not in self.files:
            if self.card.calibrated is not None:
                # Its thresholds are for calibrated scores: without the curves they mean nothing.
                raise unusable(self.path, f"it names no {CALIBRATION}, and says it is calibrated")
            return None
        return read_calibration(self.folder / CALIBRATION, categories=False)


Open = Callable[[Manifest, ModelOptions], Classifier]


def write_manifest(folder: Path, kind: str, card: ModelCard, parts: Mapping[str, Any]) -> ModelCard:
    """Write the card of a folder whose other files are all there.

    Returns:
        The card with the revision that follows from the files: ``trained-`` and twelve digits.
    """
    files = {
        path.name: file_sha256(path)
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name not in _UNHASHED
    }
    # The account of the training is left out: it has times in it, and changes no score.
    told = "".join(f"{name}\0{sha}\n" for name, sha in files.items() if name != TRAINING)
    told += json.dumps([kind, parts], sort_keys=True)
    card = replace(card, revision=f"trained-{hashlib.sha256(told.encode()).hexdigest()[:12]}")
    content = {
        "format": TRAINED,
        "kind": kind,
        **{name: getattr(card, name) for name in _TEXTS},
        "commercial": card.commercial,
        "embedding": card.embedding,
        "parameters": card.parameters,
        "precisions": list(card.precisions),
        "fit": [card.fit.size, card.fit.mode, card.fit.resample],
        "calibrated": card.calibrated,
        "labels": {label: list(counts) for label, counts in card.labels.items()},
        "parts": parts,
        "files": files,
    }
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / CARD_FILE).write_text(text + "\n", encoding="utf-8")
    return card


def read_manifest(folder: Path) -> Manifest:
    """The card of a trained folder; its files are not read.

    Raises:
        ModelError: ``weights_missing``, or ``weights_unusable``: it is none.
    """
    path = folder / CARD_FILE
    content = read_json(path)
    if content.get("format") != TRAINED:
        raise unusable(path, f"format {content.get('format')!r} is not {TRAINED}")
    kind = field(content, "kind", str, None, path)
    if kind not in _KINDS:
        raise unusable(path, f"kind {kind!r} is none of {', '.join(_KINDS)}")
    try:
        labels = {
            str(label): tuple(parse_category(name) for name in names)
            for label, names in field(content, "labels", dict, None, path).items()
        }
        files = field(content, "files", dict, None, path)
        calibrated = content.get("calibrated")
        card = ModelCard(
            **{name: field(content, name, str, None, path) for name in _TEXTS},
            sha256=None,
            labels=labels,
            fit=Fit(*content["fit"]),
            precisions=tuple(str(name) for name in content["precisions"]),
            extra="zoo",
            commercial=field(content, "commercial", bool, False, path),
            embedding=_count(content, "embedding"),
            parameters=_count(content, "parameters"),
            calibrated=None if calibrated is None else str(calibrated),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise unusable(path, f"not a model's card: {type(error).__name__}: {error}") from error
    return Manifest(folder, kind, card, field(content, "parts", dict, {}, path), files)


def verify(manifest: Manifest) -> None:
    """Hold every file of a trained folder to its hash.

    Raises:
        ModelError: ``weights_missing``, ``weights_altered``.
    """
    for name, digest in manifest.files.items():
        if "/" in name or "\\" in name or name in ("", ".", ".."):
            raise unusable(manifest.path, f"{name!r} is not the name of a file beside it")
        file = manifest.folder / name
        if not file.is_file():
            raise ModelError(f"{file} is not there", code="weights_missing")
        if file_sha256(file) != digest:
            raise ModelError(
                f"{file} is not the file that was trained",
                code="weights_altered",
                hint="train it again, or get the folder again from where you have it",
            )


def _count(content: Mapping[str, Any], name: str) -> int | None:
    value = content.get(name)
    if value is not None and type(value) is not int:
        raise ValueError(f"{name} is {value!r}")
    return value


def _entry(name: str) -> ModelEntry | None:
    folder = Path(name)
    if not is_there(folder / CARD_FILE):
        return None
    if read_json(folder / CARD_FILE).get("format") != TRAINED:
        return None  # an exported network
    manifest = read_manifest(folder)
    needed = _needs(manifest)
    card = replace(manifest.card, needs=needed)

    def build(options: ModelOptions) -> Classifier:
        verify(manifest)
        module = import_module(f"vedette.models.{_KINDS[manifest.kind]}")
        opened: Classifier = module.open_trained(replace(manifest, card=card), options)
        return opened

    return ModelEntry(name, card, build, scoped=manifest.kind == "vlm")


def _needs(manifest: Manifest) -> tuple[ModelCard, ...]:
    """The card of the backbone that a head was trained over: its terms bind the head too."""
    backbone = manifest.parts.get("backbone")
    if backbone is None:
        return ()
    from vedette.models.registry import get  # which imports this module

    if not isinstance(backbone, str):
        raise unusable(manifest.path, f"its backbone is {backbone!r}")
    try:
        return (get(backbone).card,)
    except UnknownNameError as error:
        raise ModelError(
            f"{manifest.folder.name} was trained over {backbone}, and there is no such model here",
            code="weights_missing",
            hint="a folder is looked for from where the training was run: run it there",
        ) from error
    except RecursionError as error:
        raise unusable(manifest.path, "it stands on itself") from error


PATTERNS = (ModelPattern("FOLDER", "a model folder that vedette train wrote", _entry),)
