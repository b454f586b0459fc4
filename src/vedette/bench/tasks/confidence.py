"""Confidence: how sure a classifier is where it is right, wrong, and under attack.

After UnsafeBench, Figures 8 and 15: the distribution of the decision's probability by source, and
the loss and its change under FGSM.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vedette.bench.confidences import COLUMNS, confidences, density, summary
from vedette.bench.evidence import Caveat, Cell, Evidence, Figure, Table
from vedette.bench.metrics.bootstrap import Resampling, resampling
from vedette.bench.metrics.confusion import share
from vedette.bench.metrics.estimates import Estimate, estimate
from vedette.bench.one_step import EPS, Stepped, stepped
from vedette.bench.predictions import Bools, Predictions
from vedette.bench.sample import sample
from vedette.bench.tasks.base import Context
from vedette.errors import ItemError, MissingExtraError, ModelError, UsageError
from vedette.models.differentiable import decision_module, differentiable, network_pixels
from vedette.types import Float32

Float64 = NDArray[np.float64]
Members = dict[str, Bools]

_ALL = "all sources"


class ConfidenceTask:
    """See :class:`vedette.bench.tasks.base.Task`."""

    name = "confidence"
    summary = "how sure decisions are: right, wrong, safe, unsafe, and under FGSM, by source"

    def fits(self, context: Context) -> str | None:
        """See :class:`vedette.bench.tasks.base.Task`."""
        if not context.predictions.in_coverage.any():
            return "no image is of a category that the classifier covers"
        return None

    def run(self, context: Context) -> Evidence:
        """See :class:`vedette.bench.tasks.base.Task`."""
        whole = context.predictions
        predictions = whole.rows(whole.in_coverage)
        metrics, table, figures = _clean(context, predictions)
        caveats = []
        if whole.failed:
            caveats.append(
                Caveat(
                    "not-scored",
                    f"{len(whole.failed)} images could not be scored and have no confidence.",
                )
            )
        module, why = _module(context)
        tables = [table]
        if module is None:
            caveats.append(Caveat("no-gradients", f"Nothing is known under FGSM: {why}."))
        else:
            rows = sample(predictions, context.options.images, context.options.seed)
            drawn = predictions.rows(rows)
            found = stepped(module, _pictures(context, drawn), drawn.unsafe, EPS, context.say)
            metrics["fgsm"], more, plots = _attacked(context, drawn, found)
            tables += more
            figures += plots
            if not found.gradient.any():
                caveats.append(
                    Caveat(
                        "zero-gradients",
                        "The gradient of the loss is 0 on every image: FGSM moved nothing, which "
                        "says nothing about how robust the classifier is.",
                    )
                )
        return Evidence(metrics=metrics, tables=tables, figures=figures, warnings=caveats)


def _clean(
    context: Context, predictions: Predictions
) -> tuple[dict[str, object], Table, list[Figure]]:
    """Confidence on the images as they are."""
    sure = confidences(predictions)
    right = predictions.flagged_asked == predictions.unsafe
    kinds = {
        "safe": ~predictions.unsafe,
        "unsafe": predictions.unsafe,
        "right": right,
        "wrong": ~right,
    }
    draws = _draws(context, predictions)
    rows, told = {}, {}
    for label, member in _by_source(predictions, kinds).items():
        found = summary(sure, member, draws)
        rows[label] = found.cells()
        told[label] = found.as_json()
    table = Table(
        name="confidence",
        title="Confidence of decisions",
        columns=COLUMNS,
        rows=rows,
        row="images",
        caption=(
            "Probability of the decision that was taken about the image's own category, as "
            "shipped. 95 % bootstrap intervals over groups of near-duplicates. A classifier that "
            "is as sure where it is wrong as where it is right cannot be helped by a threshold."
        ),
    )
    span = (0.5 if sure.min() >= 0.5 else 0.0, 1.0)
    figures = [
        density(
            Figure(
                name=f"confidence-{name}",
                title=f"Confidence of decisions, {' and '.join(shown)} images",
                kind="density",
                x="probability of the decision",
                caption="By source, on the images as they are.",
            ),
            sure,
            _apart(predictions, {kind: kinds[kind] for kind in shown}),
            span,
        )
        for name, shown in (("safety", ("safe", "unsafe")), ("right", ("right", "wrong")))
    ]
    return {"images": len(predictions), "clean": told}, table, figures


def _attacked(
    context: Context, drawn: Predictions, found: Stepped
) -> tuple[dict[str, object], list[Table], list[Figure]]:
    """Confidence and loss of a sample of images under one step of FGSM."""
    draws = _draws(context, drawn)
    kinds = {"fooled": found.right & ~found.right_after, "held": found.right & found.right_after}
    groups = _by_source(drawn, kinds)
    rows, told = {}, {}
    for label, member in groups.items():
        before, after = (
            summary(v, member, draws) for v in (found.confidence, found.confidence_after)
        )
        rows[label] = [*before.cells(), after.cells()[0]]
        told[label] = {"before": before.as_json(), "after": after.as_json()}
    caption = (
        f"FGSM, Linf {EPS * 255:g}/255 on the pixels that the network sees, {len(drawn)} images "
        "drawn evenly from sources, safe and unsafe."
    )
    confidence = Table(
        name="confidence-fgsm",
        title="Confidence before FGSM, of images that it fooled and that held",
        columns=[*COLUMNS, "mean after"],
        rows=rows,
        row="images",
        caption=f"{caption} Images that were decided rightly before.",
    )
    losses, in_losses = _losses(drawn, found, draws, caption)
    metrics: dict[str, object] = {
        "eps": EPS,
        "images": len(drawn),
        "right_before": int(found.right.sum()),
        "right_after": int(found.right_after.sum()),
        "without_gradient": int((~found.gradient).sum()),
        "confidence": told,
        "loss": in_losses,
    }
    return metrics, [confidence, losses], _plots(drawn, found, kinds, caption)


def _losses(
    drawn: Predictions, found: Stepped, draws: Resampling, caption: str
) -> tuple[Table, dict[str, object]]:
    change = found.loss_after - found.loss
    rows: dict[str, Sequence[Cell]] = {}
    told: dict[str, object] = {}
    for label, member in _by_source(drawn, {"": np.ones(len(drawn), np.bool_)}).items():
        values = {
            "loss": _mean(found.loss, member, draws),
            "loss_after": _mean(found.loss_after, member, draws),
            "change": _mean(change, member, draws),
            "fooled": _mean(
                (found.right & ~found.right_after).astype(np.float64), member & found.right, draws
            ),
        }
        n = int(member.sum())
        rows[label] = [
            Cell(one.value, one.low, one.high, n=int((member & found.right).sum()))
            if name == "fooled"
            else Cell(one.value, one.low, one.high, n=n)
            for name, one in values.items()
        ]
        told[label] = {"n": n, **{name: one.as_json() for name, one in values.items()}}
    table = Table(
        name="loss-fgsm",
        title="Loss and its change under FGSM",
        columns=["loss", "loss after", "change", "fooled, of the right"],
        rows=rows,
        row="source",
        caption=f"{caption} Mean cross-entropy of the right answer, in nats.",
        like="Figure 15",
    )
    return table, told


def _plots(
    drawn: Predictions, found: Stepped, kinds: Mapping[str, Bools], caption: str
) -> list[Figure]:
    change = found.loss_after - found.loss
    by_source = _apart(drawn, {"": np.ones(len(drawn), np.bool_)})
    return [
        density(
            Figure(
                name="confidence-fgsm",
                title="Confidence before FGSM, of images that it fooled and that held",
                kind="density",
                x="probability of the decision",
                caption=caption,
                like="Figure 8",
            ),
            found.confidence,
            _apart(drawn, kinds),
            (0.5, 1.0),
        ),
        *(
            density(
                Figure(
                    name=f"loss-fgsm-{name}",
                    title=title,
                    kind="density",
                    x=f"{title.lower()} (nats)",
                    caption=f"{caption} Values beyond the 1st and 99th percentile are in the end "
                    "bins.",
                    like="Figure 15",
                ),
                values,
                by_source,
                _span(values),
            )
            for name, title, values in (
                ("before", "Loss", found.loss),
                ("change", "Change of the loss under FGSM", change),
            )
        ),
    ]


def _span(values: Float64) -> tuple[float, float]:
    low, high = (float(value) for value in np.percentile(values, [1, 99]))
    return (low, high) if high > low else (low, low + 1)


def _mean(values: Float64, member: Bools, draws: Resampling) -> Estimate:
    if not member.any():
        return Estimate(None)
    sums = draws.sums(np.column_stack([member, np.where(member, values, 0)]))
    return estimate(values[member].mean(), share(sums[:, 1], sums[:, 0]))


def _by_source(predictions: Predictions, kinds: Mapping[str, Bools]) -> Members:
    """Each kind in all images, and in those of each source; ``""`` is all images of a source."""
    sources = predictions.sources
    named = {source: predictions.of_source(source) for source in sources}
    members: Members = {}
    for kind, member in kinds.items():
        members[kind or _ALL] = member
        for source, own in named.items() if len(sources) > 1 else ():
            members[f"{kind}, {source}" if kind else source] = member & own
    return members


def _apart(predictions: Predictions, kinds: Mapping[str, Bools]) -> Members:
    """The same without all images together, where there are several sources: for figures."""
    members = _by_source(predictions, kinds)
    if len(predictions.sources) < 2:
        return members
    return {name: own for name, own in members.items() if name not in (*kinds, _ALL)}


def _draws(context: Context, predictions: Predictions) -> Resampling:
    return resampling(predictions.group, context.options.bootstrap, context.options.seed)


def _module(context: Context) -> tuple[Any, str]:
    """The classifier's decision as a torch module, or why there is none."""
    if context.classifier is None:
        return None, "what is tested is no classifier of ours, and gives no gradients"
    if differentiable(context.classifier) is None:
        return None, f"{context.classifier.card.id} cannot be differentiated"
    try:
        return decision_module(context.classifier), ""
    except (ModelError, MissingExtraError) as error:
        return None, f"{error.message} ({error.hint})"


def _pictures(context: Context, drawn: Predictions) -> Callable[[int], Float32]:
    """Pictures of the sample as the network sees them."""
    classifier = context.classifier
    assert classifier is not None

    def picture(row: int) -> Float32:
        key = drawn.keys[row]
        try:
            return network_pixels(classifier, context.pixels(key))
        except (KeyError, ItemError) as error:
            raise UsageError(
                f"{key} was scored, and cannot be looked at again: {error}",
                code=error.code if isinstance(error, ItemError) else "not_found",
                hint="the data set has changed since it was scored: score it again",
            ) from error

    return picture


TASK = ConfidenceTask()
