"""Error clusters: what the images have in common that a classifier decides wrongly.

After UnsafeBench, section 5.3: KMeans on the embeddings of false negatives and of false positives.
Beyond it: the number of clusters by silhouette, and tests of what a cluster has more of than the
images that could have been in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vedette.bench.clustering import Clusters, clusters
from vedette.bench.evidence import Caveat, Cell, Evidence, Figure, Series, Table
from vedette.bench.image_statistics import statistics_of
from vedette.bench.naming import Texts, names, taxonomy_texts
from vedette.bench.overrepresented import Properties, Share, properties, shares
from vedette.bench.predictions import Bools, Predictions
from vedette.bench.tasks.base import Context
from vedette.bench.two_sample import unit_rows
from vedette.errors import VedetteError
from vedette.types import Float32

_PAPERS = 4
"""Clusters in the paper, whatever the classifier."""
_ALPHA = 0.05
_SHOWN = 3
"""Properties of each kind that a table names."""


@dataclass(frozen=True, slots=True, eq=False)
class _Kind:
    """One kind of error."""

    name: str
    title: str
    errors: Bools
    """bool [n]"""
    among: Bools
    """bool [n]: the images that could have been such errors."""
    whole: str
    """What those are."""


@dataclass(frozen=True, slots=True, eq=False)
class _Images:
    """All that is known of the images, in the predictions' order."""

    predictions: Predictions
    rows: Float32
    """float32 [n, d], embeddings of length 1."""
    properties: Properties
    texts: Texts | None


class ClustersTask:
    """See :class:`vedette.bench.tasks.base.Task`."""

    name = "clusters"
    summary = "what wrongly decided images have in common: clusters of false alarms and misses"

    def fits(self, context: Context) -> str | None:
        """See :class:`vedette.bench.tasks.base.Task`."""
        if any(kind.errors.any() for kind in _kinds(context.predictions)):
            return None
        return "no image was decided wrongly: there is nothing to cluster"

    def run(self, context: Context) -> Evidence:
        """See :class:`vedette.bench.tasks.base.Task`."""
        predictions, options = context.predictions, context.options
        statistics = statistics_of(context)
        embeddings, embedded_by = context.embeddings()
        texts, caveats = _texts(context, embeddings)
        images = _Images(
            predictions, unit_rows(embeddings), properties(predictions, statistics), texts
        )
        if predictions.failed:
            caveats.append(
                Caveat(
                    "not-scored",
                    f"{len(predictions.failed)} images could not be scored; they are no errors "
                    "here, and were not decided rightly either.",
                )
            )
        wanted = options.clusters or (_PAPERS if options.protocol == "official" else None)
        metrics: dict[str, object] = {"embedded_by": embedded_by}
        tables: list[Table] = []
        figures: list[Figure] = []
        for kind in _kinds(predictions):
            count = int(kind.errors.sum())
            found: Clusters | None = None
            if count:
                context.say(f"clustering {count} {kind.title}")
                own = images.rows[kind.errors]
                found = clusters(own, wanted, options.seed)
                metrics[kind.name], table, drawn = _told(images, kind, found)
                tables.append(table)
                figures += drawn
            else:
                metrics[kind.name] = {"errors": 0, "clusters": []}
            caveats += _few(kind, count, found, wanted)
        return Evidence(metrics=metrics, tables=tables, figures=figures, warnings=caveats)


def _kinds(predictions: Predictions) -> list[_Kind]:
    """False negatives and false positives of the decision as shipped, within the coverage."""
    flagged, covered = predictions.flagged_asked, predictions.in_coverage
    unsafe, safe = predictions.unsafe & covered, ~predictions.unsafe & covered
    return [
        _Kind("false-negatives", "false negatives", unsafe & ~flagged, unsafe, "unsafe"),
        _Kind("false-positives", "false positives", safe & flagged, safe, "safe"),
    ]


def _texts(context: Context, embeddings: Float32) -> tuple[Texts | None, list[Caveat]]:
    """The taxonomy's texts, where they lie in the same space as the embeddings."""
    if context.predictions.embedding is None:
        return None, [
            Caveat(
                "weak-embeddings",
                "The classifier gives no embeddings. Those used are descriptors of thumbnails: "
                "clusters are of like colours and shapes, not of like contents.",
            )
        ]
    try:
        texts = taxonomy_texts(context.classifier)
    except VedetteError as error:
        return None, [
            Caveat("no-names", f"The clusters have no names: {error.message} ({error.hint}).")
        ]
    if texts is None or texts.rows.shape[1] != embeddings.shape[1]:
        return None, []
    return texts, []


def _few(kind: _Kind, count: int, found: Clusters | None, wanted: int | None) -> list[Caveat]:
    if found is None:
        return [Caveat(f"no-{kind.name}", f"There are no {kind.title} to cluster.")]
    if wanted is not None and found.count < wanted:
        what = f"{found.count} clusters were made, not {wanted}"
    elif wanted is None and found.count < 2:
        what = "they are one cluster"
    else:
        return []
    return [Caveat(f"few-{kind.name}", f"There are only {count} {kind.title}: {what}.")]


def _told(
    images: _Images, kind: _Kind, found: Clusters
) -> tuple[dict[str, object], Table, list[Figure]]:
    """One kind of error for the evidence."""
    at = np.flatnonzero(kind.errors)
    predictions = images.predictions
    parts = [_member(at[found.label == k], len(predictions)) for k in range(found.count)]
    own = shares(parts, kind.among, images.properties, predictions.group)
    called = _names(images, kind, found)
    central = [at[found.central(images.rows[at], k)] for k in range(found.count)]
    keys = [[predictions.keys[row] for row in rows] for rows in central]
    rows = {}
    headings = {}
    told = []
    for k, part in enumerate(parts):
        size, name = int(part.sum()), f"cluster {k + 1}"
        label = ", ".join(text for text, _ in called[k])
        headings[f"{name}: {size} images" + (f", near {label}" if label else "")] = keys[k]
        rows[name] = [
            Cell(size, n=size),
            Cell(size / len(at), n=len(at)),
            *([Cell(label)] if images.texts else []),
            *(_cell(own[k], what, size) for what in ("category", "source", "style")),
        ]
        told.append(
            {
                "size": size,
                "central": keys[k],
                "near": [{"text": text, "cosine": cosine} for text, cosine in called[k]],
                "shares": [_as_json(one) for one in own[k]],
            }
        )
    table = Table(
        name=f"clusters-{kind.name}",
        title=f"Clusters of {kind.title}",
        columns=[
            "images",
            "share",
            *(["nearest texts"] if images.texts else []),
            *("categories", "sources", "styles"),
        ],
        rows=rows,
        row="cluster",
        caption=(
            f"What is over-represented: its share of the cluster, that of all {kind.whole} images "
            f"in brackets, for those with p < {_ALPHA:g} after Holm. Styles are thirds of the set."
        ),
    )
    metrics: dict[str, object] = {
        "errors": len(at),
        "among": int(kind.among.sum()),
        "silhouettes": {str(k): value for k, value in found.silhouettes.items()},
        "clusters": told,
    }
    return metrics, table, _figures(kind, found, headings)


def _member(rows: NDArray[np.int64], n: int) -> Bools:
    member = np.zeros(n, dtype=np.bool_)
    member[rows] = True
    return member


def _names(images: _Images, kind: _Kind, found: Clusters) -> list[list[tuple[str, float]]]:
    if images.texts is None:
        return [[] for _ in range(found.count)]
    return names(found.centres, images.rows[kind.among].mean(axis=0), images.texts)


def _cell(own: Sequence[Share], kind: str, n: int) -> Cell:
    over = [one for one in own if one.kind == kind and one.p < _ALPHA and one.here > one.overall]
    told = [f"{one.what} {one.here:.0%} ({one.overall:.0%})" for one in over[:_SHOWN]]
    return Cell("; ".join(told) or None, n=n)


def _as_json(share: Share) -> dict[str, object]:
    return {
        "kind": share.kind,
        "what": share.what,
        "share": share.here,
        "overall": share.overall,
        "p_holm": share.p,
    }


def _figures(kind: _Kind, found: Clusters, keys: dict[str, list[str]]) -> list[Figure]:
    figures = [
        Figure(
            name=f"clusters-{kind.name}",
            title=f"Images nearest to the centre of each cluster of {kind.title}",
            kind="images",
            keys=keys,
        )
    ]
    if found.silhouettes:
        counts, values = list(found.silhouettes), list(found.silhouettes.values())
        figures.append(
            Figure(
                name=f"clusters-{kind.name}-silhouette",
                title=f"Silhouette of clusters of {kind.title}",
                kind="lines",
                series=[Series("mean silhouette", [float(k) for k in counts], values)],
                x="clusters",
                y="mean silhouette, -1..1",
                caption="The number of clusters with the highest one was taken.",
            )
        )
    return figures


TASK = ClustersTask()
