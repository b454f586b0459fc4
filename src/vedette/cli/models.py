"""``vedette models``: which classifiers there are, what is known of them, and their weights."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vedette.cli import export
from vedette.cli.common import INTERRUPTED, complain, guarded
from vedette.text import printable

if TYPE_CHECKING:
    from vedette.models.base import ModelCard

app = typer.Typer(help="Which classifiers there are, and their weights.", no_args_is_help=True)

NAMES = typer.Argument(help="Models' names.")
BAD = 1
"""Exit status where some weights are not the right ones."""


def list_(
    commercial: Annotated[
        bool,
        typer.Option("--commercial", help="Only those whose terms admit commercial use."),
    ] = False,
) -> None:
    """List the models: name, whether its weights are here, terms, and what it is."""
    from vedette.models.registry import entries, patterns

    rows = [
        (name, _weights_word(entry.card), _terms_word(entry.card), entry.card.summary)
        for name, entry in entries().items()
        if _is_commercial(entry.card) or not commercial
    ]
    if not commercial:  # of these nobody knows before one is named
        rows += [(pattern.form, "-", "-", pattern.summary) for pattern in patterns()]
    width = max(len(name) for name, *_ in rows)
    for name, weights, terms, summary in rows:
        typer.echo(f"{name:<{width}}  {weights:<8}  {terms:<14}  {summary}")


def show(
    name: Annotated[str, typer.Argument(help="A model's name.")],
) -> None:
    """Show a model's card: licence, provenance, weights, labels and what they count for."""
    from vedette.hub.locate import parts

    card = _card(name)
    for key, value in _facts(card):
        typer.echo(f"{key:<11} {printable(value)}")
    for part in parts(card):
        typer.echo(f"weights of {printable(part.id)}")
        for line in _weights_lines(part):
            typer.echo(f"  {printable(line)}")
    typer.echo("labels")
    for label, counted in card.labels.items():
        typer.echo(f"  {printable(label):<28} {', '.join(counted) or 'not counted'}")


def pull(
    names: Annotated[list[str], NAMES],
    accept_terms: Annotated[
        bool,
        typer.Option("--accept-terms", help="Accept terms that do not admit commercial use."),
    ] = False,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings file (TOML). [$VEDETTE_CONFIG]")
    ] = None,
) -> None:
    """Fetch models' weights, check them and pin them. Nothing else in Vedette uses the network."""
    from vedette.hub.locate import parts
    from vedette.hub.pull import pull as pull_weights
    from vedette.settings import load_settings

    settings = load_settings(config)
    cards = [(name, _card(name)) for name in names]  # a typo in the last one costs no download
    for name, card in cards:
        if not parts(card):
            typer.echo(f"{name}: nothing to pull, {_without_weights(card)}", err=True)
        for part in parts(card):
            try:
                with _Shown() as shown:
                    folder = pull_weights(
                        part,
                        accept_terms=accept_terms,
                        commercial=settings.commercial,
                        watcher=shown,
                    )
            except KeyboardInterrupt:
                complain("stopped", "run the same command again: it goes on where it stopped")
                raise typer.Exit(INTERRUPTED) from None
            typer.echo(f"{part.id}\t{folder}")


def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Models' names. Without any: all whose weights are here."),
    ] = None,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Accept the files that are here as weights of your own."),
    ] = False,
) -> None:
    """Hold every file of models' weights to its hash; exit status 1 if any is not the right one."""
    from vedette.errors import UsageError
    from vedette.hub.locate import parts
    from vedette.hub.trust import trust as trust_weights
    from vedette.models.registry import entries

    if trust and not names:
        raise UsageError("--trust needs the names of the models that it is for")
    cards = [_card(name) for name in names or ()]
    for card in cards:
        if not parts(card):
            typer.echo(f"{card.id}: nothing to verify, {_without_weights(card)}", err=True)
    every = cards or [entry.card for entry in entries().values()]
    good = True
    for part in {part.id: part for card in every for part in parts(card)}.values():
        if trust:
            trust_weights(part)
        good &= _verify(part, wanted=bool(names))
    if not good:
        raise typer.Exit(BAD)


def _verify(card: ModelCard, *, wanted: bool) -> bool:
    """Print how each file stands; whether all may be used, or nobody asked for what is not here."""
    from vedette.hub.locate import State, examine, revision

    located = examine(card)
    if located is None:
        if wanted and card.weights is not None:
            for file in card.weights.files:
                typer.echo(f"{card.id}\t{State.MISSING}\t{printable(file.path)}")
        return not wanted
    for found in located.files:
        typer.echo(f"{card.id}\t{found.state}\t{printable(str(located.folder / found.path))}")
    if not located.only(State.OK, State.OWN, State.UNPINNED):
        return False
    typer.echo(f"{card.id}\trevision\t{revision(card, located)}")
    return True


def _card(name: str) -> ModelCard:
    """The card of a model, or of something that models need: a backbone is pulled by its name."""
    from vedette.hub.locate import parts
    from vedette.models.registry import entries, get

    needed = {
        part.id: part
        for entry in entries().values()
        for part in parts(entry.card)
        if part is not entry.card
    }
    return needed[name] if name in needed else get(name).card


def _facts(card: ModelCard) -> Iterator[tuple[str, str]]:
    yield "model", card.model
    yield "summary", card.summary
    yield "licence", card.licence
    yield "terms", card.terms
    yield "commercial", "yes" if _is_commercial(card) else "no"
    yield "trained on", card.trained_on
    yield "source", card.source
    if card.sha256 is not None:
        yield "sha256", card.sha256
    if card.needs:
        yield "runs on", ", ".join(needed.id for needed in card.needs)
    if card.weights is None and not card.needs:
        yield "weights", _without_weights(card)
    yield "input", f"{card.fit.size} px, {card.fit.mode}"
    yield "precisions", ", ".join(card.precisions)
    yield "parameters", f"{card.parameters:,}" if card.parameters else "not stated"
    yield "embedding", f"{card.embedding} dimensions" if card.embedding else "none"
    yield "reference", card.reference
    yield "covers", ", ".join(card.covered) or "nothing: it gives embeddings"
    if card.calibrated is not None:
        yield "calibrated", card.calibrated
    if card.measured:
        yield "measured", card.measured


def _weights_lines(card: ModelCard) -> Iterator[str]:
    """Where the weights come from and where they are. Does not read them."""
    from vedette.hub.locate import folder_of

    if card.weights is None:
        return
    folder = folder_of(card)
    yield f"from       {card.weights.url or card.weights.repo}"
    yield f"revision   {card.weights.revision}"
    yield f"folder     {folder or f'not here: vedette models pull {card.id}'}"
    for file in card.weights.files:
        yield f"{file.sha256 or 'pinned by the first pull':<64}  {file.path}"


def _without_weights(card: ModelCard) -> str:
    if card.sha256 is None:
        return "it has no weights to pull"
    return f"its weights come with {f'vedette[{card.extra}]' if card.extra else 'its package'}"


def _weights_word(card: ModelCard) -> str:
    from vedette.hub.locate import folder_of, parts

    if not parts(card):
        return "none" if card.sha256 is None else "packaged"
    return "here" if all(folder_of(part) for part in parts(card)) else "to pull"


def _is_commercial(card: ModelCard) -> bool:
    """Whether terms admit commercial use, those of what the model needs included."""
    return card.commercial and all(_is_commercial(needed) for needed in card.needs)


def _terms_word(card: ModelCard) -> str:
    return "commercial" if _is_commercial(card) else "non-commercial"


class _Shown:
    """Shows how a pull goes on: lines on standard error, and a bar where that is a terminal."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> _Shown:
        return self

    def __exit__(self, *reason: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def tell(self, line: str) -> None:
        """See :class:`vedette.hub.pull.Watcher`."""
        typer.echo(printable(line), err=True)

    def advance(self, path: str, done: int, total: int | None) -> None:
        """See :class:`vedette.hub.pull.Watcher`."""
        if not sys.stderr.isatty():
            return
        if self._bar is None:
            from rich.console import Console
            from rich.progress import Progress

            self._bar = Progress(console=Console(stderr=True), redirect_stdout=False)
            self._bar.start()
        if path not in self._tasks:
            self._tasks[path] = self._bar.add_task(printable(path), total=total)
        self._bar.update(self._tasks[path], completed=done, total=total)


app.command("list")(guarded(list_))
app.command("show")(guarded(show))
app.command("pull")(guarded(pull))
app.command("verify")(guarded(verify))
app.command("export")(guarded(export.export))
