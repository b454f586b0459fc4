"""How sources differ: in their images' looks, in embeddings, in how well they are judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from vedette.bench.evidence import Cell, Figure, Series, Table
from vedette.bench.image_statistics import NAMES
from vedette.bench.metrics.bootstrap import Resampling
from vedette.bench.metrics.confusion import METRICS, share
from vedette.bench.metrics.estimates import Estimate, decided, estimate
from vedette.bench.metrics.significance import holm
from vedette.bench.predictions import Bools, Predictions
from vedette.bench.two_sample import classifier_test, kernel_test, unit_rows
from vedette.types import Float32

Float64 = NDArray[np.float64]
Metrics = dict[str, object]

_BINS = 20
_SHOWN = ("f1", "fnr", "fpr", "accuracy")
_TITLES = {"f1": "F1", "fnr": "FNR", "fpr": "FPR", "accuracy": "accuracy"}


def looks(
    statistics: Float64, members: Mapping[str, Bools], draws: Resampling
) -> tuple[Metrics, Table, list[Figure]]:
    """Densities of the image statistics by source, and how far they are apart.

    Args:
        statistics: float64 [n, 4], as :func:`vedette.bench.image_statistics.statistics_of` gives.
        members: bool [n] for each source.
        draws: of the n images.
    """
    rows: dict[str, Sequence[Cell]] = {}
    metrics: Metrics = {}
    figures = []
    pairs = list(combinations(members, 2))
    for column, (name, title) in enumerate(NAMES.items()):
        values = statistics[:, column]
        edges = _edges(values)
        own = {
            source: _Distribution(values, member, edges, draws)
            for source, member in members.items()
        }
        metrics[name] = found = {}
        for first, second in pairs:
            a, b = own[first], own[second]
            difference = estimate(
                _difference(a.point, b.point)[0], _difference(a.resampled, b.resampled)
            )
            overlap = estimate(_overlap(a.point, b.point)[0], _overlap(a.resampled, b.resampled))
            label = title if len(pairs) == 1 else f"{title}: {first} – {second}"
            rows[label] = [
                _cell(a.mean, a.n),
                _cell(b.mean, b.n),
                _cell(difference, a.n + b.n),
                _cell(overlap, a.n + b.n),
            ]
            found[f"{first} – {second}"] = {
                "first": a.mean.as_json(),
                "second": b.mean.as_json(),
                "standardised_difference": difference.as_json(),
                "overlap": overlap.as_json(),
            }
        figures.append(_density(name, title, own, edges))
    means = (
        [f"mean, {source}" for source in members]
        if len(pairs) == 1
        else ["mean, first", "mean, second"]
    )
    table = Table(
        name="shift-looks",
        title="How images of the sources look",
        columns=[*means, "standardised difference", "overlap"],
        rows=rows,
        row="statistic",
        caption=(
            "Difference: second less first, in units of the pooled standard deviation. Overlap: "
            f"the share that the two histograms of {_BINS} bins have in common, 1 where they are "
            "the same; with few images it is rather too low. 95 % bootstrap intervals over groups "
            "of near-duplicates."
        ),
    )
    return metrics, table, figures


def two_samples(
    embeddings: Float32, members: Mapping[str, Bools], predictions: Predictions, seed: int
) -> tuple[Metrics, Table]:
    """The two-sample tests of every pair of sources; p-values are Holm's over the pairs.

    Args:
        embeddings: float32 [n, d].
        members: bool [n] for each source.
        predictions: the n images.
        seed: of folds, samples and permutations.
    """
    rows = unit_rows(embeddings)
    found = {}
    for first, second in combinations(members, 2):
        at = np.flatnonzero(members[first] | members[second])
        given = rows[at], members[second][at], predictions.group[at], seed
        found[f"{first} – {second}"] = classifier_test(*given), kernel_test(*given)
    by_classifier = _adjusted({pair: a.p for pair, (a, _) in found.items() if a})
    by_kernel = _adjusted({pair: b.p for pair, (_, b) in found.items() if b})
    table: dict[str, Sequence[Cell]] = {}
    metrics: Metrics = {}
    for pair, (a, b) in found.items():
        table[pair] = [
            Cell(a.auroc, a.low, a.high, n=a.first + a.second) if a else Cell(None),
            Cell(by_classifier.get(pair)),
            Cell(b.mmd2, n=b.first + b.second) if b else Cell(None),
            Cell(by_kernel.get(pair)),
        ]
        metrics[pair] = {
            "auroc": Estimate(a.auroc, a.low, a.high).as_json() if a else None,
            "auroc_p": a.p if a else None,
            "auroc_p_holm": by_classifier.get(pair),
            "auroc_images": [a.first, a.second] if a else None,
            "mmd2": b.mmd2 if b else None,
            "mmd_p": b.p if b else None,
            "mmd_p_holm": by_kernel.get(pair),
            "mmd_bandwidth": b.bandwidth if b else None,
            "mmd_images": [b.first, b.second] if b else None,
        }
    return metrics, Table(
        name="shift-two-sample",
        title="Whether the sources' embeddings come from one distribution",
        columns=["C2ST AUROC", "p (AUROC)", "MMD²", "p (MMD)"],
        rows=table,
        row="sources",
        caption=(
            "AUROC of a linear classifier that tells the sources apart on images that it was not "
            "trained on: 0.5 is not at all. MMD²: unbiased, Gaussian kernel, median heuristic. p "
            "by permutation, after Holm over the pairs. One image of each group of near-duplicates."
        ),
    )


def gaps(
    predictions: Predictions, members: Mapping[str, Bools], draws: Resampling
) -> tuple[Metrics, Table]:
    """How well each source is judged, and the differences: images within the coverage only.

    Args:
        predictions: n images.
        members: bool [n] for each source.
        draws: of the n images.
    """
    parts = np.stack(list(members.values())) & predictions.in_coverage
    outcome = decided(predictions.unsafe, predictions.flagged_asked, parts, draws)
    by_source = outcome.estimates()
    rows: dict[str, Sequence[Cell]] = {}
    metrics: Metrics = {"sources": {}, "gaps": {}}
    own: Metrics = {}
    for k, source in enumerate(members):
        n = int(parts[k].sum())
        rows[source] = [_cell(by_source[k][name], n) for name in _SHOWN]
        own[source] = {name: by_source[k][name].as_json() for name in METRICS}
    differences: Metrics = {}
    for (i, first), (j, second) in combinations(enumerate(members), 2):
        gap = {}
        for name, metric in METRICS.items():
            point, resampled = metric(outcome.point), metric(outcome.resampled)
            gap[name] = estimate(point[j] - point[i], resampled[:, j] - resampled[:, i])
        n = int(parts[i].sum() + parts[j].sum())
        rows[f"{second} less {first}"] = [_cell(gap[name], n) for name in _SHOWN]
        differences[f"{first} – {second}"] = {name: one.as_json() for name, one in gap.items()}
    metrics = {"sources": own, "gaps": differences}
    return metrics, Table(
        name="shift-performance",
        title="How well each source is judged",
        columns=[_TITLES[name] for name in _SHOWN],
        rows=rows,
        row="source",
        caption=(
            "The decision as shipped about each image's own category. A gap whose 95 % interval "
            "holds 0 may be chance. Sources also differ in how many of their images are unsafe and "
            "of which category: a gap is not the effect of how images were made alone."
        ),
    )


class _Distribution:
    """One statistic of one source: as it is, and in each resample."""

    def __init__(self, values: Float64, member: Bools, edges: Float64, draws: Resampling) -> None:
        # Around the overall mean, so that the variance keeps its digits.
        self._centre = float(values.mean())
        centred = values - self._centre
        bins = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, _BINS - 1)
        one_hot = np.zeros((len(values), _BINS))
        one_hot[np.arange(len(values)), bins] = 1
        columns = np.column_stack([np.ones(len(values)), centred, centred**2, one_hot])
        columns *= member[:, None]
        self.n = int(member.sum())
        self.point = columns.sum(axis=0)[None]
        self.resampled = draws.sums(columns)
        self.mean = estimate(
            self._centre + share(self.point[0, 1], self.point[0, 0]),
            self._centre + share(self.resampled[:, 1], self.resampled[:, 0]),
        )

    @property
    def shares(self) -> list[float]:
        """Of each bin."""
        return [float(value) for value in share(self.point[0, 3:], self.point[0, 0])]


def _difference(a: Float64, b: Float64) -> Float64:
    """Cohen's d of sums [r, 3 + bins]: float64 [r]."""
    means = [share(one[:, 1], one[:, 0]) for one in (a, b)]
    variances = [
        share(one[:, 2], one[:, 0]) - mean**2 for one, mean in zip((a, b), means, strict=True)
    ]
    pooled = np.sqrt(np.maximum((variances[0] + variances[1]) / 2, 0))
    apart = means[1] - means[0]
    # Two constants that are the same do not differ; two that are not differ without measure.
    return np.where((pooled == 0) & (apart == 0), 0.0, share(apart, pooled))


def _overlap(a: Float64, b: Float64) -> Float64:
    """What two histograms have in common, of sums [r, 3 + bins]: float64 [r], 0..1."""
    shares = [share(one[:, 3:], one[:, :1]) for one in (a, b)]
    common: Float64 = np.minimum(*shares).sum(axis=1)
    return common


def _edges(values: Float64) -> Float64:
    low, high = float(values.min()), float(values.max())
    return np.linspace(low, high if high > low else low + 1, _BINS + 1)


def _density(name: str, title: str, own: Mapping[str, _Distribution], edges: Float64) -> Figure:
    centres = [float(value) for value in (edges[1:] + edges[:-1]) / 2]
    return Figure(
        name=f"shift-{name.replace('_', '-')}",
        title=f"{title.split(' (')[0]} by source",
        kind="density",
        series=[Series(source, centres, one.shares) for source, one in own.items()],
        x=title,
        y="share of images",
        caption="Centres of bins, and the share of the source's images in each.",
    )


def _adjusted(p: Mapping[str, float]) -> dict[str, float]:
    return dict(zip(p, holm(list(p.values())), strict=True))


def _cell(found: Estimate, n: int) -> Cell:
    return Cell(found.value, found.low, found.high, n=n)
