"""The end of every training: calibration, thresholds, what was measured, and the model folder."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vedette.bench.evidence import Caveat
from vedette.bench.result import versions
from vedette.calibrate import Calibration
from vedette.data.acceptance import trained_on
from vedette.errors import VedetteError
from vedette.models.base import ModelCard
from vedette.models.trained import CALIBRATION, POLICY, REPORT, TRAINING, write_manifest
from vedette.train.calibration.labels import Calibrated, calibrated
from vedette.train.calibration.targets import Target
from vedette.train.data import TrainingSet
from vedette.train.examples import PARTS, Part
from vedette.train.measured import Measured, measure
from vedette.train.report import write_report
from vedette.train.workplace import Workplace, replace_folder
from vedette.types import Float32

_MADE = "model"
"""Of the workplace: the folder to be, until all of it is there."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """What was seen at one point of a training."""

    number: float
    """Of epochs, from 1; a part of one where it was looked at in between."""
    values: Mapping[str, float]
    """By name: ``train loss``, ``validation loss``, ``validation F1``, ``learning rate``."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What a trainer hands over."""

    kind: str
    """Of :mod:`vedette.models.trained`: ``head``, ``vit``, ``clip``, ``vlm``."""
    summary: str
    """One line for the card: ``MLP probe over clip-l14``."""
    base: ModelCard
    """What it was trained from or over: licence, terms, input size and precisions follow it."""
    logits: Mapping[Part, Float32]
    """float32 [images of the part, labels], before calibration, for ``validation``,
    ``calibration`` and ``test``: rows as ``examples.rows(part)`` has them."""
    history: Sequence[Epoch]
    options: Mapping[str, Any]
    """The trainer's own, as JSON values."""
    parts: Mapping[str, Any]
    """What :mod:`vedette.models.trained` needs to open the folder, as JSON values."""
    write: Callable[[Path], None]
    """Writes the weights into a folder that is there."""
    embedding: int | None = None
    """Dimensions of the embedding that the model gives."""
    parameters: int | None = None
    trained: int | None = None
    """How many of the parameters were trained."""
    caveats: Sequence[Caveat] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Further findings for ``training.json``, as JSON values."""


@dataclass(frozen=True, slots=True)
class FinishOptions:
    """What a user may choose about the end of a training."""

    calibration: str = "auto"
    """``auto``, ``none`` or one of :data:`vedette.calibrate.METHODS`."""
    target: Target = field(default_factory=Target)
    """What the thresholds in the folder's policy promise."""
    seed: int = 7
    command: str = ""
    """As the user gave it, for the account."""


def finish(
    place: Workplace, data: TrainingSet, outcome: Outcome, options: FinishOptions, started: float
) -> Measured:
    """Calibrate, choose thresholds, measure on ``test``, and put the model folder in its place.

    Args:
        place: the training's.
        data: what it was trained on.
        outcome: what came out.
        options: see there.
        started: ``time.monotonic()`` when the training began.

    Raises:
        VedetteError: ``training_failed``: scores that are no numbers; ``write_failed``. Nothing is
            in the place then.
    """
    for part, logits in outcome.logits.items():
        if not np.isfinite(logits).all():
            raise VedetteError(f"scores of the part {part} are no numbers", code="training_failed")
    told = calibrated(data.examples, outcome.logits, place.out.name, options)
    found = measure(data, outcome, told, options.seed)
    found = replace(found, caveats=(*outcome.caveats, *told.caveats, *found.caveats))
    made = place.state / _MADE  # not beside it: what a kill leaves here, the next run removes
    try:
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        _write(made, place.out.name, data, outcome, told, found, options, started)
        replace_folder(made, place.out)
    except OSError as error:
        raise VedetteError(
            f"cannot write {place.out}: {error.strerror or error}", code="write_failed"
        ) from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return found


def _write(
    folder: Path,
    name: str,
    data: TrainingSet,
    outcome: Outcome,
    told: Calibrated,
    found: Measured,
    options: FinishOptions,
    started: float,
) -> None:
    made = time.monotonic() - started
    outcome.write(folder)
    data.write_fingerprints(folder)
    (folder / POLICY).write_text(told.policy, encoding="utf-8")
    if told.calibration is not None:
        _json(folder / CALIBRATION, told.calibration.as_json())
    account = _account(data, outcome, told, found, options, made)
    _json(folder / TRAINING, account)
    card = write_manifest(
        folder, outcome.kind, _card(name, data, outcome, told, found), outcome.parts
    )
    write_report(folder / REPORT, card, data, outcome, told, found, account)
    for path in folder.rglob("*"):  # safetensors' files are for one user alone
        path.chmod(0o755 if path.is_dir() else 0o644)


def _json(path: Path, value: Mapping[str, Any]) -> None:
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _card(
    name: str, data: TrainingSet, outcome: Outcome, told: Calibrated, found: Measured
) -> ModelCard:
    base = outcome.base
    own = ModelCard(
        id=name,
        revision="trained",
        summary=outcome.summary,
        licence=f"yours; of {base.id}: {base.licence}",
        terms=base.terms,
        trained_on=f"{base.id}: {base.trained_on}",
        source="vedette train",
        sha256=None,
        labels={label: data.examples.counts[label] for label in data.examples.labels},
        fit=base.fit,
        precisions=base.precisions,
        commercial=base.commercial,
        embedding=outcome.embedding,
        parameters=outcome.parameters,
        reference="the logits that its training gave",
        calibrated=None if told.calibration is None else told.calibration.name,
        measured=found.line,
    )
    if data.card is not None:
        return trained_on(own, [data.card])
    return replace(own, trained_on=f"{own.trained_on}; {data.given}")


def _account(
    data: TrainingSet,
    outcome: Outcome,
    told: Calibrated,
    found: Measured,
    options: FinishOptions,
    seconds: float,
) -> dict[str, Any]:
    """``training.json``: enough to do it again, and to judge it."""
    examples = data.examples
    return {
        "format": "vedette-training",
        "version": 1,
        "command": options.command,
        "seed": options.seed,
        "options": dict(outcome.options),
        "data": {
            "given": data.given,
            "sha256": data.sha256,
            "set": None if data.card is None else data.card.id,
            "stand_in": data.stand_in,
            "images": {part: len(examples.rows(part)) for part in PARTS},
            "unsafe": {
                part: {
                    label: int(examples.targets[examples.rows(part), k].sum())
                    for k, label in enumerate(examples.labels)
                }
                for part in PARTS
            },
            "left_out": dict(examples.left_out),
        },
        "base": outcome.base.model,
        "parameters": outcome.parameters,
        "trained_parameters": outcome.trained,
        "history": [{"epoch": one.number, **one.values} for one in outcome.history],
        "calibration": _method(told.calibration),
        "thresholds": {name: one.as_json() for name, one in told.thresholds.items()},
        "metrics": found.as_json(),
        "caveats": [asdict(caveat) for caveat in found.caveats],
        "facts": dict(outcome.facts),
        "versions": versions(),
        "seconds": round(seconds, 1),
    }


def _method(calibration: Calibration | None) -> dict[str, str] | None:
    if calibration is None:
        return None
    return {label: curve.method for label, curve in calibration.of.items()}
