"""``vedette bench compare``: whether models differ by more than chance."""

from __future__ import annotations

import typer

from vedette.cli.bench.report import Html, Markdown, Overwrite, Results
from vedette.text import printable


def compare(
    results: Results,
    html: Html = None,
    markdown: Markdown = None,
    overwrite: Overwrite = False,
) -> None:
    """Compare models on the same images: McNemar's test, Holm's correction, paired differences."""
    from vedette.bench.comparison import compare as compared
    from vedette.bench.report.checked import check
    from vedette.bench.report.document import of_evidence
    from vedette.bench.report.outputs import check_outputs, write_outputs
    from vedette.bench.report.terminal import lines
    from vedette.bench.result import read_results

    places = check_outputs(html, markdown, overwrite=overwrite)
    read = read_results(results)
    for result in read:
        check(result)
    told = of_evidence(compared(read), read, "Comparison")
    for line in lines(told, whole=True):
        typer.echo(line)
    write_outputs(told, html, markdown)
    for path in places:
        typer.echo(f"wrote {printable(str(path))}", err=True)
