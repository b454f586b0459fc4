"""``vedette data synth``: a stand-in set of harmless drawn pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vedette.text import printable


def synth(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="A new folder for the set.", show_default=False)
    ],
    like: Annotated[str, typer.Option("--like", help="The published set.")] = "unsafebench",
    scale: Annotated[float, typer.Option("--scale", help="1 = as many pictures as it has.")] = 0.1,
    seed: Annotated[int, typer.Option("--seed", help="Another seed, other pictures.")] = 7,
    difficulty: Annotated[
        float, typer.Option("--difficulty", help="0 (plain glyphs) to 1 (small, faint, hidden).")
    ] = 0.3,
    size: Annotated[int, typer.Option("--size", help="Side of the pictures in px, about.")] = 256,
    fmt: Annotated[
        str, typer.Option("--format", help="parquet (as the hub has it), folder or webdataset.")
    ] = "parquet",
    workers: Annotated[
        int, typer.Option("--workers", min=0, max=256, help="Processes. [0 = one for each core]")
    ] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Draw a stand-in for a published set, in its columns, categories, sources and proportions.

    For trying programs: unsafe pictures carry an abstract glyph, nothing more. The same options
    give the same bytes. Exit status: 0 written, 2 refused.
    """
    import time

    from vedette.data.synth.card import NOTICE
    from vedette.data.synth.plan import Recipe
    from vedette.data.synth.writing import write_set

    recipe = Recipe(like, scale, seed, difficulty, size)
    started = time.perf_counter()
    plan = write_set(recipe, out, fmt, workers)
    if quiet:
        return
    rate = recipe.total / (time.perf_counter() - started)
    splits = ", ".join(f"{split} {count:,}" for split, count in plan.splits().items())
    typer.echo(NOTICE, err=True)
    typer.echo(
        f"wrote {printable(str(out))}: {recipe.total:,} pictures ({splits}), {rate:.0f} a second",
        err=True,
    )
