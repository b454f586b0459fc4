"""``vedette bench``: how far a classifier can be trusted. One file for each command."""

from __future__ import annotations

import typer

from vedette.cli.bench import compare, fingerprints, leaderboard, report, run, tasks
from vedette.cli.common import guarded

app = typer.Typer(help="Benchmark classifiers, and report what was found.", no_args_is_help=True)

app.command("run")(guarded(run.run))
app.command("report")(guarded(report.report))
app.command("compare")(guarded(compare.compare))
app.command("leaderboard")(guarded(leaderboard.leaderboard))
app.command("tasks")(guarded(tasks.tasks))
app.command("fingerprints")(guarded(fingerprints.fingerprints))
