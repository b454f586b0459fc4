"""How right the classifier is: the paper's Table 4, and what that table does not say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vedette.bench import paper
from vedette.bench.evidence import Caveat, Cell, Evidence, Figure, Series, Table
from vedette.bench.measured import (
    OVERALL,
    SHIPPED_RULE,
    Measured,
    Part,
    Thresholds,
    View,
    measure,
    thresholds_on,
)
from vedette.bench.metrics.confusion import METRICS
from vedette.bench.metrics.estimates import Estimate
from vedette.bench.metrics.ranking import RANK_METRICS, pr_curve, roc_curve, thinned
from vedette.bench.predictions import SHIPPED, Predictions
from vedette.bench.tasks.base import Context
from vedette.taxonomy import Category

_HEADS = {
    "f1": "F1",
    "precision": "Precision",
    "recall": "Recall",
    "fpr": "FPR",
    "fnr": "FNR",
    "accuracy": "Accuracy",
    "macro_f1": "Macro-F1",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "fpr_at_95_tpr": "FPR at 95 % TPR",
}
_ANY = "Any covered category"
_FEW = 10
"""Images of a class below which a bootstrap has too little to draw from."""


class Effectiveness:
    """F1 and its kin, per category and source, with intervals."""

    name = "effectiveness"
    summary = "F1, precision, recall, AUROC and more, per category and source (Table 4)"

    def fits(self, context: Context) -> str | None:
        """It needs images that the classifier can be asked about."""
        return unfit(context.predictions)

    def run(self, context: Context) -> Evidence:
        """Measure, and show what was measured.

        ``official`` gives the paper's table only: F1 at the shipped threshold, no intervals.
        """
        predictions, options = context.predictions, context.options
        official = options.protocol == "official"
        chosen = None
        if context.validation is not None and not official:
            chosen = thresholds_on(context.validation)
        found = measure(predictions, chosen, 0 if official else options.bootstrap, options.seed)
        tables = [_table_4(one, context.card.name, official, chosen) for one in found]
        figures: list[Figure] = []
        if not official:
            tables += [_everything(one) for one in found]
            if chosen is not None:
                tables.append(_thresholds(chosen))
            figures = [*_bars(found), *(curve for one in found for curve in _curves(one, context))]
        whole = found[-1]
        return Evidence(
            metrics={
                "images": len(predictions),
                "not_scored": len(predictions.failed),
                "outside_coverage": int((~predictions.in_coverage).sum()),
                "covered": [c.value for c in Category if predictions.covered[c.position]],
                "pooled": whole.as_json(),
                "sources": {one.view.source: one.as_json() for one in found[:-1]},
                "thresholds": _thresholds_json(chosen),
            },
            tables=tables,
            figures=figures,
            warnings=[*not_scored(predictions), *_caveats(whole, predictions)],
        )


def unfit(predictions: Predictions) -> str | None:
    """Why nothing can be measured on predictions; None where something can."""
    if not len(predictions):
        return "no image of the set was scored"
    if not predictions.in_coverage.any():
        return "the classifier sees none of the categories that the set has images of"
    return None


def not_scored(predictions: Predictions) -> list[Caveat]:
    """That images are missing from the numbers, where some are."""
    failed = len(predictions.failed)
    if not failed:
        return []
    return [
        Caveat(
            "not-scored",
            f"{failed} of {failed + len(predictions)} images could not be scored and are in no "
            "number here. They count neither as right nor as wrong.",
        )
    ]


def cell(found: Estimate, n: int, printed: float | None = None) -> Cell:
    """An estimate in a table."""
    return Cell(found.value, found.low, found.high, paper=printed, n=n)


def _table_4(one: Measured, model: str, official: bool, chosen: Thresholds | None) -> Table:
    view, row = one.view, paper.row_of(model)

    def printed(category: Category | None) -> float | None:
        return paper.f1(view.paper, row, category) if view.paper and row else None

    rows = {}
    for rule in one.overall.rules:
        cells = []
        for category in Category:
            part = one.categories.get(category)
            # The paper chose no threshold: its number stands beside the shipped one's only.
            beside = printed(category) if rule == SHIPPED_RULE else None
            cells.append(cell(part.rules[rule]["f1"], part.n, beside) if part else Cell(None))
        beside = printed(None) if rule == SHIPPED_RULE else None
        rows[rule] = [*cells, cell(one.overall.rules[rule]["f1"], one.overall.n, beside)]
    said = "F1 of unsafe; each image is asked about its own category. Overall pools their images."
    if not official and chosen is None:
        said += " There is no validation split to choose a threshold on: only as shipped."
    elif not official:
        said += " Best thresholds have the highest F1 on the validation split."
    return Table(
        name=f"f1-{view.slug}",
        title=f"F1: {view.title}",
        columns=[*(c.value for c in Category), OVERALL],
        rows=rows,
        row="threshold",
        caption=said,
        like="Table 4",
        model_is_row=True,
    )


def _everything(one: Measured) -> Table:
    rows = {c.value: _whole_row(part) for c, part in one.categories.items()}
    rows[OVERALL] = _whole_row(one.overall)
    rows[_ANY] = _whole_row(one.any)
    return Table(
        name=f"metrics-{one.view.slug}",
        title=f"All metrics: {one.view.title}",
        columns=["Images", "Unsafe", *(_HEADS[name] for name in (*METRICS, *RANK_METRICS))],
        rows=rows,
        row="category",
        caption=(
            "At the threshold as shipped; AUROC, AUPRC and FPR at 95 % TPR need none. Macro-F1 is "
            "the mean of the F1 of unsafe and of safe. The last row asks every image, whatever "
            "its category, whether it is unsafe in any category that the classifier sees. "
            "Intervals: percentile bootstrap over groups of near-duplicates."
        ),
    )


def _whole_row(part: Part) -> list[Cell]:
    found = {**part.rules[SHIPPED_RULE], **part.ranking}
    numbers = [cell(found[name], part.n) for name in (*METRICS, *RANK_METRICS)]
    return [Cell(part.n), Cell(part.unsafe), *numbers]


def _thresholds(chosen: Thresholds) -> Table:
    every = {c.value: one for c, one in chosen.own.items()}
    every["All categories"] = chosen.single
    return Table(
        name="thresholds",
        title="Thresholds",
        columns=["As shipped", "Best on validation", "F1 on validation", "Images of validation"],
        rows={
            name: [
                Cell(SHIPPED),
                Cell(one.value if one else None),
                Cell(one.f1 if one else None),
                Cell(one.n if one else None),
            ]
            for name, one in every.items()
        },
        row="category",
        caption=(
            "A category without a threshold has no unsafe image in the validation split; the one "
            "for all categories decides about it. F1 is higher here than on other images."
        ),
    )


def _thresholds_json(chosen: Thresholds | None) -> dict[str, object] | None:
    if chosen is None:
        return None
    own = {c.value: one.value if one else None for c, one in chosen.own.items()}
    return {"single": chosen.single.value if chosen.single else None, "categories": own}


def _bars(found: Iterable[Measured]) -> list[Figure]:
    series = []
    for one in found:
        parts = {**{c.value: part for c, part in one.categories.items()}, OVERALL: one.overall}
        f1 = {name: part.rules[SHIPPED_RULE]["f1"] for name, part in parts.items()}
        shown = {name: value for name, value in f1.items() if value.value is not None}
        if not shown:
            continue
        series.append(
            Series(
                one.view.title,
                list(shown),
                [_number(value.value) for value in shown.values()],
                _all_or_none([value.low for value in shown.values()]),
                _all_or_none([value.high for value in shown.values()]),
            )
        )
    if not series:
        return []
    caption = "At the threshold as shipped."
    return [Figure("f1", "F1 by category", "bars", series, "category", "F1", caption)]


def _curves(one: Measured, context: Context) -> list[Figure]:
    predictions, view = context.predictions, one.view
    asked, seen = predictions.asked, predictions.in_coverage & view.rows
    chosen = {c.value: seen & (predictions.category == c.position) for c in one.categories}
    chosen[OVERALL] = seen
    roc: list[Series] = []
    pr: list[Series] = []
    for name, rows in chosen.items():
        unsafe, scores = predictions.unsafe[rows], asked[rows]
        for curves, curve in ((roc, roc_curve(unsafe, scores)), (pr, pr_curve(unsafe, scores))):
            if curve is not None:
                curves.append(Series(name, *thinned(curve)))
    drawn = []
    if roc:
        drawn.append(_curve(view, "roc", "ROC", roc, "false positive rate", "true positive rate"))
    if pr:
        drawn.append(_curve(view, "pr", "Precision and recall", pr, "recall", "precision"))
    return drawn


def _curve(view: View, name: str, title: str, series: Sequence[Series], x: str, y: str) -> Figure:
    return Figure(
        name=f"{name}-{view.slug}",
        title=f"{title}: {view.title}",
        kind="lines",
        series=series,
        x=x,
        y=y,
        caption="At most 200 points of each curve are drawn.",
        diagonal=name == "roc",
    )


def _caveats(whole: Measured, predictions: Predictions) -> list[Caveat]:
    found = []
    if len(predictions) and (predictions.category < 0).all():
        found.append(
            Caveat(
                "no-categories",
                "No image of the set has a category: each is asked with the classifier's highest "
                "probability, and only Overall can be measured.",
            )
        )
    one_class = [c.value for c, part in whole.categories.items() if not (part.unsafe and part.safe)]
    if one_class:
        found.append(
            Caveat(
                "one-class",
                f"Only safe or only unsafe images: {', '.join(one_class)}. Precision, F1 and "
                "AUROC say nothing about telling them apart there.",
            )
        )
    few = [
        c.value
        for c, part in whole.categories.items()
        if c.value not in one_class and min(part.unsafe, part.safe) < _FEW
    ]
    if few:
        found.append(
            Caveat(
                "few-images",
                f"Fewer than {_FEW} safe or unsafe images: {', '.join(few)}. A bootstrap "
                "interval of so few is too narrow.",
            )
        )
    return found


def _all_or_none(values: Sequence[float | None]) -> list[float] | None:
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else None


def _number(value: float | None) -> float:
    assert value is not None
    return value


TASK = Effectiveness()
