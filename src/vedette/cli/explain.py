"""``vedette explain``: what a model's score of a picture rests on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vedette.cli.common import complain
from vedette.text import printable

if TYPE_CHECKING:
    from vedette.explain.deletion import Deletion
    from vedette.explain.explanation import Explanation
    from vedette.types import Item

_NOT_SCANNED = 3
_LABELS = 8
"""Labels printed; ``--json`` has all."""


def explain(
    image: Annotated[
        str, typer.Argument(help="A picture, an animation or a video; or a Record's key.")
    ],
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="See `vedette models list`. [nudenet]")
    ] = None,
    category: Annotated[
        str | None, typer.Option("--category", help="Explain this one. [the highest score]")
    ] = None,
    frame: Annotated[
        int | None, typer.Option("--frame", min=0, help="Explain this one. [the highest score]")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Draw it over the blurred picture: .png.")
    ] = None,
    show_picture: Annotated[
        bool, typer.Option("--show-picture", help="Do not blur the picture in the PNG.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the PNG if it is there.")
    ] = False,
    grid: Annotated[
        int, typer.Option("--grid", min=2, max=32, help="Cells along a side of the map.")
    ] = 8,
    orders: Annotated[
        int, typer.Option("--orders", min=2, help="Random orders that the map has to beat.")
    ] = 10,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the random orders.")] = 0,
    backend: Annotated[
        str | None, typer.Option("--backend", help="auto, onnx or openvino. [auto]")
    ] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", help="auto, fp32 or bf16. [auto]")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings file (TOML). [$VEDETTE_CONFIG]")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what a model's score of a picture rests on.

    Regions, the nearest labels, and where no region explains the score a map of what it rests on,
    tested against chance. Exit status: 0 explained, 2 wrong usage, 3 something could not be
    scanned.
    """
    from vedette.data.vault.place import keep_inside
    from vedette.errors import ItemError
    from vedette.explain.explanation import ExplainOptions, category_named, to_dict
    from vedette.explain.explanation import explain as explained
    from vedette.models.base import ModelOptions
    from vedette.models.registry import build
    from vedette.settings import load_settings

    wanted = category_named(category) if category is not None else None
    options = ExplainOptions(wanted, frame, grid, orders, seed)
    if out is not None:
        keep_inside([image], "this")
        _check_place(out, image, overwrite=overwrite)
    settings = load_settings(config)
    chosen = ModelOptions(
        backend or settings.scan.backend,
        precision or settings.scan.precision,
        settings.commercial,
    )
    classifier = build(model or settings.model, chosen)
    try:
        explanation = explained(classifier, _item(image), settings, options)
    except ItemError as error:
        complain(f"{printable(image)}: {error.message} [{error.code}]", error.hint)
        raise typer.Exit(_NOT_SCANNED) from error
    if out is not None:
        _write(explanation, out, sharp=show_picture)
    if json:
        from json import dumps

        typer.echo(dumps(to_dict(explanation), allow_nan=False))
    else:
        for line in _lines(explanation):
            typer.echo(printable(line))
        if out is not None:
            typer.echo(f"wrote {printable(str(out))}", err=True)
    if explanation.failure is not None:
        from vedette.errors import CODES

        failure = explanation.failure
        complain(f"not looked at whole: {failure.message} [{failure.code}]", CODES[failure.code][1])
        raise typer.Exit(_NOT_SCANNED)


def _check_place(out: Path, image: str, *, overwrite: bool) -> None:
    from vedette.errors import UnknownNameError, UsageError
    from vedette.sinks.base import check_places

    if out.suffix.lower() != ".png":
        raise UnknownNameError("output format", out.suffix or out.name, [".png"])
    if out.resolve() == Path(image).resolve() and out.exists():
        raise UsageError(f"{out} is the picture itself", hint="give the PNG a name of its own")
    check_places([out], overwrite=overwrite)


def _item(key: str) -> Item:
    """The file or the archive member of that key; a name of nothing fails when it is read."""
    from vedette.data.paths import PathSource
    from vedette.types import Item

    return PathSource([]).find(key) or Item(key, Path(key))


def _write(explanation: Explanation, out: Path, *, sharp: bool) -> None:
    from vedette.explain.drawing import draw
    from vedette.sinks.base import replacing

    with replacing(out) as temporary:
        draw(explanation, sharp=sharp).save(temporary, "PNG")


def _lines(explanation: Explanation) -> list[str]:
    subject, card = explanation.subject, explanation.card
    image = subject.image
    lines = [f"{subject.category} {subject.p:.2f}  {explanation.key}", f"model    {card.model}"]
    if image.frame or image.frames != 1:
        at = "" if image.time_s is None else f" at {image.time_s:.1f} s"
        lines.append(f"frame    {image.frame}{at}")
    labels = explanation.labels()
    for label, p in labels[:_LABELS]:
        counted = [c.value for c in card.labels[label] if c.value != label]
        lines.append(f"label    {p:.2f}  {label}{_counting(counted)}")
    if len(labels) > _LABELS:
        lines.append(f"         and {len(labels) - _LABELS} more (--json has all)")
    for region in subject.prediction.regions:
        x, y, w, h = region.box
        note = "" if explanation.counts(region) else f"  (not {subject.category})"
        lines.append(f"region   {region.score:.2f}  {region.label}  {w} x {h} at {x}, {y}{note}")
    if explanation.relevance is not None and explanation.deletion is not None:
        cells = explanation.relevance.cells
        row, column = divmod(int(cells.argmax()), len(cells))
        where = f"row {row + 1}, column {column + 1} of {len(cells)} x {len(cells)}"
        fall = f"{max(float(cells.max()), 0):.2f} logits less without it"
        lines.append(f"map      strongest in {where}: {fall}")
        lines += _outcome(explanation.deletion)
    return lines


def _counting(counted: list[str]) -> str:
    return f"  ({', '.join(counted)})" if counted else ""


def _outcome(test: Deletion) -> list[str]:
    verdict = "beats random" if test.beats_random else "DOES NOT BEAT RANDOM: do not rely on it"
    return [
        f"test     the map {verdict}",
        f"         mean probability {test.area:.3f} as cells go in its order, "
        f"{test.random_mean:.3f} +- {test.random_std:.3f} in {test.orders} random orders",
        f"         {test.moved_as_good} of {test.moved} maps moved elsewhere do as well",
    ]
