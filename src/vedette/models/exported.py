"""Model folders of our own: what ``vedette models export`` writes and ``--model FOLDER`` reads.

A folder holds ``vedette-model.json``, the card of what is in it, and one network. Its terms are
those of the model that it was made from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vedette.backends.base import choose, open_session
from vedette.compile.cache import file_sha256
from vedette.errors import ModelError
from vedette.models.base import ModelCard, ModelEntry, ModelOptions, ModelPattern
from vedette.models.recipe import MAX_SIDE, RESAMPLES, Recipe, read_norm
from vedette.models.vit import Vit
from vedette.networks.files import field, read_json, unusable
from vedette.resize import Fit
from vedette.taxonomy import parse_category

CARD_FILE = "vedette-model.json"
_FORMAT = 1
_TEXTS = ("id", "revision", "summary", "licence", "terms", "trained_on", "source", "reference")
NETWORKS = {"onnx": "network.onnx", "openvino": "network.xml", "torchscript": "network.pt"}
"""The network's file by export format."""


def write_card(
    folder: Path, model: Vit, *, format_: str, precision: str, drift: str | None
) -> None:
    """Write the card of an exported network that is in ``folder`` already."""
    card = model.card
    content = {
        "format": _FORMAT,
        **{name: getattr(card, name) for name in _TEXTS},
        # int8 gives other scores: Records must not take it for the published model.
        **({"revision": f"{card.revision}+int8"} if precision == "int8" else {}),
        "commercial": card.commercial,
        "embedding": card.embedding,
        "parameters": card.parameters,
        "labels": {label: list(counts) for label, counts in card.labels.items()},
        "multi_label": model.multi_label,
        "recipe": {
            "fit": asdict(model.recipe.fit),
            "crop": model.recipe.crop,
            "mean": list(model.recipe.norm.mean),
            "std": list(model.recipe.norm.std),
            "halves_to_even": model.recipe.halves_to_even,
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
    if not _is_there(path):
        return None
    content = read_json(path)
    card, recipe = _read(content, path)

    def build(options: ModelOptions) -> Vit:
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
        return Vit(card, recipe, session, network, multi_label=multi_label)

    return ModelEntry(name, card, build)


def _is_there(path: Path) -> bool:
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
            raise ModelError(f"{file} is not there", code="weights_missing")
        if file_sha256(file) != digest:
            raise ModelError(f"{file} is not the file that was exported", code="weights_altered")


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
        precisions=("int8",) if precision == "int8" else ("fp32", "bf16"),
        commercial=field(content, "commercial", bool, False, path),
        embedding=_count(content, "embedding", path),
        parameters=_count(content, "parameters", path),
    )
    return card, recipe


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


PATTERNS = (ModelPattern("FOLDER", "a model folder that Vedette exported or trained", _entry),)
