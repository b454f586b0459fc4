"""What the commands share: errors as one line with a hint, and text safe to print."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import typer

from vedette.errors import VedetteError
from vedette.text import printable

if TYPE_CHECKING:
    from vedette.types import Record

P = ParamSpec("P")
R = TypeVar("R")

USAGE = 2
INTERRUPTED = 130
BROKEN_PIPE = 141
"""What a shell reports for a program that SIGPIPE has ended."""
INTERNAL = 70
"""Exit status of a defect in Vedette itself (``EX_SOFTWARE``)."""


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """``command`` with its errors printed as one line and turned into the exit status."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except VedetteError as error:
            complain(f"{error.message} [{error.code}]", error.hint)
            raise typer.Exit(USAGE) from error
        except KeyboardInterrupt:
            complain("stopped", "run the same command again to continue; a scan needs --resume")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # The reader of our output has gone, e.g. `| head`. The scan is not done: not status 0.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(BROKEN_PIPE) from None
        except Exception as error:
            if _is_exit(error) or os.environ.get("VEDETTE_DEBUG"):
                raise
            complain(
                f"a defect in vedette: {type(error).__name__}: {error}",
                "set VEDETTE_DEBUG=1 for the traceback, and report it",
            )
            raise typer.Exit(INTERNAL) from error

    return run


def verdict_line(record: Record) -> str:
    """One line for a person: action, key and why."""
    why = [
        f"{reason.what} {reason.p:.2f} >= {reason.threshold:g}" for reason in record.verdict.reasons
    ]
    if record.failure is not None:
        why.append(f"not scanned: {record.failure.code} ({record.failure.message})")
    line = f"{record.verdict.action:<7} {record.key}  {'; '.join(why)}"
    return printable(line.rstrip())


def _is_exit(error: Exception) -> bool:
    """Whether Typer raised it to end the program or to explain a wrong option."""
    return isinstance(error, typer.Exit | typer.Abort | typer.BadParameter)


def complain(message: str, hint: str) -> None:
    """One line on standard error."""
    typer.echo(f"error: {printable(message)} - {printable(hint)}", err=True)
