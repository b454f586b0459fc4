"""What a trained model is worth: measured once, on the part ``test``, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vedette.bench.evidence import Caveat
from vedette.bench.metrics.bootstrap import resampling
from vedette.bench.metrics.calibration import equal_mass, expected_calibration_error
from vedette.bench.metrics.confusion import METRICS
from vedette.bench.metrics.estimates import Decided, Estimate, Estimates, decided, mean_over, ranked
from vedette.bench.metrics.ranking import RANK_METRICS
from vedette.calibrate import sigmoid
from vedette.train.calibration.labels import Calibrated
from vedette.train.data import TrainingSet
from vedette.train.examples import Bools, Examples
from vedette.types import Float32

if TYPE_CHECKING:
    from vedette.train.finishing import Outcome

BOOTSTRAP = 2_000
"""Resamples behind each interval."""
SHIPPED = 0.5
OVERALL = "any category"
_FEW = 100
"""Images of ``test`` below which its numbers are said to be rough."""


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What was measured on ``test``."""

    n: int
    """Its images."""
    labels: Mapping[str, Estimates]
    """By label: threshold metrics at a probability of 0.5, and rank metrics."""
    overall: Estimates
    """Of the decision unsafe in any category against the image's own safety."""
    macro_f1: Estimate
    """Mean F1 over the labels."""
    ece: Mapping[str, tuple[float | None, float | None]]
    """By label: expected calibration error before and after calibration."""
    p: Float32
    """float32 [n, labels]: calibrated probabilities, for the report."""
    given: str
    caveats: Sequence[Caveat] = ()

    @property
    def line(self) -> str:
        """One line for the card."""
        return (
            f"unsafe F1 {_told(self.overall['f1'])}, AUROC {_told(self.overall['auroc'])}, "
            f"macro F1 {_told(self.macro_f1)} on {self.n:,} test images of {self.given}"
        )

    def as_json(self) -> dict[str, Any]:
        """For ``training.json``: JSON values, None where undefined."""
        return {
            "part": "test",
            "images": self.n,
            "threshold": SHIPPED,
            "overall": {name: one.as_json() for name, one in self.overall.items()},
            "macro_f1": self.macro_f1.as_json(),
            "labels": {
                label: {name: one.as_json() for name, one in found.items()}
                for label, found in self.labels.items()
            },
            "ece": {
                label: {"before": before, "after": after}
                for label, (before, after) in self.ece.items()
            },
        }


def measure(data: TrainingSet, outcome: Outcome, told: Calibrated, seed: int) -> Measured:
    """Measure the calibrated probabilities of the part ``test``.

    Images near-duplicate to each other are resampled together.
    """
    examples = data.examples
    rows = examples.rows("test")
    raw = sigmoid(outcome.logits["test"]).astype(np.float32)
    p = raw
    if told.calibration is not None:
        p = told.calibration.probabilities(examples.labels, raw)
    if not len(rows):
        none: Estimates = {name: Estimate(None) for name in (*METRICS, *RANK_METRICS)}
        empty = Caveat("no-test-images", "The set has no images to test on: nothing was measured.")
        labels = dict.fromkeys(examples.labels, none)
        ece = dict.fromkeys(examples.labels, (None, None))
        return Measured(0, labels, none, Estimate(None), ece, p, data.given, (empty,))
    draws = resampling(examples.group[rows], BOOTSTRAP, seed)
    flagged = np.asarray(p >= SHIPPED)
    targets, known = examples.targets[rows], examples.known[rows]
    by_label: dict[str, Estimates] = {}
    whole: list[Decided] = []
    for k, label in enumerate(examples.labels):
        part = known[:, k][None]
        counts = decided(targets[:, k], flagged[:, k], part, draws)
        rank = ranked(targets[:, k], p[:, k], part, draws)[0]
        by_label[label] = {**counts.estimates()[0], **rank}
        whole.append(counts)
    everything = np.ones((1, len(rows)), dtype=np.bool_)
    unsafe = examples.unsafe[rows]
    overall = {
        **decided(unsafe, np.asarray(flagged.any(axis=1)), everything, draws).estimates()[0],
        **ranked(unsafe, p.max(axis=1), everything, draws)[0],
    }
    f1 = METRICS["f1"]
    points = np.array([float(f1(one.point)[0]) for one in whole])
    resampled = np.stack([f1(one.resampled)[:, 0] for one in whole], axis=1)
    return Measured(
        n=len(rows),
        labels=by_label,
        overall=overall,
        macro_f1=mean_over(points, resampled, range(len(whole))),
        ece=_ece(examples, targets, known, raw, p),
        p=p,
        given=data.given,
        caveats=_caveats(data, len(rows)),
    )


def _ece(
    examples: Examples, targets: Bools, known: Bools, raw: Float32, p: Float32
) -> dict[str, tuple[float | None, float | None]]:
    found = {}
    for k, label in enumerate(examples.labels):
        mine = known[:, k]
        found[label] = (
            expected_calibration_error(targets[mine, k], raw[mine, k], equal_mass(raw[mine, k])),
            expected_calibration_error(targets[mine, k], p[mine, k], equal_mass(p[mine, k])),
        )
    return found


def _caveats(data: TrainingSet, n: int) -> list[Caveat]:
    found = []
    if data.stand_in:
        told = "The set is a drawn stand-in: the model knows its glyphs, nothing about real images."
        found.append(Caveat("stand-in", told))
    if data.prints is not None and not data.prints.perceptual.any():
        told = (
            "Only copies of one file were looked for: images that look alike can be in two parts, "
            "and then these numbers and the thresholds' promises flatter."
        )
        found.append(Caveat("near-duplicates-unknown", told))
    if n < _FEW:
        found.append(Caveat("few-test-images", f"{n} test images make rough numbers."))
    return found


def _told(one: Estimate) -> str:
    if one.value is None:
        return "undefined"
    if one.low is None or one.high is None:
        return f"{one.value:.3f}"
    return f"{one.value:.3f} ({one.low:.3f}..{one.high:.3f})"
