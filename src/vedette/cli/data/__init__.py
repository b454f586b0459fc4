"""``vedette data``: data sets, from import to audit. One file for each command."""

from __future__ import annotations

import typer

from vedette.cli.common import guarded
from vedette.cli.data import audit, check_labels, collect, sets, split, stats, synth, vault

app = typer.Typer(help="Data sets: terms, import, audit, splits.", no_args_is_help=True)

app.command("sets")(guarded(sets.sets))
app.command("import")(guarded(vault.import_))
app.command("list")(guarded(vault.list_))
app.command("verify")(guarded(vault.verify))
app.command("delete")(guarded(vault.delete))
app.command("export")(guarded(vault.export))
app.command("check-labels")(guarded(check_labels.check_labels))
app.command("audit")(guarded(audit.audit))
app.command("split")(guarded(split.split))
app.command("synth")(guarded(synth.synth))
app.command("stats")(guarded(stats.stats))
app.command("collect")(guarded(collect.collect))
