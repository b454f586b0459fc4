"""``vedette annotate``: labelling by people, from the pictures to agreed labels."""

from __future__ import annotations

import typer

from vedette.cli.annotate import agreement, create, exchange, join, label, status
from vedette.cli.common import guarded

app = typer.Typer(help="Label pictures by the paper's protocol.", no_args_is_help=True)

app.command("create")(guarded(create.create))
app.command("join")(guarded(join.join))
app.command("label")(guarded(label.label))
app.command("status")(guarded(status.status))
app.command("agreement")(guarded(agreement.agreement))
app.command("export")(guarded(exchange.export))
app.command("import")(guarded(exchange.import_))
