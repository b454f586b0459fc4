"""Models as files for other programs and machines: ONNX, OpenVINO, TorchScript; fp32 to int8."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from vedette.backends.base import Choice, choose, open_session
from vedette.backends.openvino import import_openvino
from vedette.compile.quantize import Drift, drift, quantise
from vedette.compile.quiet import quiet
from vedette.compile.torch_onnx import IMAGES
from vedette.compile.torch_onnx import export as write_onnx
from vedette.data.base import Source, read_all
from vedette.decode import DecodeOptions, Decoder, InlineDecoder
from vedette.errors import ItemError, ModelError, UsageError, VedetteError
from vedette.extras import require
from vedette.models.base import Classifier, ModelCard, Prepared
from vedette.models.exported import CALIBRATION, CARD_FILE, NETWORKS, write_card
from vedette.models.standalone import OUTPUTS, Exportable, Standalone
from vedette.settings import Limits
from vedette.types import Float32

MAX_DRIFT = 0.05
"""Largest change of a probability that an export with reduced precision may make."""
_LEAST_PICTURES = 8
_MOST_PICTURES = 512


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What to write."""

    format: str = "onnx"
    """``onnx``, ``openvino`` or ``torchscript``"""
    precision: str = "fp32"
    """``fp32`` or ``int8``. bf16 is no format of files: an fp32 network is run in it."""
    max_drift: float = MAX_DRIFT
    overwrite: bool = False
    limits: Limits = field(default_factory=Limits)
    """On the pictures that it is calibrated with."""

    def __post_init__(self) -> None:
        if not 0 <= self.max_drift <= 1:
            raise UsageError(
                f"a probability moves by 0 to 1, not by {self.max_drift:g}",
                hint="use --max-drift 0.05",
            )


def export(
    model: Classifier,
    out: Path,
    options: ExportOptions,
    calibration: Source | None,
    beside: Sequence[Path] = (),
) -> Drift | None:
    """Write ``model`` as a folder that ``--model`` reads again, without what it was made of.

    Args:
        model: one that is a single network, or can be made one (:class:`Exportable`).
        out: the folder to make.
        options: format and precision.
        calibration: for int8: pictures of the kind that it will see. Half of them set the scales,
            the other half measure the drift.
        beside: files that go with the model, such as the fingerprints of what it was trained on.

    Returns:
        The drift, for int8.

    Raises:
        UsageError: a model or a format that cannot be exported, too few pictures,
            ``output_exists``.
        ModelError: the model is no single network, ``drift_too_large``; nothing is written then.
        VedetteError: ``write_failed``.
    """
    network = _checked(model, options, calibration)
    check_place(out, overwrite=options.overwrite)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".export-") as temporary:
            folder = Path(temporary) / "model"
            folder.mkdir()
            moved = _write(model, network, folder, Path(temporary), options, calibration)
            for path in beside:
                shutil.copyfile(path, folder / path.name)
            told = None if moved is None else str(moved)
            write_card(
                folder,
                whole_card(model.card),
                network,
                format_=options.format,
                precision=options.precision,
                drift=told,
            )
            if out.exists():
                out.rename(Path(temporary) / "replaced")
            folder.rename(out)
    except OSError as error:
        raise VedetteError(f"cannot write {out}: {error.strerror}", code="write_failed") from error
    return moved


def whole_card(card: ModelCard) -> ModelCard:
    """``card`` with the licences and terms of all that it needs: their weights are inside too."""
    for needed in map(whole_card, card.needs):
        card = replace(
            card,
            commercial=card.commercial and needed.commercial,
            licence=_joined(card.licence, needed.id, needed.licence),
            terms=_joined(card.terms, needed.id, needed.terms),
            trained_on=_joined(card.trained_on, needed.id, needed.trained_on),
        )
    return replace(card, needs=())


def _joined(own: str, whose: str, other: str) -> str:
    return own if other in own else f"{own}; of {whose}: {other}"


def check_place(out: Path, *, overwrite: bool) -> None:
    """Refuse a place that is taken: nothing but an earlier export is ever replaced.

    Raises:
        UsageError: ``output_exists``.
    """
    if out.exists() and not overwrite:
        raise UsageError(f"{out} is already there", code="output_exists")
    if out.exists() and not _is_replaceable(out):
        raise UsageError(
            f"{out} is no exported model: it is not replaced",
            code="output_exists",
            hint="name another folder with --out",
        )


def _is_replaceable(out: Path) -> bool:
    """Whether nothing but an earlier export is lost with it."""
    if not out.is_dir():
        return False
    try:
        names = {path.name for path in out.iterdir()}
        card = json.loads((out / CARD_FILE).read_bytes()) if names else {"files": {}}
        return names <= {CARD_FILE, *card["files"]} and (not names or "network" in card)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _checked(model: Classifier, options: ExportOptions, calibration: Source | None) -> Standalone:
    if not isinstance(model, Exportable):
        raise UsageError(
            f"{model.card.id} is not one network that stands alone",
            hint="ViT classifiers can be exported, heads over CLIP or a ViT, and what vedette "
            "train makes of them; vedette train distill makes one network of any classifier",
        )
    network = model.standalone()
    if network.network is not None and network.network.suffix != ".onnx":
        raise UsageError(
            f"{model.card.id} is an exported network, in OpenVINO's format",
            hint="export it from where it came from, or from a folder in ONNX",
        )
    if "fp32" not in model.card.precisions:
        raise UsageError(
            f"{model.card.id} is reduced to {', '.join(model.card.precisions)} already",
            hint="export it from where it came from",
        )
    if options.format not in NETWORKS:
        raise UsageError(f"unknown format {options.format!r}", hint=f"use {', '.join(NETWORKS)}")
    if options.precision not in ("fp32", "int8"):
        raise UsageError(
            f"no file is written in {options.precision!r}",
            hint="export fp32, and run it with --precision bf16; or export int8",
        )
    if options.precision == "int8":
        if options.format == "torchscript":
            raise UsageError("TorchScript is exported in fp32", hint="use --format onnx")
        if calibration is None:
            raise UsageError(
                "int8 needs pictures to set its scales by", hint="give --calibrate FOLDER"
            )
    return network


def _write(
    model: Classifier,
    network: Standalone,
    folder: Path,
    scratch: Path,
    options: ExportOptions,
    calibration: Source | None,
) -> Drift | None:
    """Fill ``folder`` with all but the card."""
    if network.calibration is not None:
        text = json.dumps(network.calibration.as_json(), indent=1, allow_nan=False)
        (folder / CALIBRATION).write_text(text + "\n", encoding="utf-8")
    out = folder / NETWORKS[options.format]
    if options.format == "torchscript":
        _write_torchscript(network, out)
        return None
    fp32 = network.network
    if fp32 is None:
        (scratch / "fp32").mkdir()
        fp32 = scratch / "fp32" / NETWORKS["onnx"]
        write_onnx(network.module(), network.recipe.crop, OUTPUTS, fp32)
    onnx, moved = fp32, None
    if options.precision == "int8":
        assert calibration is not None
        (scratch / "int8").mkdir()
        onnx = scratch / "int8" / NETWORKS["onnx"]
        decoder = InlineDecoder(DecodeOptions(options.limits, fit=model.fit, icc=model.icc))
        pictures = prepared(model, calibration, decoder)
        half = len(pictures) // 2
        quantise(fp32, (p.pixels for p in pictures[:half]), network.recipe.norm, onnx)
        moved = measured(model.card, network, (fp32, onnx), pictures[half:])
        if not moved.largest <= options.max_drift:  # true for NaN too
            raise ModelError(
                f"{model.card.id} in int8: {moved} (the bound is {options.max_drift:g})",
                code="drift_too_large",
            )
    if options.format == "openvino":
        _write_openvino(onnx, out)
    else:
        for path in onnx.parent.glob(f"{onnx.name}*"):  # its weights may lie in a file beside it
            shutil.copyfile(path, folder / path.name)
    return moved


def prepared(model: Classifier, source: Source, decoder: Decoder) -> Sequence[Prepared]:
    """First frames of a source's pictures as the model takes them, those that can be decoded.

    Every second one first, so that both halves see the whole of an ordered folder.

    Raises:
        UsageError: too few of them.
    """
    found = list(islice(_frames(model, source, decoder), _MOST_PICTURES))
    if len(found) < _LEAST_PICTURES:
        raise UsageError(
            f"{len(found)} pictures that can be decoded are too few to calibrate on",
            hint=f"give at least {_LEAST_PICTURES}, better some hundred, of the kind it will see",
        )
    return [*found[::2], *found[1::2]]


def _frames(model: Classifier, source: Source, decoder: Decoder) -> Iterator[Prepared]:
    for item in read_all(source):
        try:
            image = next(iter(decoder.frames(item)), None)
        except ItemError:
            continue
        if image is not None:
            yield model.prepare(image)


def measured(
    card: ModelCard, network: Standalone, files: tuple[Path, Path], pictures: Sequence[Prepared]
) -> Drift:
    """The drift of the second file, int8, from the first, fp32: on OpenVINO where it is.

    Of the probabilities that users see, calibrated ones included.
    """
    backend = choose("auto", "fp32", ("fp32",)).backend
    size = (network.recipe.crop, network.recipe.crop)
    batch = np.stack([p.pixels for p in pictures])
    labels = tuple(card.labels)

    def probabilities(path: Path, precision: str) -> Float32:
        session = open_session(path, network.recipe.norm, Choice(backend, precision), size)
        logits = session.run({IMAGES: batch})["logits"]
        return np.stack([network.probabilities(labels, row) for row in logits])

    return drift(probabilities(files[0], "fp32"), probabilities(files[1], "int8"))


def _write_openvino(onnx: Path, out: Path) -> None:
    openvino = import_openvino()
    try:
        model = openvino.Core().read_model(str(onnx))
        openvino.save_model(model, str(out), compress_to_fp16=False)
    except RuntimeError as error:
        raise ModelError(f"OpenVINO cannot convert {onnx.name}: {error}") from error


def _write_torchscript(network: Standalone, out: Path) -> None:
    torch = require("torch", extra="zoo")
    module: Any = network.module()
    side = network.recipe.crop
    with quiet(), torch.no_grad():
        traced = torch.jit.trace(module, torch.zeros(1, 3, side, side), check_trace=False)
        torch.jit.save(traced, str(out))
