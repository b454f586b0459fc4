"""Which category each classifier can be asked about: the paper's Table 3, for all our models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vedette.bench import paper
from vedette.bench.evidence import Cell, Evidence, Table
from vedette.bench.tasks.base import Context
from vedette.models.registry import entries
from vedette.taxonomy import Category


class Coverage:
    """Coverage of the classifier, and of every model in the registry."""

    name = "coverage"
    summary = "which categories the classifier, and each model of the registry, can see (Table 3)"

    def fits(self, context: Context) -> str | None:
        """It always fits: it looks at cards, not at images."""
        return None

    def run(self, context: Context) -> Evidence:
        """Read the cards."""
        card = context.card
        seen: dict[str, Sequence[Category]] = {card.name: card.covered}
        for name, entry in entries().items():
            if name == card.name and set(entry.card.covered) != set(card.covered):
                name = f"{name} (registry)"
            seen[name] = entry.card.covered
        return Evidence(
            metrics={
                "covered": [c.value for c in Category if c in card.covered],
                "registry": {
                    name: [c.value for c in Category if c in entry.card.covered]
                    for name, entry in entries().items()
                },
            },
            tables=[coverage_table(seen)],
        )


def coverage_table(seen: Mapping[str, Sequence[Category]]) -> Table:
    """Table 3's form.

    Args:
        seen: covered categories by the model's name.
    """
    printed = paper.coverage()
    rows = {}
    for name, covered in seen.items():
        theirs = printed.get(paper.row_of(name) or "")
        rows[name] = [_cell(category in covered, theirs, category) for category in Category]
    return Table(
        name="coverage",
        title="Coverage",
        columns=[c.value for c in Category],
        rows=rows,
        row="model",
        caption=(
            "1: the model can be asked about the category. The rest is outside its coverage, and "
            "no number is given there."
        ),
        like="Table 3",
    )


def _cell(covered: bool, theirs: frozenset[Category] | None, category: Category) -> Cell:
    value = 1 if covered else None
    if theirs is None:
        return Cell(value)
    printed = category in theirs
    note = "" if printed == covered else f"the paper: {1 if printed else chr(0x2013)}"
    return Cell(value, paper=1.0 if printed else None, note=note)


TASK = Coverage()
