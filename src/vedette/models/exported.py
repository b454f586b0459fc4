"""Model folders of our own: what ``vedette models export`` writes and ``--model FOLDER`` reads.

A folder holds ``vedette-model.json``, the card of what is in it, and one network. Its terms are
those of the model that it was made from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from vedette.backends.base import PRECISIONS, Session, choose, open_session
from vedette.calibrate import Calibration, read_calibration
from vedette.compile.cache import file_sha256
from vedette.compile.torch_onnx import IMAGES
from vedette.errors import ModelError
from vedette.models.base import ModelCard, ModelEntry, ModelOptions, ModelPattern, Prepared
from vedette.models.recipe import MAX_SIDE, RESAMPLES, Recipe, read_norm
from vedette.models.standalone import OUTPUTS, Standalone
from vedette.networks.files import field, read_json, unusable
from vedette.resize import Fit
from vedette.taxonomy import parse_category
from vedette.types import Image, Prediction

CARD_FILE = "vedette-model.json"
_FORMAT = 1
TRAINED = 2
"""The format of folders that were trained (:mod:`vedette.models.trained`)."""
CALIBRATION = "calibration.json"
_TEXTS = ("id", "revision", "summary", "licence", "terms", "trained_on", "source", "reference")
_MEASURED = "measured"
"""Cards written before there was training do not have it."""
_AGAIN = "export it again, or get the folder again from where you have it"
NETWORKS = {"onnx": "network.onnx", "openvino": "network.xml", "torchscript": "network.pt"}
"""The network's file by export format."""


class Exported:
    """An exported network. See :class:`vedette.models.base.Classifier`."""

    icc = True

    def __init__(self, card: ModelCard, network: Standalone, session: Session) -> None:
        self.card = card
        self.network = network
        self.session = session
        self.streams = session.streams
        self.fit: Fit | None = network.recipe.fit
        self.runtime = f"{session.backend} {session.precision}"
        self._labels = tuple(card.labels)

    def standalone(self) -> Standalone:
        """See :class:`vedette.models.standalone.Exportable`."""
        return self.network

    def prepare(self, image: Image) -> Prepared:
        """See :class:`vedette.models.base.Classifier`."""
        return self.network.recipe.prepare(image)

    def infer(self, batch: Sequence[Prepared]) -> Sequence[Prediction]:
        """See :class:`vedette.models.base.Classifier`."""
        outputs = self.session.run({IMAGES: np.stack([p.pixels for p in batch])})
        return [
            Prediction(
                self._labels,
                self.network.probabilities(self._labels, logits),
                self.card.model,
                embedding,
            )
            for logits, embedding in zip(*(outputs[name] for name in OUTPUTS), strict=True)
        ]


def write_card(
    folder: Path,
    card: ModelCard,
    network: Standalone,
    *,
    format_: str,
    precision: str,
    drift: str | None,
) -> None:
    """Write the card of an exported network that is in ``folder`` already."""
    content = {
        "format": _FORMAT,
        **{name: getattr(card, name) for name in (*_TEXTS, _MEASURED)},
        # int8 gives other scores: Records must not take it for the published model.
        **({"revision": f"{card.revision}+int8"} if precision == "int8" else {}),
        "commercial": card.commercial,
        "embedding": card.embedding,
        "parameters": card.parameters,
        "precisions": [*card.precisions] if precision == "fp32" else [precision],
        "calibrated": card.calibrated,
        "labels": {label: list(counts) for label, counts in card.labels.items()},
        "multi_label": network.multi_label,
        "recipe": {
            "fit": asdict(network.recipe.fit),
            "crop": network.recipe.crop,
            "mean": list(network.recipe.norm.mean),
            "std": list(network.recipe.norm.std),
            "halves_to_even": network.recipe.halves_to_even,
        },
        "network": NETWORKS[format_],
        "precision": precision,
        "drift": drift,
        "files": {
            path.name: file_sha256(path)
            for path in sorted(folder.iterdir())
            if path.name != CARD_FILE
        },
    }
    text = json.dumps(content, indent=1, ensure_ascii=False)
    (folder / CARD_FILE).write_text(text + "\n", encoding="utf-8")


def _entry(name: str) -> ModelEntry | None:
    folder = Path(name)
    path = folder / CARD_FILE
    if not is_there(path):
        return None
    content = read_json(path)
    if content.get("format") == TRAINED:
        return None  # vedette.models.trained reads it
    card, recipe = _read(content, path)

    def build(options: ModelOptions) -> Exported:
        _verify(content, path)
        network = folder / field(content, "network", str, None, path)
        if network.suffix == ".pt":
            raise ModelError(
                f"{folder} holds TorchScript, which is for other programs",
                hint="export it again with --format onnx or --format openvino",
            )
        backend = options.backend
        if network.suffix == ".xml":
            if backend == "onnx":
                raise ModelError(f"{folder} holds a network of OpenVINO's format")
            backend = "openvino"
        choice = choose(backend, options.precision, card.precisions)
        session = open_session(network, recipe.norm, choice, (recipe.crop, recipe.crop))
        multi_label = field(content, "multi_label", bool, False, path)

        def no_module() -> Any:
            raise ModelError(
                f"{card.id} is an exported network: it has no torch module",
                hint="use the checkpoint that it was exported from",
            )

        calibration = _calibration(content, card, folder)
        return Exported(
            card, Standalone(recipe, multi_label, no_module, network, calibration), session
        )

    return ModelEntry(name, card, build)


def _calibration(content: Mapping[str, Any], card: ModelCard, folder: Path) -> Calibration | None:
    """Of its labels; a card that says it is calibrated needs the file that does it."""
    there = CALIBRATION in field(content, "files", dict, {}, folder / CARD_FILE)
    if there != (card.calibrated is not None):
        raise unusable(folder / CARD_FILE, f"{CALIBRATION} and the card do not say the same")
    return read_calibration(folder / CALIBRATION, categories=False) if there else None


def is_there(path: Path) -> bool:
    """Whether a card's file is there; never raises, whatever the name is."""
    try:
        return path.is_file()
    except OSError:  # a combination's name may be longer than a file's can be
        return False


def _verify(content: Mapping[str, Any], path: Path) -> None:
    files = field(content, "files", dict, {}, path)
    network = field(content, "network", str, None, path)
    if network not in files or network not in NETWORKS.values():
        raise unusable(path, "it names no network")
    for name, digest in files.items():
        if "/" in name or "\\" in name or name in ("", ".", ".."):
            raise unusable(path, f"{name!r} is not the name of a file beside it")
        file = path.parent / name
        if not file.is_file():
            raise ModelError(f"{file} is not there", code="weights_missing", hint=_AGAIN)
        if file_sha256(file) != digest:
            raise ModelError(
                f"{file} is not the file that was exported", code="weights_altered", hint=_AGAIN
            )


def _read(content: Mapping[str, Any], path: Path) -> tuple[ModelCard, Recipe]:
    if content.get("format") != _FORMAT:
        raise unusable(path, f"format {content.get('format')!r} is not {_FORMAT}")
    try:
        recipe = _recipe(field(content, "recipe", dict, None, path), path)
        labels = {
            str(label): tuple(parse_category(name) for name in names)
            for label, names in field(content, "labels", dict, None, path).items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise unusable(path, f"not a model's card: {type(error).__name__}: {error}") from error
    precision = field(content, "precision", str, None, path)
    card = ModelCard(
        **{name: field(content, name, str, None, path) for name in _TEXTS},
        sha256=None,
        labels=labels,
        fit=recipe.fit,
        precisions=_precisions(content, precision, path),
        commercial=field(content, "commercial", bool, False, path),
        embedding=_count(content, "embedding", path),
        parameters=_count(content, "parameters", path),
        calibrated=content.get("calibrated") and field(content, "calibrated", str, None, path),
        measured=field(content, _MEASURED, str, "", path),
    )
    return card, recipe


def _precisions(content: Mapping[str, Any], precision: str, path: Path) -> tuple[str, ...]:
    if precision == "int8":
        return ("int8",)
    given = field(content, "precisions", list, ["fp32", "bf16"], path)
    if not given or any(name not in PRECISIONS[:2] for name in given):
        raise unusable(path, f"precisions are {given!r}")
    return tuple(given)


def _count(content: Mapping[str, Any], name: str, path: Path) -> int | None:
    value: int | None = content.get(name) and field(content, name, int, None, path)
    return value


def _recipe(given: Mapping[str, Any], path: Path) -> Recipe:
    fit = Fit(**given["fit"])
    crop = field(given, "crop", int, None, path)
    if type(fit.size) is not int or not 1 <= crop <= fit.size <= MAX_SIDE:
        raise unusable(path, "a size that no network has")
    if fit.mode not in ("cover", "stretch") or fit.resample not in RESAMPLES:
        raise unusable(path, "an unknown resize")
    return Recipe(
        fit,
        crop,
        read_norm(given, "mean", "std", path),
        field(given, "halves_to_even", bool, False, path),
    )


PATTERNS = (ModelPattern("FOLDER", "a model folder that Vedette exported", _entry),)
