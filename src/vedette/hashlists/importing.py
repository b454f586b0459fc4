"""Entries as they were read, into the files that a service loads."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vedette.errors import UsageError, VedetteError
from vedette.hashlists.entries import Entry, Kind, Match
from vedette.hashlists.files import SUFFIX, checked_name, path_of, write_list


def store(
    entries: Iterable[Entry], name: str, folder: Path, kind: Kind | None, *, overwrite: bool = False
) -> list[tuple[Path, int]]:
    """Store a list: one file for each kind and match that its entries have.

    Args:
        entries: of the list; of those with the same hash the first one's note is kept.
        name: of the list.
        folder: where it is stored.
        kind: of entries that name none.
        overwrite: replace the list of that name, with all of its files.

    Returns:
        The files, and how many entries each has.

    Raises:
        UsageError: the name cannot be used; an entry has no kind; ``output_exists``.
        VedetteError: ``bad_list``: no entries, or too many; ``write_failed``.
    """
    checked_name(name)
    groups: dict[tuple[Kind, Match], dict[bytes, str]] = {}
    for entry in entries:
        chosen = entry.kind or kind
        if chosen is None:
            raise UsageError(
                f"nothing says what the list {name!r} is for",
                hint=f"say it with --kind: {', '.join(Kind)}",
            )
        groups.setdefault((chosen, entry.match), {}).setdefault(entry.hash, entry.note)
    if not groups:
        raise VedetteError("there is no hash in it that is read", code="bad_list")
    before = sorted(folder.glob(f"{name}.*{SUFFIX}"))
    if before and not overwrite:
        raise UsageError(f"there is a list {name!r} in {folder}", code="output_exists")
    written = [
        (write_list(folder, name, *group, notes), len(notes))
        for group, notes in sorted(groups.items())
    ]
    # Last: at no moment is a hash on no list that is on the old one and on the new one.
    for path in set(before) - {path_of(folder, name, *group) for group in groups}:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise VedetteError(
                f"cannot remove {path}: {error.strerror}", code="write_failed"
            ) from error
    return written
