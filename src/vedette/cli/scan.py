"""``vedette scan``: pictures in, verdicts out."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vedette.cli.common import verdict_line
from vedette.text import printable

if TYPE_CHECKING:
    from vedette.actions import FileAction
    from vedette.data.paths import PathSource
    from vedette.pipeline import Scanner
    from vedette.run import Outputs, Summary
    from vedette.settings import Settings
    from vedette.types import Record


def scan(
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Files, folders, zip or tar archives, globs; '-' reads a list from stdin."
        ),
    ],
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="See `vedette models list`. [nudenet]")
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option("--policy", "-p", help="A preset's name or a policy file. [default]"),
    ] = None,
    scope: Annotated[
        str | None,
        typer.Option("--scope", help="Hate,Violence: what a vision-language model is asked about."),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option("--calibration", help="File of `vedette calibrate` for this model."),
    ] = None,
    out: Annotated[
        list[Path] | None,
        typer.Option("--out", "-o", help="Write Records: .jsonl, .csv or .parquet. Repeatable."),
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a report page.")] = None,
    no_thumbnails: Annotated[
        bool, typer.Option("--no-thumbnails", help="No pictures in the report.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted scan's output.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace outputs that are already there.")
    ] = False,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", help="Pattern of names or keys to leave out. Repeatable."),
    ] = None,
    quarantine: Annotated[
        Path | None, typer.Option("--quarantine", help="Move blocked files into this folder.")
    ] = None,
    quarantine_copy: Annotated[
        bool, typer.Option("--quarantine-copy", help="Copy instead of moving.")
    ] = False,
    censor: Annotated[
        Path | None,
        typer.Option("--censor", help="Write copies with the unsafe regions pixelated."),
    ] = None,
    hardened: Annotated[
        bool, typer.Option("--hardened", help="Decode in guarded worker processes.")
    ] = False,
    backend: Annotated[
        str | None, typer.Option("--backend", help="auto, onnx or openvino. [auto]")
    ] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", help="auto, fp32 or bf16. [auto]")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=0, help="Decode threads; 0: one per core.")
    ] = None,
    exact_decode: Annotated[
        bool, typer.Option("--exact-decode", help="Never decode large JPEGs at reduced scale.")
    ] = False,
    embeddings: Annotated[
        bool, typer.Option("--embeddings", help="Keep embeddings in the Records.")
    ] = False,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings file (TOML). [$VEDETTE_CONFIG]")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print one Record a line on stdout.")
    ] = False,
) -> None:
    """Scan pictures, archives and videos into verdicts with reasons.

    Exit status: 0 all allowed, 1 something flagged, 2 wrong usage, 3 something could not be
    scanned (it is in the output with its reason, and is never allowed).
    """
    from vedette.data.paths import PathSource
    from vedette.data.vault.place import keep_inside
    from vedette.pipeline import Scanner
    from vedette.run import Outputs, run_scan
    from vedette.settings import load_settings

    settings = load_settings(config)
    chosen = {
        "backend": backend,
        "precision": precision,
        "workers": workers,
        "hardened": hardened or None,
        "exact_decode": exact_decode or None,
        "embeddings": embeddings or None,
        "scope": scope,
    }
    given = {name: value for name, value in chosen.items() if value is not None}
    options = dataclasses.replace(settings.scan, **given)  # type: ignore[arg-type]
    settings = dataclasses.replace(settings, scan=options)
    outputs = Outputs(tuple(out or ()), html, not no_thumbnails, resume, overwrite)
    _refuse_own_place(paths, quarantine, censor)
    own = [path for path in (*outputs.files, quarantine, censor) if path is not None]
    named = list(_listed(paths))
    if quarantine or censor or (html and not no_thumbnails):
        keep_inside(named, "this")
    source = PathSource(named, settings.limits, tuple(exclude or ()), own)
    with Scanner(
        model or settings.model,
        policy or settings.policy,
        settings,
        calibration or settings.calibration or None,
    ) as scanner:
        actions = _actions(quarantine, quarantine_copy, censor, scanner, settings)
        with _Display(source, quiet=quiet, json=json) as display:
            summary = run_scan(source, scanner, outputs, actions, display.show)
        if not quiet and not json:
            _print_summary(summary, scanner, outputs, actions, display.rate)
    raise typer.Exit(summary.exit_status)


def _listed(paths: list[str]) -> Iterable[str]:
    """The paths, with ``-`` replaced by the names on stdin, one a line (or NUL-separated)."""
    import os

    from vedette.errors import UsageError

    for path in paths:
        if path != "-":
            yield path
            continue
        if sys.stdin is None:
            raise UsageError("'-' reads a list from standard input, which is closed")
        data = sys.stdin.buffer.read()
        names = data.split(b"\0") if b"\0" in data else data.splitlines()
        yield from (os.fsdecode(name) for name in names if name.strip())


def _refuse_own_place(paths: list[str], *folders: Path | None) -> None:
    """Refuse folders for copies that lead back to the pictures, before hours of scanning."""
    from vedette.actions import leads_back
    from vedette.errors import UsageError

    for folder in folders:
        if folder is not None and any(leads_back(folder, path) for path in paths):
            raise UsageError(f"{folder} is where the pictures are", hint="give a folder of its own")


def _actions(
    quarantine: Path | None,
    copy: bool,
    censor: Path | None,
    scanner: Scanner,
    settings: Settings,
) -> list[FileAction]:
    from vedette.actions import Censor, Quarantine
    from vedette.models.base import bare

    actions: list[FileAction] = []
    if censor is not None:  # before the file moves away
        policy = scanner.policy
        labels = frozenset(
            bare(label)
            for label, counted in scanner.model.card.labels.items()
            if not policy.categories.keys().isdisjoint(counted) or bare(label) in policy.regions
        )
        actions.append(Censor(censor, settings.limits, labels))
    if quarantine is not None:
        actions.append(Quarantine(quarantine, move=not copy))
    return actions


class _Display:
    """Progress on standard error; flagged items, or all as JSON, on standard output."""

    def __init__(self, source: PathSource, *, quiet: bool, json: bool) -> None:
        self._quiet, self._json = quiet, json
        self._progress: Any = None
        self._source = source
        self._count = 0
        self.rate = 0.0

    def __enter__(self) -> _Display:
        import time

        self._started = time.perf_counter()
        if not self._quiet and not self._json and sys.stderr.isatty():
            self._progress = _progress()
            self._task = self._progress.add_task("scanning", total=None)
            self._progress.start()
            self._count_ahead()
        return self

    def __exit__(self, *exit_info: object) -> None:
        import time

        self.rate = self._count / max(time.perf_counter() - self._started, 1e-9)
        if self._progress is not None:
            self._progress.stop()

    def show(self, record: Record) -> None:
        """One Record came out."""
        from vedette import wire

        self._count += 1
        if self._progress is not None:
            self._progress.advance(self._task)
        if self._json:
            typer.echo(wire.to_line(record))
        elif not self._quiet and record.verdict.action != "allow":
            self._print(verdict_line(record))

    def _print(self, line: str) -> None:
        if self._progress is not None and sys.stdout.isatty():
            # Through the bar's console, which puts it above the bar.
            self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            typer.echo(line)

    def _count_ahead(self) -> None:
        """Count the files while the scan has begun, for the time left."""
        import threading

        def count() -> None:
            total = self._source.count_files()
            self._progress.update(self._task, total=total)

        threading.Thread(target=count, daemon=True).start()


def _progress() -> Any:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.0f}/s" if task.speed else "")

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,  # results may go into a pipe while the bar is on the terminal
    )


def _print_summary(
    summary: Summary,
    scanner: Scanner,
    outputs: Outputs,
    actions: Iterable[FileAction],
    rate: float,
) -> None:
    from rich.console import Console
    from rich.table import Table

    from vedette.errors import CODES
    from vedette.models.base import Tells
    from vedette.types import Action

    console = Console(stderr=True, highlight=False)
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row("scanned", str(summary.total), f"{rate:.0f} files/s, {scanner.model.runtime}")
    if summary.resumed:
        table.add_row("resumed", str(summary.resumed), "done by an earlier run")
    for verdict in Action:
        table.add_row(verdict.value, str(summary.actions[verdict]), "")
    for code, count in sorted(summary.failures.items()):
        table.add_row("not scanned", str(count), f"{code}: {CODES[code][0]}")
    console.print(table)
    unseen = [c.value for c in scanner.policy.categories if c not in scanner.model.card.covered]
    if unseen:
        console.print(
            f"not looked for by {scanner.model.card.id}: {', '.join(unseen)}", style="yellow"
        )
    said = scanner.model.told() if isinstance(scanner.model, Tells) else ()
    for line in (*said, *(line for action in actions for line in action.told())):
        console.print(printable(line), markup=False)
    for path in (*outputs.out, outputs.html):
        if path is not None:
            console.print(f"wrote {printable(str(path))}", markup=False)
