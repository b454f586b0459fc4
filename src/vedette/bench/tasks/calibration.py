"""Whether probabilities mean what they say, and what a band of human review would save."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vedette.bench.evidence import Caveat, Cell, Evidence, Figure, Series, Table
from vedette.bench.measured import OVERALL, View, views
from vedette.bench.metrics.bootstrap import Resampling, resampling
from vedette.bench.metrics.calibration import (
    BINS,
    Band,
    Bin,
    Brier,
    band_sums,
    brier,
    brier_of,
    columns_of,
    distance_of,
    ece_of,
    equal_mass,
    equal_width,
    reliability,
    review_curve,
)
from vedette.bench.metrics.confusion import Bools
from vedette.bench.metrics.estimates import Estimate, estimate
from vedette.bench.predictions import SHIPPED, Predictions
from vedette.bench.tasks.base import Context
from vedette.bench.tasks.effectiveness import cell, not_scored, unfit
from vedette.taxonomy import Category
from vedette.types import Float32

_WIDTHS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.45)
"""Half-widths of the review bands of the table."""
_MOST_POINTS = 200
_FEW = 100
"""Images below which most of 15 bins are nearly empty."""


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """The images of one part, as they were asked about."""

    unsafe: Bools
    flagged: Bools
    p: Float32
    draws: Resampling


@dataclass(frozen=True, slots=True)
class _Calibrated:
    """Calibration of one part."""

    n: int
    ece: Estimate
    ece_equal_mass: Estimate
    score: Estimate
    brier: Brier

    def as_json(self) -> dict[str, object]:
        return {
            "n": self.n,
            "ece": self.ece.as_json(),
            "ece_equal_mass": self.ece_equal_mass.as_json(),
            "brier": self.score.as_json(),
            "reliability": self.brier.reliability,
            "resolution": self.brier.resolution,
            "uncertainty": self.brier.uncertainty,
        }


@dataclass(frozen=True, slots=True)
class _Bands:
    """Review bands of one part, at the widths of the table."""

    reviewed: Sequence[Estimate]
    error: Sequence[Estimate]
    curve: Sequence[Band]

    def as_json(self) -> list[dict[str, object]]:
        return [
            {"half_width": width, "reviewed": seen.as_json(), "error": left.as_json()}
            for width, seen, left in zip(_WIDTHS, self.reviewed, self.error, strict=True)
        ]


class Calibration:
    """Expected calibration error, Brier score, reliability, review bands."""

    name = "calibration"
    summary = "ECE, Brier score, reliability diagram, and what a band of human review saves"

    def fits(self, context: Context) -> str | None:
        """It needs images that the classifier can be asked about."""
        return unfit(context.predictions)

    def run(self, context: Context) -> Evidence:
        """Measure per source and, over all sources, per category."""
        predictions, options = context.predictions, context.options
        every = views(predictions)
        seen = predictions.in_coverage

        def asked(rows: Bools) -> _Asked:
            at = np.flatnonzero(rows & seen)
            draws = resampling(predictions.group[at], options.bootstrap, options.seed)
            return _Asked(
                predictions.unsafe[at],
                predictions.flagged_asked[at],
                predictions.asked[at],
                draws,
            )

        parts = {view.slug: asked(view.rows) for view in every}
        calibrated = {slug: _calibrated(part) for slug, part in parts.items()}
        bands = {slug: _bands(part) for slug, part in parts.items()}
        own = {c: predictions.category == c.position for c in Category}
        categories = {
            c.value: _calibrated(asked(rows)) for c, rows in own.items() if (rows & seen).any()
        }
        return Evidence(
            metrics={
                "not_scored": len(predictions.failed),
                "pooled": {
                    **calibrated["pooled"].as_json(),
                    "review_bands": bands["pooled"].as_json(),
                    "categories": {name: one.as_json() for name, one in categories.items()},
                },
                "sources": {
                    view.source: {
                        **calibrated[view.slug].as_json(),
                        "review_bands": bands[view.slug].as_json(),
                    }
                    for view in every
                    if view.source
                },
            },
            tables=[
                _table(
                    "calibration",
                    "Calibration by source",
                    "source",
                    {_row(view): calibrated[view.slug] for view in every},
                ),
                _table(
                    "calibration-categories",
                    "Calibration by category",
                    "category",
                    {**categories, OVERALL: calibrated["pooled"]},
                ),
                *(_review_table(view, bands[view.slug], parts[view.slug]) for view in every),
            ],
            figures=[
                *(_reliability_figure(view, parts[view.slug]) for view in every),
                _review_figure([(view, bands[view.slug]) for view in every]),
            ],
            warnings=[*not_scored(predictions), *_caveats(predictions)],
        )


def _row(view: View) -> str:
    """A source may be called what the whole set is."""
    return view.title if view.source else f"{view.title} (pooled)"


def _calibrated(part: _Asked) -> _Calibrated:
    wide = columns_of(part.unsafe, part.p, equal_width(part.p))
    # Bins of equal mass are the set's own; resamples keep them.
    even = columns_of(part.unsafe, part.p, equal_mass(part.p))
    k = wide.shape[1]
    sums = part.draws.sums(np.hstack([wide, even]))
    return _Calibrated(
        n=len(part.p),
        ece=estimate(ece_of(wide.sum(axis=0)), ece_of(sums[:, :k])),
        ece_equal_mass=estimate(ece_of(even.sum(axis=0)), ece_of(sums[:, k:])),
        score=estimate(brier_of(wide.sum(axis=0)), brier_of(sums[:, :k])),
        brier=brier(part.unsafe, part.p),
    )


def _bands(part: _Asked) -> _Bands:
    wrong = part.unsafe != part.flagged
    distance = distance_of(part.p, SHIPPED)
    reviewed, error = band_sums(wrong, distance, _WIDTHS, part.draws)
    kept = [distance >= width for width in _WIDTHS]
    n = len(wrong)
    return _Bands(
        [
            estimate(1 - one.sum() / n if n else np.nan, reviewed[:, k])
            for k, one in enumerate(kept)
        ],
        [
            estimate(wrong[one].mean() if one.any() else np.nan, error[:, k])
            for k, one in enumerate(kept)
        ],
        review_curve(part.unsafe, part.flagged, part.p, SHIPPED),
    )


def _table(name: str, title: str, row: str, parts: Mapping[str, _Calibrated]) -> Table:
    return Table(
        name=name,
        title=title,
        columns=[
            *("ECE", "ECE, equal mass", "Brier score"),
            *("Reliability", "Resolution", "Uncertainty"),
        ],
        rows={
            label: [
                *(cell(found, one.n) for found in (one.ece, one.ece_equal_mass, one.score)),
                Cell(one.brier.reliability, n=one.n),
                Cell(one.brier.resolution, n=one.n),
                Cell(one.brier.uncertainty, n=one.n),
            ]
            for label, one in parts.items()
        },
        row=row,
        caption=(
            f"ECE: mean distance of the probability from the share of unsafe images, over {BINS} "
            "bins of equal width, and over as many of equal mass. It is above 0 by chance alone "
            "where bins have few images, and more so in resamples. Brier score: mean squared "
            "error; about reliability - resolution + uncertainty."
        ),
        model_is_row=True,
    )


def _review_table(view: View, bands: _Bands, part: _Asked) -> Table:
    n = len(part.p)
    return Table(
        name=f"review-{view.slug}",
        title=f"Review band: {view.title}",
        columns=["Reviewed by people", "Error of the rest"],
        rows={
            f"{SHIPPED:g} \u00b1 {width:g}": [cell(seen, n), cell(left, n)]
            for width, seen, left in zip(_WIDTHS, bands.reviewed, bands.error, strict=True)
        },
        row="band",
        caption=(
            "Images whose probability lies within the band go to people; the rest is decided as "
            "shipped. Shares, 0 to 1."
        ),
    )


def _reliability_figure(view: View, part: _Asked) -> Figure:
    def series(name: str, bins: Sequence[Bin]) -> Series:
        return Series(
            name, [round(one.p, 6) for one in bins], [round(one.unsafe, 6) for one in bins]
        )

    wide = reliability(part.unsafe, part.p, equal_width(part.p))
    even = reliability(part.unsafe, part.p, equal_mass(part.p))
    return Figure(
        name=f"reliability-{view.slug}",
        title=f"Reliability: {view.title}",
        kind="lines",
        series=[series("equal width", wide), series("equal mass", even)],
        x="mean probability of unsafe",
        y="share of unsafe images",
        caption="On the diagonal, probabilities are what they say. Bins without images are absent.",
        diagonal=True,
    )


def _review_figure(parts: Sequence[tuple[View, _Bands]]) -> Figure:
    series = []
    for view, bands in parts:
        drawn = [(one.reviewed, one.error) for one in bands.curve if one.error is not None]
        at = np.unique(np.linspace(0, len(drawn) - 1, min(len(drawn), _MOST_POINTS)).astype(int))
        series.append(
            Series(
                _row(view),
                [round(drawn[k][0], 6) for k in at],
                [round(drawn[k][1], 6) for k in at],
            )
        )
    return Figure(
        name="review",
        title="Review band: coverage and risk",
        kind="lines",
        series=series,
        x="share of images reviewed by people",
        y="error among the rest",
        caption=f"The band grows on both sides of {SHIPPED:g}.",
    )


def _caveats(predictions: Predictions) -> list[Caveat]:
    seen = predictions.in_coverage
    n = int(seen.sum())
    other = int(((predictions.asked >= SHIPPED) != predictions.flagged_asked)[seen].sum())
    found = []
    if other:
        found.append(
            Caveat(
                "own-threshold",
                f"The classifier decides {other} of {n} images otherwise than by a probability of "
                f"{SHIPPED:g}: the review band is not around its own threshold.",
            )
        )
    if 0 < n < _FEW:
        found.append(
            Caveat(
                "few-images",
                f"{n} images are few for {BINS} bins: most of the calibration error may be chance.",
            )
        )
    return found


TASK = Calibration()
