"""``vedette data stats``: Tables 2 and 9 of any annotated set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vedette.cli.data import common

if TYPE_CHECKING:
    from vedette.data.stats import Statistics

_UNREADABLE = 3


def stats(
    data: common.Data,
    fmt: common.Format = "auto",
    labels: common.Labels = None,
    card: common.Card = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", help="Also write the counts of Table 9: .csv.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Also draw them: .png or .svg.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there.")
    ] = False,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings file (TOML). [$VEDETTE_CONFIG]")
    ] = None,
) -> None:
    """Count the images of a set by source, label and category (UnsafeBench's Tables 2 and 9).

    Pictures are not decoded. Exit status: 0 counted, 2 refused, 3 counted, but some could not be
    read.
    """
    from vedette.data.base import read_all
    from vedette.data.stats import Label, count, write_csv
    from vedette.data.stats_plot import check_suffix, write_plot
    from vedette.data.stats_tables import table_2, table_9
    from vedette.errors import UnknownNameError
    from vedette.sinks.base import check_places

    if csv is not None and csv.suffix.lower() != ".csv":
        raise UnknownNameError("output format", csv.suffix or csv.name, [".csv"])
    if plot is not None:
        check_suffix(plot)
    check_places([path for path in (csv, plot) if path is not None], overwrite=overwrite)
    source = common.opened(data, fmt, labels, card, config)
    counted = count(read_all(source))
    common.show_legend(source)
    notice = _notice(counted)
    if notice:
        typer.echo(notice)
    for line in (*table_2(counted), "", *table_9(counted)):
        typer.echo(line)
    if counted.several:
        typer.echo(f"{counted.several:,} images count under more than one category")
    if csv is not None:
        write_csv(counted, csv)
    if plot is not None:
        write_plot(counted, plot, notice)
    if any(label is Label.FAILED for _, label in counted.tallies):
        raise typer.Exit(_UNREADABLE)


def _notice(counted: Statistics) -> str | None:
    from vedette.data.synth.card import NOTICE

    if not counted.stand_ins:
        return None
    if counted.stand_ins == counted.total:
        return NOTICE
    return f"{NOTICE} ({counted.stand_ins:,} of {counted.total:,})"
