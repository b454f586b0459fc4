"""Distribution shift: whether sources differ, in what, and whether one is judged worse.

After UnsafeBench, section 5: SNR, edge density and entropy by source, embeddings in two
dimensions. Beyond it: two tests that say whether there is a shift at all, and intervals.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from vedette.bench.evidence import Caveat, Evidence, Figure, Series
from vedette.bench.image_statistics import statistics_of
from vedette.bench.metrics.bootstrap import resampling
from vedette.bench.planes import MOST, t_sne, umap_plane
from vedette.bench.predictions import Bools, Ints, Predictions
from vedette.bench.sample import sample
from vedette.bench.shifts import gaps, looks, two_samples
from vedette.bench.tasks.base import Context
from vedette.bench.two_sample import FEWEST, unit_rows
from vedette.errors import MissingExtraError
from vedette.taxonomy import Category
from vedette.types import Float32

MOST_SOURCES = 6
"""Those with the most images: pairs grow with the square."""


class ShiftTask:
    """See :class:`vedette.bench.tasks.base.Task`."""

    name = "shift"
    summary = "how sources differ: image statistics, embeddings, two-sample tests, performance"

    def fits(self, context: Context) -> str | None:
        """See :class:`vedette.bench.tasks.base.Task`."""
        sources = Counter(filter(None, context.predictions.source))
        if not sources:
            return "the data set names no sources"
        if len(_compared(context.predictions)) < 2:
            return f"fewer than two sources have {FEWEST} images"
        return None

    def run(self, context: Context) -> Evidence:
        """See :class:`vedette.bench.tasks.base.Task`."""
        whole, options = context.predictions, context.options
        names = _compared(whole)
        statistics = statistics_of(context)
        embeddings, embedded_by = context.embeddings()
        kept = np.isin(np.array(whole.source), names)
        predictions = whole.rows(kept)
        statistics, embeddings = statistics[kept], embeddings[kept]
        members = {name: predictions.of_source(name) for name in names}
        draws = resampling(predictions.group, options.bootstrap, options.seed)

        context.say("comparing the sources")
        in_looks, looks_table, densities = looks(statistics, members, draws)
        in_tests, tests_table = two_samples(embeddings, members, predictions, options.seed)
        in_gaps, gaps_table = gaps(predictions, members, draws)
        planes, missing = _planes(context, predictions, embeddings, embedded_by)
        return Evidence(
            metrics={
                "sources": {name: int(member.sum()) for name, member in members.items()},
                "embedded_by": embedded_by,
                "image_statistics": in_looks,
                "two_sample": in_tests,
                "performance": in_gaps,
            },
            tables=[looks_table, tests_table, gaps_table],
            figures=[*densities, *planes],
            warnings=[*_caveats(context, names), *missing],
        )


def _compared(predictions: Predictions) -> list[str]:
    """The sources that are compared, sorted by name."""
    counts = Counter(filter(None, predictions.source))
    enough = [name for name in sorted(counts) if counts[name] >= FEWEST]
    return sorted(sorted(enough, key=lambda name: -counts[name])[:MOST_SOURCES])


def _caveats(context: Context, names: list[str]) -> list[Caveat]:
    predictions = context.predictions
    out = []
    if predictions.failed:
        out.append(
            Caveat(
                "not-scored",
                f"{len(predictions.failed)} images could not be scored and are not compared.",
            )
        )
    left = sorted(set(predictions.sources) - set(names))
    if left:
        out.append(
            Caveat(
                "sources-left-out",
                f"{len(left)} sources are not compared: they have fewer than {FEWEST} images, or "
                f"are not among the {MOST_SOURCES} largest.",
            )
        )
    if predictions.embedding is None:
        out.append(
            Caveat(
                "weak-embeddings",
                "The classifier gives no embeddings. Those used are descriptors of thumbnails, "
                "which see colours and shapes: a shift in what images are about may be missed.",
            )
        )
    return out


def _planes(
    context: Context, predictions: Predictions, embeddings: Float32, embedded_by: str
) -> tuple[list[Figure], list[Caveat]]:
    """The embeddings in two dimensions, by source and by category."""
    seed = context.options.seed
    rows = sample(predictions, MOST, seed)
    drawn, points = predictions.rows(rows), unit_rows(embeddings[rows])
    by_source = {name: drawn.of_source(name) for name in drawn.sources}
    by_category = _by_category(drawn.category)
    figures: list[Figure] = []
    caveats: list[Caveat] = []
    for name, title, method in (("tsne", "t-SNE", t_sne), ("umap", "UMAP", umap_plane)):
        context.say(f"{title} of {len(points)} embeddings")
        try:
            plane = method(points, seed)
        except MissingExtraError as error:
            caveats.append(
                Caveat(f"no-{name}", f"There is no {title}: {error.message} ({error.hint}).")
            )
            continue
        figures += [
            Figure(
                name=f"shift-{name}-by-{what}",
                title=f"{title} of the embeddings by {what}",
                kind="scatter",
                series=[_cloud(label, plane[member]) for label, member in members.items()],
                x=f"{title} 1",
                y=f"{title} 2",
                caption=(
                    f"{len(points)} images; {embedded_by or 'embeddings of the classifier'}. Near "
                    "points are similar images; distances between clouds mean little."
                ),
            )
            for what, members in (("source", by_source), ("category", by_category))
        ]
    return figures, caveats


def _by_category(category: Ints) -> dict[str, Bools]:
    labels = [(c.value, category == c.position) for c in Category]
    labels.append(("no category", category < 0))
    return {label: member for label, member in labels if member.any()}


def _cloud(label: str, points: np.ndarray) -> Series:
    x, y = ([round(float(value), 3) for value in axis] for axis in points.T)
    return Series(label, x, y)


TASK = ShiftTask()
