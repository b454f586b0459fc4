"""``vedette models export``: a model as files for other programs and machines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vedette.text import printable


def export(
    name: Annotated[str, typer.Argument(help="A model, see `vedette models list`.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")],
    format_: Annotated[
        str, typer.Option("--format", help="onnx, openvino or torchscript.")
    ] = "onnx",
    precision: Annotated[str, typer.Option("--precision", help="fp32 or int8.")] = "fp32",
    calibrate: Annotated[
        list[str] | None,
        typer.Option("--calibrate", help="For int8: pictures of the kind it will see. Repeatable."),
    ] = None,
    max_drift: Annotated[
        float | None,
        typer.Option("--max-drift", help="Refuse an int8 that moves a probability more. [0.05]"),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a folder that is already there.")
    ] = False,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings file (TOML). [$VEDETTE_CONFIG]")
    ] = None,
) -> None:
    """Write a model as a folder that --model reads again, on any machine.

    Heads over a backbone, and what vedette train makes, become one network that needs nothing else.
    It inherits the licences and terms of all that is in it. int8 is measured on half of the
    pictures given, and refused where it moves probabilities too far.
    """
    from vedette.bench.fingerprints import FILE
    from vedette.compile.export import MAX_DRIFT, ExportOptions, whole_card
    from vedette.compile.export import export as write
    from vedette.data.paths import PathSource
    from vedette.models.base import ModelOptions
    from vedette.models.exported import is_there
    from vedette.models.registry import build
    from vedette.settings import load_settings

    settings = load_settings(config)
    bound = MAX_DRIFT if max_drift is None else max_drift
    options = ExportOptions(format_, precision, bound, overwrite, settings.limits)
    source = PathSource(calibrate, settings.limits) if calibrate else None
    model = build(name, ModelOptions(precision="fp32", commercial=settings.commercial))
    known = Path(name) / FILE  # what it was trained on is no test of the exported model either
    moved = write(model, out, options, source, (known,) if is_there(known) else ())
    if moved is not None:
        typer.echo(f"int8: {moved}")
    typer.echo(f"wrote {printable(str(out))}: {model.card.model}, {format_} {precision}")
    card = whole_card(model.card)
    typer.echo(f"terms: {printable(card.licence)}; {printable(card.terms)}")
