"""``vedette decide``: stored Records under another policy, without running a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vedette.cli.common import verdict_line


def decide(
    records: Annotated[Path, typer.Argument(help="Records of a scan (.jsonl).")],
    policy: Annotated[str, typer.Option("--policy", "-p", help="A preset or a policy file.")],
    calibration: Annotated[
        Path | None,
        typer.Option("--calibration", help="Calibrate the scores first: a file for their model."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write them: .jsonl, .csv or .parquet.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the output if it is there.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Decide stored Records again under another policy. No model runs.

    Exit status as of `scan`.
    """
    from collections.abc import Iterator

    from vedette.calibrate import read_calibration
    from vedette.policy import load_policy
    from vedette.run import Summary
    from vedette.sinks.base import check_places, writer_for
    from vedette.types import Record
    from vedette.wire import read_jsonl

    chosen = load_policy(policy)
    curves = None if calibration is None else read_calibration(calibration, categories=True)
    summary = Summary()
    changed = 0

    def decided() -> Iterator[Record]:
        nonlocal changed
        for before in read_jsonl(records):
            after = chosen.apply(before if curves is None else curves.record(before))
            summary.add(after)
            if after.verdict.action is not before.verdict.action:
                changed += 1
                if not quiet:
                    typer.echo(f"{before.verdict.action} -> {verdict_line(after)}")
            yield after

    if out is None:
        for _ in decided():
            pass
    else:
        write = writer_for(out)
        check_places([out], overwrite=overwrite)
        write(decided(), out)
    if not quiet:
        counts = ", ".join(f"{count} {action}" for action, count in sorted(summary.actions.items()))
        typer.echo(
            f"{summary.total} records under {chosen.id}: {counts}; {changed} changed", err=True
        )
    raise typer.Exit(summary.exit_status)
