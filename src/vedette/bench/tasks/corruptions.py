"""Corruptions and evasion: what a classifier still sees in a picture that was changed.

The fifteen kinds of ImageNet-C and what evaders do, each at its severities. Every sampled image is
perturbed in every way and scored as a file, by the way that an upload takes.

Source: Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations" (2019); the evasions are our own collection.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vedette.bench.evidence import Cell, Evidence, Figure, Table
from vedette.bench.perturbations.asking import caveats, line, unfit
from vedette.bench.perturbations.base import Perturbation
from vedette.bench.perturbations.measures import Asked, Shares, scaled
from vedette.bench.perturbations.registry import perturbations
from vedette.bench.perturbations.scoring import CLEAN, ask
from vedette.bench.sample import sample
from vedette.bench.tasks.base import Context

FAMILIES = ("noise", "blur", "weather", "digital", "evasion")
"""Of :class:`~vedette.bench.perturbations.base.Perturbation`, without the styles: these are
:mod:`vedette.bench.tasks.styles`."""
ALL = "all"

Families = Mapping[str, Sequence[Perturbation]]
"""Kinds by family, and all of them under :data:`ALL`."""

_CAPTION = (
    "A sample drawn evenly from sources, safe and unsafe: not the shares of the whole set. Asked "
    "about each image's own category. A picture that could not be scored counts as wrong."
)


class CorruptionsTask:
    """ImageNet-C's corruptions and evaders' changes, by kind and severity, and the worst of all."""

    name = "corruptions"
    summary = "corruptions (ImageNet-C) and evasions, by kind and severity; the worst of all"

    def fits(self, context: Context) -> str | None:
        """See :class:`vedette.bench.tasks.base.Task`."""
        return unfit(context)

    def run(self, context: Context) -> Evidence:
        """See :class:`vedette.bench.tasks.base.Task`.

        Raises:
            VedetteError: see :func:`vedette.bench.perturbations.scoring.ask`.
        """
        options, predictions = context.options, context.predictions
        every = [kind for kind in perturbations().values() if kind.family in FAMILIES]
        families: Families = {
            **{name: [kind for kind in every if kind.family == name] for name in FAMILIES},
            ALL: every,
        }
        rows = sample(predictions, options.images, options.seed, predictions.in_coverage)
        said = ask(context, rows, every)
        asked = Asked(predictions.rows(rows), said, options.bootstrap, options.seed)
        measured = _Measured(asked, families)
        tables = [_summary(measured)]
        figures = []
        for name in FAMILIES:
            tables += [_by_severity(measured, name), _in_detail(measured, name)]
            figures.append(_over_severity(measured, name))
        return Evidence(
            metrics=measured.as_json(),
            tables=tables,
            figures=[*figures, _worst_over_severity(measured)],
            warnings=caveats(context, said),
        )


class _Measured:
    """All shares: by variant, by kind and by family, each computed once for all of them."""

    def __init__(self, asked: Asked, families: Families) -> None:
        said = asked.said
        self.images = len(asked.images)
        self.families = families
        self.clean = said.columns(CLEAN)[0]
        self.columns = {kind.name: said.columns(kind.name) for kind in families[ALL]}
        self.accuracy = asked.accuracy()
        self._shares = (
            self.accuracy,
            asked.f1(),
            asked.accuracy(asked.images.unsafe),
            asked.evaded(),
            asked.alarmed(),
        )
        self._failed = (~said.scored).sum(axis=0)
        self._kind_means = asked.mean_accuracy([[columns] for columns in self.columns.values()])
        sets = [self.up_to(name) for name in families]
        self.worst: dict[str, Shares] = {
            "mean_accuracy": asked.mean_accuracy(
                [[self.columns[kind.name] for kind in kinds] for kinds in families.values()]
            ),
            "worst_of_all": asked.worst(sets),
            "worst_of_right": asked.worst(sets, asked.clean),
            "worst_of_unsafe": asked.worst(sets, asked.images.unsafe),
            "worst_of_safe": asked.worst(sets, ~asked.images.unsafe),
        }
        """By measure, a share for each of ``families``."""
        self.steps = [(name, at) for name in families for at in range(1, self.most(name) + 1)]
        self.worst_up_to = asked.worst([self.up_to(name, at) for name, at in self.steps])

    def most(self, family: str) -> int:
        """Severities of the kind that has most."""
        return max(len(kind.levels) for kind in self.families[family])

    def up_to(self, family: str, severity: int | None = None) -> list[int]:
        """Columns of a family's kinds; up to a severity, or all."""
        return [
            column
            for kind in self.families[family]
            for column in self.columns[kind.name][:severity]
        ]

    def mean(self, kind: str) -> Cell:
        """Accuracy over the severities of a kind."""
        return self._kind_means.cell(list(self.columns).index(kind))

    def cells(self, column: int) -> list[Cell]:
        """All measures of one variant, in the order of :data:`_MEASURES`."""
        return [
            *(share.cell(column) for share in self._shares),
            Cell(int(self._failed[column]), n=self.images),
        ]

    def as_json(self) -> dict[str, Any]:
        """For the result."""
        return {
            "images": self.images,
            "clean": self._numbers(self.clean),
            "kinds": {
                kind.name: {
                    "family": kind.family,
                    "mean_accuracy": self.mean(kind.name).value,
                    "severities": [
                        {"level": level, **self._numbers(column)}
                        for level, column in zip(kind.levels, self.columns[kind.name], strict=True)
                    ],
                }
                for kind in self.families[ALL]
            },
            "families": {
                family: {name: scaled(share.value[at]) for name, share in self.worst.items()}
                for at, family in enumerate(self.families)
            },
        }

    def _numbers(self, column: int) -> dict[str, Any]:
        pairs = zip(_MEASURES, self.cells(column), strict=True)
        return {name: cell.value for name, cell in pairs}


_MEASURES = {
    # name in the metrics: heading of the column
    "accuracy": "accuracy",
    "f1": "F1",
    "recall": "recall of unsafe",
    "unsafe_to_safe": "unsafe → safe",
    "safe_to_unsafe": "safe → unsafe",
    "failed": "not scored",
}


def _summary(measured: _Measured) -> Table:
    clean = measured.accuracy.cell(measured.clean)
    return Table(
        name="corruptions",
        title="Corruptions and evasion",
        columns=(
            *("kinds", "K", "clean accuracy", "mean accuracy", "worst of K"),
            *("worst of K, of those right when clean", "worst of K, unsafe", "worst of K, safe"),
        ),
        rows={
            family: [
                Cell(len(kinds)),
                Cell(len(measured.up_to(family))),
                clean,
                *(share.cell(at) for share in measured.worst.values()),
            ]
            for at, (family, kinds) in enumerate(measured.families.items())
        },
        row="family",
        caption=(
            "K: perturbed pictures of each image. Mean: over kinds, of each one's mean over "
            f"severities. Worst of K: images right about all K pictures. {_CAPTION}"
        ),
    )


def _by_severity(measured: _Measured, family: str) -> Table:
    most = measured.most(family)
    rows = {}
    for kind in measured.families[family]:
        cells = [measured.accuracy.cell(column) for column in measured.columns[kind.name]]
        missing = [Cell(None) for _ in range(most - len(cells))]
        rows[kind.name] = [*cells, *missing, measured.mean(kind.name)]
    return Table(
        name=f"corruptions-{family}",
        title=f"Accuracy under {family}, by severity",
        columns=(*(str(at + 1) for at in range(most)), "mean"),
        rows=rows,
        row="kind",
        caption=f"1 is mild. Severities of different kinds cannot be compared. {_CAPTION}",
    )


def _in_detail(measured: _Measured, family: str) -> Table:
    return Table(
        name=f"corruptions-{family}-detail",
        title=f"All measures under {family}",
        columns=tuple(_MEASURES.values()),
        rows={
            f"{kind.name} {at} ({level:g})": measured.cells(column)
            for kind in measured.families[family]
            for at, (level, column) in enumerate(
                zip(kind.levels, measured.columns[kind.name], strict=True), start=1
            )
        },
        row="kind, severity (level)",
        caption=(
            "Unsafe → safe: of the unsafe images found when clean, the share that passes now. "
            "Safe → unsafe: of the safe images passed when clean, the share flagged now. "
            f"Not scored: images. {_CAPTION}"
        ),
    )


def _over_severity(measured: _Measured, family: str) -> Figure:
    return Figure(
        name=f"corruptions-{family}",
        title=f"Accuracy under {family}",
        kind="lines",
        series=[
            line(
                kind.name,
                range(len(kind.levels) + 1),
                [
                    measured.accuracy.cell(column)
                    for column in (measured.clean, *measured.columns[kind.name])
                ],
            )
            for kind in measured.families[family]
        ],
        x="severity (0: clean)",
        y="accuracy",
        caption="With 95 % intervals. Severities of different kinds cannot be compared.",
    )


def _worst_over_severity(measured: _Measured) -> Figure:
    clean = measured.accuracy.cell(measured.clean)
    series = []
    for family in measured.families:
        at = [number for number, (name, _) in enumerate(measured.steps) if name == family]
        cells = [clean, *(measured.worst_up_to.cell(number) for number in at)]
        series.append(line(family, range(len(cells)), cells))
    return Figure(
        name="corruptions-worst",
        title="Images right under every kind up to a severity",
        kind="lines",
        series=series,
        x="severity (0: clean)",
        y="share of all images",
        caption="The worst of all pictures of an image decides. With 95 % intervals.",
    )


TASK = CorruptionsTask()
