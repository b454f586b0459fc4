"""``vedette data import``, ``list``, ``verify``, ``delete``, ``export``: the vault."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vedette.cli.data import common
from vedette.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vedette.data.cards import SetCard
    from vedette.data.vault.entry import Entry
    from vedette.data.vault.verify import Finding

_FOUND = 1
_NOT_IMPORTED = 3

Name = Annotated[str, typer.Argument(help="A set in the vault, see `vedette data list`.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
_MOST_TOLD = 20


def import_(
    data: common.Data,
    name: Annotated[str, typer.Option("--name", help="What the set is called in the vault.")],
    fmt: common.Format = "auto",
    labels: common.Labels = None,
    card: common.Card = None,
    accept_terms: Annotated[
        bool, typer.Option("--accept-terms", help="Accept the terms of the published set.")
    ] = False,
    encrypt: Annotated[
        bool, typer.Option("--encrypt", help="Encrypt it: key from VEDETTE_VAULT_KEY or keyring.")
    ] = False,
    hardened: Annotated[
        bool, typer.Option("--hardened", help="Decode in guarded worker processes.")
    ] = False,
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Decode threads; 0: one for each core.")
    ] = 0,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings file (TOML). [$VEDETTE_CONFIG]")
    ] = None,
) -> None:
    """Import a data set into the vault: checked, decoded once, private.

    Archives are read to their end before a byte is trusted. Stopped, it is continued by running it
    again. Exit status: 0 imported, 2 refused, 3 imported, but some images could not be decoded.
    """
    from dataclasses import replace

    from vedette.data.acceptance import check_set_terms, terms_of
    from vedette.data.archive_check import check_archives
    from vedette.data.labelling import parse_labels
    from vedette.data.opening import split_format
    from vedette.data.vault.importing import ImportOptions, check_free, import_set
    from vedette.data.vault.place import keep_inside
    from vedette.errors import UsageError
    from vedette.settings import load_settings

    settings = load_settings(config)
    if hardened:
        settings = replace(settings, scan=replace(settings.scan, hardened=True))
    check_free(name)
    kind, place = split_format(data, fmt)
    if kind == "vault":
        raise UsageError("it is in the vault already", hint="a second copy would lose its terms")
    keep_inside([place], "an import")
    if place and Path(place).exists():
        count = check_archives(Path(place), settings.limits)
        if count:
            typer.echo(f"checked {count} archive{'s' * (count != 1)}: nothing wrong", err=True)
    known = _known(place, card)
    if known is not None:
        for line in terms_of(known):
            typer.echo(line, err=True)
        check_set_terms(known, accept=accept_terms, commercial=settings.commercial)
    source = common.opened(data, fmt, labels, known.id if known is not None else None, config)
    failed = 0

    def told(entry: Entry) -> None:
        nonlocal failed
        if entry.failure is not None:
            failed += 1
            if failed <= _MOST_TOLD:
                why = f"{entry.failure.code} ({entry.failure.message})"
                typer.echo(f"not imported: {printable(entry.key)}: {printable(why)}", err=True)

    meanings = parse_labels(labels) if labels is not None else {}
    options = ImportOptions(
        given=f"{kind}:{Path(place).resolve()} {sorted(meanings.items(), key=str)}",
        card=known.id if known else None,
        terms_hash=known.terms_hash if known else None,
        encrypt=encrypt,
        workers=workers,
    )
    header = import_set(source, name, options, settings, told)
    common.show_legend(source)
    if failed > _MOST_TOLD:
        typer.echo(f"and {failed - _MOST_TOLD} more (they are in the manifest)", err=True)
    formats = ", ".join(f"{count:,} {fmt}" for fmt, count in header.formats.items())
    typer.echo(
        f"vault:{name}  {header.images:,} images, {header.stored:,} different, "
        f"{header.size / 2**20:,.1f} MiB ({formats or 'none decoded'})"
    )
    if failed:
        codes = ", ".join(f"{count} {code}" for code, count in header.failures.items())
        typer.echo(f"not imported: {codes}")
        raise typer.Exit(_NOT_IMPORTED)


def _known(place: str, card: str | None) -> SetCard | None:
    """The published set that is imported: as the user says, else by its name or its layout.

    Terms bind whether or not somebody names them, and whatever ``--format`` the set is read as, so
    one that is recognised is not imported without; ``--set none`` says that it is another one.
    """
    from vedette.data.cards import card_named, recognised

    if card is not None:
        return None if card == "none" else card_named(card)
    found = recognised(place) or common.card_by_layout(place)
    if found is not None:
        typer.echo(f"this is {found.id} (--set none: it is not)", err=True)
    return found


def list_() -> None:
    """List the sets in the vault."""
    from vedette.data.vault.place import vault_root
    from vedette.data.vault.stored import names, read_header
    from vedette.errors import VedetteError

    for name in names():
        try:
            header = read_header(vault_root() / name)
        except VedetteError as error:  # the others are listed all the same
            typer.echo(f"{name}  {printable(error.message)} [{error.code}]")
            continue
        kept = "encrypted" if header.salt else "plain"
        typer.echo(
            f"{name}  {header.images:,} images  {header.size / 2**20:,.1f} MiB  {kept}  "
            f"{header.card or 'no card'}  {header.created}"
        )


def verify(
    name: Annotated[str | None, typer.Argument(help="A set in the vault. [all of them]")] = None,
) -> None:
    """Read every file of the vault, and name any that was changed, is missing or was added.

    Exit status: 0 as it was left, 1 not so, 2 wrong usage.
    """
    from vedette.data.vault.stored import names
    from vedette.data.vault.verify import verify_set, verify_vault
    from vedette.errors import VedetteError

    wrong = 0
    chosen = names() if name is None else [name]

    def tell(findings: Iterator[Finding]) -> None:
        nonlocal wrong
        for finding in findings:
            wrong += 1
            note = printable(finding.note)
            typer.echo(f"{finding.what}: {printable(finding.path)}  {note}".rstrip())

    tell(verify_vault())
    for one in chosen:
        try:
            tell(verify_set(one))
        except VedetteError as error:  # the other sets are looked at all the same
            if name is not None:
                raise
            wrong += 1
            typer.echo(f"not verified: {one}  {printable(error.message)} [{error.code}]")
    if wrong:
        raise typer.Exit(_FOUND)
    typer.echo(f"{len(chosen)} set{'s' * (len(chosen) != 1)}: as left")


def delete(
    name: Name,
    key: Annotated[
        list[str] | None,
        typer.Option("--key", help="Only the image of this key; can be repeated. [the whole set]"),
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="For the log.")] = "",
    yes: Yes = False,
) -> None:
    """Delete a set, or single images of it, completely. The deletion is logged."""
    from vedette.data.vault.removal import delete_images, delete_set

    if key:
        _confirm(name, f"delete {len(key)} image(s) of {name}", yes=yes)
        typer.echo(f"deleted {delete_images(name, key, reason):,} image(s) of {name}")
        return
    _confirm(name, f"delete the set {name}", yes=yes)
    typer.echo(f"deleted {name}: {delete_set(name, reason):,} files")


def export(
    name: Name,
    out: Annotated[Path, typer.Option("--out", "-o", help="A new folder.")],
    yes: Yes = False,
) -> None:
    """Copy the pictures of a set out of the vault, where its terms permit that. It is logged."""
    from vedette.data.vault.exporting import export_set

    _confirm(name, f"copy the pictures of {name} to {out}", yes=yes)
    typer.echo(f"exported {export_set(name, out):,} images to {printable(str(out))}")


def _confirm(name: str, what: str, *, yes: bool) -> None:
    """Ask for the set's name to be typed.

    Raises:
        UsageError: ``not_confirmed``.
    """
    from vedette.errors import UsageError

    if yes:
        return
    typed = ""
    if sys.stdin.isatty():
        typed = typer.prompt(f"To {what}, type its name", default="", show_default=False)
    if typed != name:
        raise UsageError(f"not confirmed: {what}", code="not_confirmed")
