"""Robustness as tables and figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vedette.bench.evidence import Cell, Figure, Series, Table
from vedette.bench.tasks.base import Context

_CAPTION = (
    "Share of all sampled images on which the decision is right and stays right; images that were "
    "wrong before count as broken. Linf budgets on the pixels of the network's input, in units of "
    "1/255; for Gaussian noise its sigma. As upload: the moved picture is rounded to 8 bits, saved "
    "as PNG and scanned by the ordinary pipeline, as is the clean one where nothing was found. "
    "The worst case is over all attacks but noise. Conditional: among the images that were right, "
    "as UnsafeBench reports it. The decision is unsafe in any covered category."
)


@dataclass(frozen=True, slots=True)
class Share:
    """What one attack at one budget left: shares 0..1, None where there is nothing to share."""

    attack: str
    eps: float
    robust_accuracy: float
    """Over all images; wrong ones count as broken."""
    low: float | None
    high: float | None
    uploaded: float | None
    """The same, judged by the pipeline on 8-bit pictures; None where an upload of the network's
    square is another picture to it."""
    uploaded_low: float | None
    uploaded_high: float | None
    conditional: float | None
    """Among the images that were right: the paper's figure."""
    conditional_low: float | None
    conditional_high: float | None
    unsafe_to_safe: float | None
    """Of the unsafe images that were right, those called safe now: what an evader wants."""
    safe_to_unsafe: float | None
    """Of the safe images that were right, those called unsafe now."""


def tables(context: Context, shares: Sequence[Share], images: int) -> list[Table]:
    """All shares below each other."""
    rows = {
        f"{share.attack}, {255 * share.eps:.2g}/255": [
            Cell(share.robust_accuracy, share.low, share.high, n=images),
            Cell(share.uploaded, share.uploaded_low, share.uploaded_high, n=images),
            Cell(share.conditional, share.conditional_low, share.conditional_high),
            Cell(share.unsafe_to_safe),
            Cell(share.safe_to_unsafe),
        ]
        for share in shares
    }
    return [
        Table(
            name="robust-accuracy",
            title="Robust accuracy",
            columns=(
                "Robust accuracy",
                "As upload",
                "Conditional",
                "Unsafe to safe",
                "Safe to unsafe",
            ),
            rows=rows,
            row="attack and budget",
            caption=f"{_CAPTION} Attacks of {context.options.steps} steps on {images:,} images.",
        )
    ]


def figures(context: Context, shares: Sequence[Share]) -> list[Figure]:
    """Robust accuracy over the budget, for attacks that were run with several."""
    names = list(dict.fromkeys(share.attack for share in shares))
    series = []
    for name in names:
        own = [share for share in shares if share.attack == name]
        if len(own) < 2:
            continue
        known = [share for share in own if share.low is not None and share.high is not None]
        whole = len(known) == len(own)
        series.append(
            Series(
                name,
                [round(255 * share.eps, 4) for share in own],
                [share.robust_accuracy for share in own],
                [float(share.low or 0) for share in own] if whole else None,
                [float(share.high or 0) for share in own] if whole else None,
            )
        )
    return [
        Figure(
            name="robust-accuracy",
            title="Robust accuracy over the budget",
            kind="lines",
            series=series,
            x="Linf budget, 1/255",
            y="robust accuracy",
            caption=f"{context.card.name}, with 95 % intervals. {_CAPTION}",
        )
    ]
