"""``vedette bench tasks``: what can be asked about a classifier."""

from __future__ import annotations

import typer


def tasks() -> None:
    """List the tasks of a benchmark."""
    from vedette.bench.tasks.registry import tasks as registered

    known = registered()
    width = max(len(name) for name in known)
    for name, task in known.items():
        typer.echo(f"{name:<{width}}  {task.summary}")
