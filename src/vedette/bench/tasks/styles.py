"""The artistic case study: the same picture as a painting, and as a grid of variations.

UnsafeBench found that classifiers trained on photographs fail on pictures in artistic styles and on
grids, as text-to-image models make them. It restyled pictures with a diffusion model; here styles
are drawn with classical filters (:mod:`vedette.bench.perturbations.styles`), which need no weights
and are the same everywhere, but change less than a model does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from vedette.bench.evidence import Cell, Evidence, Figure, Table
from vedette.bench.perturbations.asking import caveats, line, unfit
from vedette.bench.perturbations.base import Perturbation
from vedette.bench.perturbations.measures import Asked, Shares
from vedette.bench.perturbations.registry import perturbation, perturbations
from vedette.bench.perturbations.scoring import CLEAN, Said, ask
from vedette.bench.perturbations.styles import STRENGTHS
from vedette.bench.predictions import Bools
from vedette.bench.sample import sample
from vedette.bench.tasks.base import Context

_CAPTION = (
    "Percent of images whose own category is judged rightly, with 95 % intervals, on a sample "
    "drawn evenly from sources, safe and unsafe. Drawn with filters, not with a diffusion model "
    "as in the paper: compare the form, not the numbers."
)


class StylesTask:
    """Percent correct over the strength of a style, and over grids of the same picture."""

    name = "styles"
    summary = "oil paint, pencil sketch and cartoon by strength, and grids of the same picture"

    def fits(self, context: Context) -> str | None:
        """See :class:`vedette.bench.tasks.base.Task`."""
        return unfit(context)

    def run(self, context: Context) -> Evidence:
        """See :class:`vedette.bench.tasks.base.Task`.

        Raises:
            VedetteError: see :func:`vedette.bench.perturbations.scoring.ask`.
        """
        options, predictions = context.options, context.predictions
        # Third parties' styles may have strengths of their own: the paper's form has these.
        styles = [
            kind
            for kind in perturbations().values()
            if kind.family == "style" and kind.levels == STRENGTHS
        ]
        grid = perturbation("grid")
        rows = sample(predictions, options.images, options.seed, predictions.in_coverage)
        said = ask(context, rows, [*styles, grid])
        asked = Asked(predictions.rows(rows), said, options.bootstrap, options.seed)
        subsets = _subsets(asked)
        shares = {name: asked.accuracy(of) for name, of in subsets.items()}
        style_cells = {
            (kind.name, name): _cells(said, kind, share)
            for kind in styles
            for name, share in shares.items()
        }
        grid_cells = {name: _cells(said, grid, share) for name, share in shares.items()}
        strengths = [0.0, *STRENGTHS]
        grids = [f"{n}×{n}" for n in (1, *(int(level) for level in grid.levels))]
        return Evidence(
            metrics={
                "images": len(rows),
                "styles": {
                    kind.name: {
                        name: dict(
                            zip(
                                map(str, strengths),
                                _values(style_cells[kind.name, name]),
                                strict=True,
                            )
                        )
                        for name in subsets
                    }
                    for kind in styles
                },
                "grid": {
                    name: dict(zip(grids, _values(cells), strict=True))
                    for name, cells in grid_cells.items()
                },
            },
            tables=[
                Table(
                    name="styles",
                    title="Artistic styles: percent correct by strength",
                    columns=["original", *(f"{strength:g}" for strength in STRENGTHS)],
                    rows={f"{kind}, {name}": cells for (kind, name), cells in style_cells.items()},
                    row="style, images",
                    caption=f"Strength: share of the styled picture in the blend. {_CAPTION}",
                ),
                Table(
                    name="grids",
                    title="Grids of the same picture: percent correct",
                    columns=grids,
                    rows=grid_cells,
                    row="images",
                    caption=_CAPTION,
                ),
            ],
            figures=[
                Figure(
                    name="styles",
                    title="Percent correct over the strength of artistic styles",
                    kind="lines",
                    series=[
                        line(kind.name, strengths, style_cells[kind.name, "all"]) for kind in styles
                    ],
                    x="style strength",
                    y="correct (%)",
                    caption=_CAPTION,
                ),
                Figure(
                    name="grids",
                    title="Percent correct on grids of the same picture",
                    kind="bars",
                    series=[line(name, grids, cells) for name, cells in grid_cells.items()],
                    x="grid",
                    y="correct (%)",
                    caption=_CAPTION,
                ),
            ],
            warnings=caveats(context, said),
        )


def _subsets(asked: Asked) -> Mapping[str, Bools]:
    """Masks of the sampled images by the name that tables have for them."""
    images = asked.images
    found = {"all": np.ones(len(images), np.bool_), "unsafe": images.unsafe, "safe": ~images.unsafe}
    return {**found, **{source: images.of_source(source) for source in images.sources}}


def _cells(said: Said, kind: Perturbation, shares: Shares) -> list[Cell]:
    """Percent correct when clean, then at each severity."""
    columns = [*said.columns(CLEAN), *said.columns(kind.name)]
    return [shares.cell(column, times=100) for column in columns]


def _values(cells: Sequence[Cell]) -> list[object]:
    return [cell.value for cell in cells]


TASK = StylesTask()
