"""The report of a training: one page that stands alone in the model folder.

Curves, confusion, reliability and thresholds, the images that it is most wrong about (blurred),
and all that is needed to do it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vedette.bench.evidence import Cell, Evidence, Figure, Series, Table
from vedette.bench.metrics.calibration import equal_mass, reliability
from vedette.bench.metrics.confusion import Bools
from vedette.bench.metrics.estimates import Estimate
from vedette.bench.report.document import Document, Section, Warned, section
from vedette.bench.report.page import write_page
from vedette.bench.report.tables import Grid, Row
from vedette.bench.report.thumbnails import thumbnails
from vedette.calibrate import sigmoid
from vedette.data.synth.card import NOTICE
from vedette.data.vault.source import VaultSource
from vedette.models.base import ModelCard
from vedette.settings import Settings
from vedette.train.calibration.labels import Calibrated
from vedette.train.data import TrainingSet, hashes_of
from vedette.train.examples import PARTS, Examples
from vedette.train.measured import OVERALL, SHIPPED, Measured
from vedette.types import Float32

if TYPE_CHECKING:
    from vedette.train.finishing import Outcome

_METRICS = {
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    "fpr": "false alarms",
    "auroc": "AUROC",
    "auprc": "AUPRC",
}
_WORST = 8
"""Images shown of each kind of error."""
_BINS = 10


def write_report(
    path: Path,
    card: ModelCard,
    data: TrainingSet,
    outcome: Outcome,
    told: Calibrated,
    found: Measured,
    account: Mapping[str, Any],
) -> None:
    """Write the page.

    Raises:
        VedetteError: ``write_failed``.
        MissingExtraError: matplotlib is not installed.
    """
    parts = [
        ("Measured on held-out images", _measured(data.examples, found)),
        ("Calibration and thresholds", _calibration(data.examples, outcome, told, found)),
        ("The training", Evidence({}, (), _curves(outcome))),
        ("Most wrong about", _worst(data, found)),
    ]
    sections: list[Section] = [
        section(f"section-{number}", title, "", [("", evidence)])
        for number, (title, evidence) in enumerate(parts, start=1)
        if evidence.tables or evidence.figures
    ]
    page = Document(
        title=f"Training of {card.id}",
        lead=f"{card.summary}. {found.line}.",
        notices=[NOTICE] if data.stand_in else [],
        warnings=[Warned(caveat.code, caveat.message) for caveat in found.caveats],
        judged=False,
        about=_about(card, account),
        sections=sections,
        hashes={} if data.prints is None else hashes_of(data.prints),
    )
    write_page(_with_pictures(page, data), path)


def _with_pictures(page: Document, data: TrainingSet) -> Document:
    """The page with blurred pictures, where there are some and their terms let them be passed on.

    A model folder is made to be passed on. What lies in the vault leaves it by an export alone.
    """
    if data.source is None or isinstance(data.source, VaultSource):
        return page
    if data.card is not None and not data.card.redistribution:
        return page
    return replace(page, thumbnails=thumbnails(page.wanted(), data.source, Settings()))


def _measured(examples: Examples, found: Measured) -> Evidence:
    if not found.n:
        return Evidence({})
    rows = examples.rows("test")
    every = {OVERALL: found.overall, **found.labels}
    positives = {
        label: int((examples.targets[rows, k] & examples.known[rows, k]).sum())
        for k, label in enumerate(examples.labels)
    }
    positives[OVERALL] = int(examples.unsafe[rows].sum())
    scores = Table(
        "scores",
        "Scores",
        ("unsafe images", *_METRICS.values()),
        {
            label: [Cell(positives[label]), *(_cell(told[name]) for name in _METRICS)]
            for label, told in every.items()
        },
        row="label",
        caption=(
            f"On {found.n:,} test images; flagged is a calibrated probability of {SHIPPED:g} or "
            "more. Intervals: 95 %, by bootstrap over groups of near-duplicates."
        ),
    )
    return Evidence({}, (scores, *_confusion(examples, found)))


def _cell(one: Estimate) -> Cell:
    return Cell(one.value, one.low, one.high)


def _confusion(examples: Examples, found: Measured) -> Iterable[Table]:
    rows = examples.rows("test")
    flagged = np.asarray(found.p >= SHIPPED)
    counts = {}
    for k, label in enumerate(examples.labels):
        known = examples.known[rows, k]
        target, said = examples.targets[rows, k][known], flagged[known, k]
        counts[label] = _counted(target, said)
    counts[OVERALL] = _counted(examples.unsafe[rows], np.asarray(flagged.any(axis=1)))
    yield Table(
        "confusion",
        "Confusion",
        ("unsafe, flagged", "unsafe, missed", "safe, flagged", "safe, passed"),
        counts,
        row="label",
        caption="Images, at the same threshold.",
    )
    if len(examples.labels) < 2:
        return
    names = (*examples.labels, "nothing")
    highest = found.p.argmax(axis=1)
    answer = np.where(flagged.any(axis=1), highest, len(examples.labels))
    table = {}
    for k, label in enumerate(examples.labels):
        mine = examples.targets[rows, k]
        table[label] = [Cell(int((answer[mine] == at).sum())) for at in range(len(names))]
    safe = ~examples.unsafe[rows]
    table["safe"] = [Cell(int((answer[safe] == at).sum())) for at in range(len(names))]
    yield Table(
        "answers",
        "What it says instead",
        names,
        table,
        row="labelled",
        caption="Images by their label (rows) and by the most probable flagged label (columns).",
    )


def _counted(target: Bools, said: Bools) -> list[Cell]:
    pairs = ((target & said), (target & ~said), (~target & said), (~target & ~said))
    return [Cell(int(one.sum())) for one in pairs]


def _calibration(
    examples: Examples, outcome: Outcome, told: Calibrated, found: Measured
) -> Evidence:
    curves = told.calibration.of if told.calibration is not None else {}
    rows = {}
    for label in examples.labels:
        before, after = found.ece[label]
        curve, chosen = curves.get(label), told.thresholds.get(label)
        rows[label] = [
            Cell("none" if curve is None else curve.method),
            Cell(0 if curve is None else curve.n),
            Cell(before),
            Cell(after),
            Cell(None if chosen is None else chosen.value),
            Cell(None if chosen is None else chosen.promised),
        ]
    table = Table(
        "calibration",
        "Calibration and thresholds",
        ("curve", "images", "ECE before", "ECE after", "threshold", "what it promises"),
        rows,
        row="label",
        caption=(
            "Curves and thresholds were fitted on the part calibration, which the training has not "
            "seen; ECE is measured on the test images, in bins of equal mass. The thresholds are "
            "those of policy.toml."
        ),
    )
    if not found.n:
        return Evidence({}, (table,))
    at = examples.rows("test")
    known = examples.known[at]
    target = examples.targets[at][known]
    raw = sigmoid(outcome.logits["test"]).astype(np.float32)[known]
    series = [Series("calibrated", *_reliability(target, found.p[known]))]
    if curves:
        series.insert(0, Series("before", *_reliability(target, raw)))
    figure = Figure(
        "reliability",
        "Reliability",
        "lines",
        series,
        x="mean probability of a bin",
        y="share that is unsafe",
        caption="All labels together, test images, ten bins of equal mass.",
        diagonal=True,
    )
    return Evidence({}, (table,), (figure,))


def _reliability(target: Bools, p: Float32) -> tuple[list[float], list[float]]:
    bins = reliability(target, p, equal_mass(p, _BINS))
    return [one.p for one in bins], [one.unsafe for one in bins]


def _curves(outcome: Outcome) -> list[Figure]:
    """One figure for each kind of value: losses together, F1 alone, and so on."""
    names = list(dict.fromkeys(name for one in outcome.history for name in one.values))
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(name.split()[-1], []).append(name)
    figures = []
    for kind, members in kinds.items():
        series = []
        for name in members:
            told = [(one.number, one.values[name]) for one in outcome.history if name in one.values]
            series.append(Series(name, [x for x, _ in told], [y for _, y in told]))
        figures.append(
            Figure(f"curve-{kind}", kind.capitalize(), "lines", series, x="epoch", y=kind)
        )
    return figures


def _worst(data: TrainingSet, found: Measured) -> Evidence:
    if not found.n:
        return Evidence({})
    examples, rows = data.examples, data.examples.rows("test")
    highest = found.p.max(axis=1)
    unsafe = examples.unsafe[rows]
    alarms = [i for i in np.argsort(-highest, kind="stable") if not unsafe[i]]
    misses = [i for i in np.argsort(highest, kind="stable") if unsafe[i]]
    keys: dict[str, Sequence[str]] = {
        "safe, with the highest probabilities": [
            examples.keys[rows[i]] for i in alarms[:_WORST] if highest[i] >= SHIPPED
        ],
        "unsafe, with the lowest probabilities": [
            examples.keys[rows[i]] for i in misses[:_WORST] if highest[i] < SHIPPED
        ],
    }
    kept = {heading: some for heading, some in keys.items() if some}
    if not kept:
        return Evidence({})
    figure = Figure("worst", "Most wrong about", "images", keys=kept)
    return Evidence({}, (), (figure,))


def _about(card: ModelCard, account: Mapping[str, Any]) -> list[Grid]:
    data = account["data"]
    run = {
        "command": account["command"],
        "seed": account["seed"],
        "trained from": account["base"],
        "parameters": _count(account["parameters"]),
        "parameters trained": _count(account["trained_parameters"]),
        "seconds": account["seconds"],
        **{f"option {name}": value for name, value in account["options"].items()},
    }
    images = {part: f"{data['images'][part]:,}" for part in PARTS}
    left_out = ", ".join(f"{name} ({count})" for name, count in data["left_out"].items())
    told = {
        "data": data["given"],
        "sha256 of the data": data["sha256"][:16],
        "published set": data["set"] or "none",
        **{f"images, {part}": count for part, count in images.items()},
        "left out: too few images": left_out or "none",
        "licence": card.licence,
        "terms": card.terms,
        "trained on": card.trained_on,
    }
    return [
        _grid("The run", run),
        _grid("Data and terms", told),
        _grid("Versions", account["versions"]),
    ]


def _count(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else "not stated"


def _grid(title: str, values: Mapping[str, Any]) -> Grid:
    rows = [Row((name,), [Cell(str(value))]) for name, value in values.items()]
    return Grid(title, ("",), ("",), rows)
