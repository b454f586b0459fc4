"""What the tasks on perturbed pictures share: whether they fit, what to warn of, lines to draw."""

from __future__ import annotations

from collections.abc import Sequence

from vedette.bench.evidence import Caveat, Cell, Series
from vedette.bench.perturbations.scoring import Said
from vedette.bench.tasks.base import Context


def unfit(context: Context) -> str | None:
    """Why pictures cannot be perturbed and scored again here; None where they can."""
    if context.card.kind == "predictions":
        return "a file of predictions says nothing about changed pictures"
    if not context.predictions.in_coverage.any():
        return "no image of the set is in the classifier's coverage"
    return None


def caveats(context: Context, said: Said) -> list[Caveat]:
    """What makes the numbers less sure."""
    found = []
    missing = int((~said.scored).sum())
    if missing:
        codes = ", ".join(f"{code}: {count}" for code, count in said.codes.items())
        found.append(
            Caveat(
                "not-scored",
                f"{missing} of {said.scored.size} pictures of the sampled images could not be "
                f"scored ({codes}). They count as wrong.",
            )
        )
    if context.predictions.failed:
        found.append(
            Caveat(
                "not-scored",
                f"{len(context.predictions.failed)} images of the set could not be scored even "
                "without a change. They are not in the sample.",
            )
        )
    return found


def line(name: str, x: Sequence[float | str], cells: Sequence[Cell]) -> Series:
    """Cells as one line of a figure, with their intervals; what is undefined is left out."""
    kept = [(at, cell) for at, cell in zip(x, cells, strict=True) if cell.value is not None]
    bounded = bool(kept) and all(None not in (cell.low, cell.high) for _, cell in kept)
    return Series(
        name=name,
        x=[at for at, _ in kept],
        y=[float(cell.value or 0) for _, cell in kept],
        low=[float(cell.low or 0) for _, cell in kept] if bounded else None,
        high=[float(cell.high or 0) for _, cell in kept] if bounded else None,
    )
