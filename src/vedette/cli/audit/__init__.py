"""``vedette audit``: the stored decisions of the service. One file for each command."""

from __future__ import annotations

import typer

from vedette.cli.audit import erase, export, prune, verify
from vedette.cli.common import guarded

app = typer.Typer(
    help="Stored decisions of the service: check, export, erase.", no_args_is_help=True
)

app.command("verify")(guarded(verify.verify))
app.command("export")(guarded(export.export))
app.command("erase")(guarded(erase.erase))
app.command("prune")(guarded(prune.prune))
