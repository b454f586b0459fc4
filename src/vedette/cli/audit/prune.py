"""``vedette audit prune``: forget old decisions."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from vedette.cli.audit.common import DATABASE, Database, Yes, confirm, opened


def prune(
    days: Annotated[
        float, typer.Option("--days", min=0, help="Erase decisions that are older, in days.")
    ],
    database: Database = DATABASE,
    yes: Yes = False,
) -> None:
    """Erase the payloads of old decisions. The chains still verify.

    The service does so itself, after `retention_days`.
    """
    from vedette.serve.audit.chain import new_chain
    from vedette.serve.audit.erasure import prune as pruned

    confirm("an erasure", yes)
    with opened(database) as engine:
        count = pruned(engine, new_chain(), time.time() - days * 86_400)
    typer.echo(f"erased {count} decisions")
