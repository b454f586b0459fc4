"""``vedette lists``: hash lists of known pictures, brought in, shown and asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vedette.cli.common import guarded
from vedette.errors import UnknownNameError, UsageError
from vedette.text import printable

if TYPE_CHECKING:
    from vedette.hashlists.entries import Entry
    from vedette.hashlists.lists import HashLists
    from vedette.settings import Settings

app = typer.Typer(help="Hash lists of known pictures.", no_args_is_help=True)

Places = Annotated[
    list[Path] | None,
    typer.Option("--lists", "-l", help="A file or folder of lists. Repeatable. [serve.lists]"),
]
Config = Annotated[
    Path | None, typer.Option("--config", help="Settings file (TOML). [$VEDETTE_CONFIG]")
]


def import_(
    files: Annotated[list[Path], typer.Argument(help="Lists: text, CSV, JSON or JSON lines.")],
    name: Annotated[str, typer.Option("--name", "-n", help="What the list is to be called.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to store it in.")],
    kind: Annotated[
        str | None,
        typer.Option("--kind", "-k", help="allow, block or quarantine, where no row says it."),
    ] = None,
    match: Annotated[
        str | None, typer.Option("--match", help="sha256 or pdq, where no row says it.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the list of that name.")
    ] = False,
) -> None:
    """Bring lists in, as one list. Nothing is stored if one line of them cannot be used."""
    from vedette.hashlists.entries import Kind, Match
    from vedette.hashlists.files import checked_name
    from vedette.hashlists.forms import read_list
    from vedette.hashlists.importing import store

    checked_name(name)
    default = None if kind is None else Kind(_one_of("kind", kind, [one.value for one in Kind]))
    match_ = None if match is None else Match(_one_of("match", match, [one.value for one in Match]))
    entries: list[Entry] = []
    for file in files:
        reading = read_list(file, match_)
        entries += reading.entries
        for why, count in sorted(reading.left_out.items()):
            typer.echo(printable(f"{file.name}: left out {count}: {why}"), err=True)
    for path, count in store(entries, name, out, default, overwrite=overwrite):
        typer.echo(printable(f"{path}  {count} entries"))


def show(
    places: Annotated[
        list[Path] | None, typer.Argument(help="Files and folders of lists. [serve.lists]")
    ] = None,
    config: Config = None,
) -> None:
    """Show what lists there are, once each is found to be whole. Never their hashes."""
    from vedette.settings import load_settings

    settings = load_settings(config)
    count = entries = 0
    with _opened(places, config, settings) as lists:
        for one in lists.lists:
            typer.echo(
                printable(
                    f"{one.kind:<10} {one.match:<6} {one.count:>9}  {one.name}  "
                    f"{one.path}  {one.sha256[:12]}"
                )
            )
            count, entries = count + 1, entries + one.count
    typer.echo(f"{count} lists, {entries} entries", err=True)


def check(
    files: Annotated[list[Path], typer.Argument(help="Pictures, animations or videos.")],
    places: Places = None,
    config: Config = None,
) -> None:
    """Say which lists files are on. No picture is shown, and no model runs.

    Exit status: 0 none is on a list that stops it, 1 one is, 3 one could not be checked, 2 the
    call is wrong.
    """
    from vedette.errors import ItemError
    from vedette.hashlists.entries import Kind
    from vedette.hashlists.lists import file_sha256
    from vedette.settings import load_settings
    from vedette.types import Item

    settings = load_settings(config)
    stopped = failed = False
    with _opened(places, config, settings) as lists:
        for file in files:
            try:
                hit = lists.check(Item(str(file), file), file_sha256(file))
            except ItemError as error:
                failed = True
                typer.echo(printable(f"unchecked   {file}  {error.code} ({error.message})"))
                continue
            if hit is None:
                typer.echo(printable(f"none        {file}"))
                continue
            stopped = stopped or hit.kind != Kind.ALLOW
            bits = f", {hit.distance} bits" if hit.match == "pdq" else ""
            told = f"{hit.kind:<11} {file}  {hit.list} ({hit.match}{bits})  {hit.entry}"
            typer.echo(printable(told.rstrip()))
    raise typer.Exit(3 if failed else int(stopped))


@contextmanager
def _opened(
    places: list[Path] | None, config: Path | None, settings: Settings
) -> Iterator[HashLists]:
    """The lists of some places; of the service's, where none is named."""
    from vedette.hashlists.lists import HashLists
    from vedette.serve.options import load_options

    chosen = places or [Path(place) for place in load_options(config).lists]
    if not chosen:
        raise UsageError("no hash lists are named", hint="name a folder, or set serve.lists")
    lists = HashLists(chosen, settings, every_s=0)
    try:
        yield lists
    finally:
        lists.close()


def _one_of(what: str, given: str, known: Sequence[str]) -> str:
    if given not in known:
        raise UnknownNameError(what, given, known)
    return given


app.command("import")(guarded(import_))
app.command("show")(guarded(show))
app.command("check")(guarded(check))
