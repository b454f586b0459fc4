"""How sure a classifier is of its decisions: means and quartiles with intervals, densities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vedette.bench.evidence import Cell, Figure, Series
from vedette.bench.metrics.bootstrap import Resampling
from vedette.bench.metrics.confusion import share
from vedette.bench.metrics.estimates import Estimate, estimate
from vedette.bench.predictions import Bools, Predictions

Float64 = NDArray[np.float64]

COLUMNS = ("mean", "25 %", "median", "75 %")
_QUARTILES = (0.25, 0.5, 0.75)
_FINE = 1_000
"""Bins over 0..1 that quartiles of resamples are read from."""
_BINS = 20


def confidences(predictions: Predictions) -> Float64:
    """The probability of the decision that was taken about each image's own category.

    float64 [n]: p where it was flagged, 1 - p where it was not. At least 0.5 but where a
    classifier decides by something else than its probabilities.
    """
    p = predictions.asked.astype(np.float64)
    return np.where(predictions.flagged_asked, p, 1 - p)


@dataclass(frozen=True, slots=True)
class Summary:
    """Of the values of some images."""

    n: int
    mean: Estimate
    quartiles: tuple[Estimate, ...]
    """25 %, 50 %, 75 %."""

    def cells(self) -> list[Cell]:
        """In the order of :data:`COLUMNS`."""
        return [Cell(e.value, e.low, e.high, n=self.n) for e in (self.mean, *self.quartiles)]

    def as_json(self) -> dict[str, object]:
        """For a result."""
        named = zip(("q25", "median", "q75"), self.quartiles, strict=True)
        return {
            "n": self.n,
            "mean": self.mean.as_json(),
            **{name: one.as_json() for name, one in named},
        }


def summary(values: Float64, member: Bools, draws: Resampling) -> Summary:
    """Mean and quartiles of some images' values.

    Args:
        values: float64 [n], 0..1.
        member: bool [n], the images.
        draws: of the n images. Quartiles of resamples are exact to 0.001.
    """
    own = values[member]
    if not len(own):
        nothing = Estimate(None)
        return Summary(0, nothing, (nothing,) * len(_QUARTILES))
    sums = draws.sums(np.column_stack([member, np.where(member, values, 0)]))
    mean = estimate(own.mean(), share(sums[:, 1], sums[:, 0]))
    # Only bins that some image is in, so that thousands of resamples stay small.
    bins = np.minimum((own * _FINE).astype(np.int64), _FINE - 1)
    used, place = np.unique(bins, return_inverse=True)
    one_hot = np.zeros((len(values), len(used)), dtype=np.bool_)
    one_hot[np.flatnonzero(member), place.reshape(-1)] = True
    cumulated = draws.sums(one_hot).cumsum(axis=1)
    total = cumulated[:, -1]
    points = np.quantile(own, _QUARTILES)
    quartiles = []
    for part, point in zip(_QUARTILES, points, strict=True):
        at = (cumulated >= part * total[:, None]).argmax(axis=1)
        drawn = np.where(total > 0, (used[at] + 0.5) / _FINE, np.nan)
        found = estimate(point, drawn)
        # The bins' centres must not put the value itself outside.
        quartiles.append(_around(found))
    return Summary(len(own), mean, tuple(quartiles))


def _around(found: Estimate) -> Estimate:
    if found.value is None or found.low is None or found.high is None:
        return found
    return Estimate(found.value, min(found.low, found.value), max(found.high, found.value))


def density(
    figure: Figure, values: Float64, members: Mapping[str, Bools], span: tuple[float, float]
) -> Figure:
    """The figure with a density of the values for each set of images that is not empty.

    Args:
        figure: its names and axes.
        values: float64 [n]; those outside ``span`` go to its ends.
        members: bool [n] by the series' name.
        span: of the bins.
    """
    edges = np.linspace(*span, _BINS + 1)
    centres = [float(value) for value in (edges[1:] + edges[:-1]) / 2]
    series = [
        Series(name, centres, _shares(np.clip(values[member], *span), edges))
        for name, member in members.items()
        if member.any()
    ]
    return Figure(
        name=figure.name,
        title=figure.title,
        kind="density",
        series=series,
        x=figure.x,
        y="share of images",
        caption=figure.caption,
        like=figure.like,
    )


def _shares(values: Float64, edges: Float64) -> Sequence[float]:
    counts, _ = np.histogram(values, bins=edges)
    return [float(count) / len(values) for count in counts]
