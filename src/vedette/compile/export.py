"""Models as files for other programs and machines: ONNX, OpenVINO, TorchScript; fp32 to int8."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from vedette.backends.base import Choice, open_session
from vedette.backends.openvino import import_openvino
from vedette.compile.quantize import Drift, drift, quantise
from vedette.compile.quiet import quiet
from vedette.compile.torch_onnx import IMAGES
from vedette.data.base import Source, read_all
from vedette.decode import DecodeOptions, Decoder, InlineDecoder
from vedette.errors import ItemError, ModelError, UsageError, VedetteError
from vedette.extras import require
from vedette.models.base import Classifier, Prepared
from vedette.models.exported import CARD_FILE, NETWORKS, write_card
from vedette.models.vit import Vit
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


def export(
    model: Classifier, out: Path, options: ExportOptions, calibration: Source | None
) -> Drift | None:
    """Write ``model`` as a folder that ``--model`` reads again.

    Args:
        model: one of a single network: the ViT classifiers.
        out: the folder to make.
        options: format and precision.
        calibration: for int8: pictures of the kind that it will see. Half of them set the scales,
            the other half measure the drift.

    Returns:
        The drift, for int8.

    Raises:
        UsageError: a model or a format that cannot be exported, too few pictures,
            ``output_exists``.
        ModelError: ``drift_too_large``; nothing is written then.
        VedetteError: ``write_failed``.
    """
    _check(model, options, calibration)
    assert isinstance(model, Vit)
    if out.exists() and not options.overwrite:
        raise UsageError(f"{out} is already there", code="output_exists")
    if out.exists() and not _is_replaceable(out):
        raise UsageError(
            f"{out} is no exported model: it is not replaced",
            code="output_exists",
            hint="name another folder with --out",
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".export-") as temporary:
            folder = Path(temporary) / "model"
            folder.mkdir()
            moved = _write(model, folder, options, calibration)
            told = None if moved is None else str(moved)
            write_card(
                folder, model, format_=options.format, precision=options.precision, drift=told
            )
            if out.exists():
                shutil.rmtree(out)
            folder.rename(out)
    except OSError as error:
        raise VedetteError(f"cannot write {out}: {error.strerror}", code="write_failed") from error
    return moved


def _is_replaceable(out: Path) -> bool:
    """Whether nothing but an earlier export is lost with it."""
    if not out.is_dir():
        return False
    names = {path.name for path in out.iterdir()}
    return not names or (
        CARD_FILE in names
        and all(name == CARD_FILE or name.startswith("network.") for name in names)
    )


def _check(model: Classifier, options: ExportOptions, calibration: Source | None) -> None:
    if not isinstance(model, Vit) or model.network.suffix != ".onnx":
        raise UsageError(
            f"{model.card.id} is not one network that stands alone",
            hint="what can be exported are ViT classifiers: falconsai, marqo-384, adamcodd, vit:…",
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


def _write(
    model: Vit, folder: Path, options: ExportOptions, calibration: Source | None
) -> Drift | None:
    network = folder / NETWORKS[options.format]
    if options.format == "torchscript":
        _write_torchscript(model, network)
        return None
    onnx, moved = model.network, None
    if options.precision == "int8":
        assert calibration is not None
        decoder = InlineDecoder(DecodeOptions(options.limits, fit=model.fit, icc=model.icc))
        pictures = prepared(model, calibration, decoder)
        onnx = folder / NETWORKS["onnx"]
        half = len(pictures) // 2
        quantise(model.network, (p.pixels for p in pictures[:half]), model.recipe.norm, onnx)
        moved = measured(model, onnx, pictures[half:])
        if not moved.largest <= options.max_drift:  # true for NaN too
            raise ModelError(
                f"{model.card.id} in int8: {moved} (the bound is {options.max_drift:g})",
                code="drift_too_large",
            )
    if options.format == "openvino":
        _write_openvino(onnx, network)
        if onnx.parent == folder:
            onnx.unlink()
    elif onnx.parent != folder:
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


def measured(model: Vit, network: Path, pictures: Iterable[Prepared]) -> Drift:
    """The drift of ``network`` from the model's own in fp32, on OpenVINO where it is."""
    backend = model.session.backend
    size = (model.recipe.crop, model.recipe.crop)
    batch = np.stack([p.pixels for p in pictures])

    def probabilities(path: Path, precision: str) -> Float32:
        session = open_session(path, model.recipe.norm, Choice(backend, precision), size)
        logits = session.run({IMAGES: batch})["logits"]
        return np.stack([model.probabilities(row) for row in logits])

    return drift(probabilities(model.network, "fp32"), probabilities(network, "int8"))


def _write_openvino(onnx: Path, out: Path) -> None:
    openvino = import_openvino()
    try:
        model = openvino.Core().read_model(str(onnx))
        openvino.save_model(model, str(out), compress_to_fp16=False)
    except RuntimeError as error:
        raise ModelError(f"OpenVINO cannot convert {onnx.name}: {error}") from error


def _write_torchscript(model: Vit, out: Path) -> None:
    torch = require("torch", extra="zoo")
    module: Any = model.module()
    side = model.recipe.crop
    with quiet(), torch.no_grad():
        traced = torch.jit.trace(module, torch.zeros(1, 3, side, side), check_trace=False)
        torch.jit.save(traced, str(out))
