"""``vedette audit erase``: forget all that is stored about a subject."""

from __future__ import annotations

from typing import Annotated

import typer

from vedette.cli.audit.common import DATABASE, Database, Yes, confirm, opened


def erase(
    subject: Annotated[
        str, typer.Option("--subject", help="The subject's id as callers of the service give it.")
    ],
    database: Database = DATABASE,
    yes: Yes = False,
) -> None:
    """Erase the payloads of all decisions about a subject. The chains still verify.

    Needs the secret that the service has: VEDETTE_AUDIT_KEY, or the file beside SQLite.
    """
    from vedette.serve.audit.chain import new_chain
    from vedette.serve.audit.erasure import erase as erased
    from vedette.serve.audit.secret import audit_secret, subject_hash

    confirm("an erasure", yes)
    with opened(database) as engine:
        wanted = subject_hash(audit_secret(database, create=False), subject)
        count = erased(engine, new_chain(), wanted)
    typer.echo(f"erased {count} decisions")
