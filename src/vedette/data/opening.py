"""From what a user points at to a Source: the one table of sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol, runtime_checkable

from vedette.data.base import Source
from vedette.data.labelling import Label, Legend
from vedette.errors import UnknownNameError, UsageError
from vedette.settings import Limits

GROUP = "vedette.sources"
"""Entry points of third parties: ``name = "package.module:FORMAT"``."""

_MODULES = (
    "synth.source",
    "vault.source",
    "unsafebench",
    "external",
    "webdataset",
    "parquet",
    "manifest",
    "classes",
    "paths",
)
"""Files of ``vedette.data`` that have ``FORMATS``; the first that fits wins, so plain ones last."""


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What a user may say about a source."""

    limits: Limits = field(default_factory=Limits)
    labels: Mapping[str, Label] = field(default_factory=dict)
    """What the source's own labels mean (:func:`vedette.data.labelling.parse_labels`)."""
    card: str | None = None
    """The published set that it is a copy of (:mod:`vedette.data.cards`), where that is known."""
    image: str | None = None
    """The column, or the field, of the picture; None: by the format's convention."""
    label: str | None = None
    """That of the label."""
    key: str | None = None
    """That of the key."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Columns to keep in ``meta``: their name there to their name in the file."""


@dataclass(frozen=True, slots=True)
class SourceFormat:
    """A kind of source."""

    name: str
    """As ``--format`` has it."""
    summary: str
    fits: Callable[[Path], bool]
    """Whether something on disk looks like it: by names and a few bytes, quickly, never raising."""
    open: Callable[[Path, SourceOptions], Source]
    """Raises VedetteError where it cannot be one."""


@runtime_checkable
class Labelled(Protocol):
    """A source that knows what its labels mean."""

    @property
    def legend(self) -> Legend:
        """Its labels; complete once it was read to its end."""
        ...


@cache
def formats() -> Mapping[str, SourceFormat]:
    """All formats by name, in the order in which they are tried.

    Raises:
        UsageError: two have one name.
    """
    found: dict[str, SourceFormat] = {}
    own = [f for name in _MODULES for f in import_module(f"vedette.data.{name}").FORMATS]
    theirs = [point.load() for point in sorted(entry_points(group=GROUP), key=lambda p: p.name)]
    for fmt in (*theirs, *own):
        if fmt.name in found:
            raise UsageError(f"two sources are called {fmt.name!r}", hint="uninstall one of them")
        found[fmt.name] = fmt
    return found


def open_source(
    given: str, fmt: str = "auto", options: SourceOptions | None = None
) -> tuple[SourceFormat, Source]:
    """The source that ``given`` is, and which kind was recognised.

    Args:
        given: a path, with or without a format's name before it: ``unsafebench:DIR``,
            ``vault:NAME``.
        fmt: a name of :func:`formats`, or ``auto``.
        options: what the user says of it.

    Raises:
        UnknownNameError: no such format.
        UsageError: there is nothing of that name, or it is not of that format.
    """
    options = options or SourceOptions()
    fmt, given = split_format(given, fmt)
    path = Path(given)
    if fmt != "auto":
        if fmt not in formats():
            raise UnknownNameError("source format", fmt, [*formats(), "auto"])
        return formats()[fmt], formats()[fmt].open(path, options)
    if not path.exists():
        raise UsageError(f"there is no {given}", hint="check the path", code="not_found")
    chosen = next(candidate for candidate in formats().values() if candidate.fits(path))
    return chosen, chosen.open(path, options)


def split_format(given: str, fmt: str = "auto") -> tuple[str, str]:
    """The format and the path of what a user points at, ``unsafebench:DIR`` for example."""
    named, separator, rest = given.partition(":")
    if fmt == "auto" and separator and named in formats():
        return named, rest
    return fmt, given
