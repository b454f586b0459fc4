"""What a data set's own labels mean. By name; a number means nothing until somebody says what.

A class order that flips silently makes a classifier that passes what it should block, so where a
set has only indices the mapping is given (``--labels``), or taken from the set's card or the file's
own schema, and shown with where it came from.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from vedette.errors import UsageError
from vedette.models.labels import common
from vedette.taxonomy import Category, parse_category


@dataclass(frozen=True, slots=True)
class Label:
    """What one label says of a picture: the two fields of an Item that hold labels."""

    unsafe: bool | None
    categories: frozenset[Category] | None
    """None: unsafe without a category, or unlabelled."""

    def __str__(self) -> str:
        if self.unsafe is None:
            return "unlabelled"
        if not self.unsafe:
            return "safe"
        named = ", ".join(c for c in Category if c in (self.categories or ()))
        return f"unsafe: {named}" if named else "unsafe"


SAFE = Label(False, frozenset())
UNSAFE = Label(True, None)
UNLABELLED = Label(None, None)


class Origin(StrEnum):
    """How it is known what a label means."""

    GIVEN = "given"
    CARD = "the set's card"
    SCHEMA = "the file's schema"
    NAME = "its name"


@dataclass(slots=True)
class Legend:
    """The labels of one source and what they mean; fills as the source is read.

    Args:
        given: what the user, or the set's card, says of labels. It wins over everything else.
        origin: who says so.
    """

    given: Mapping[str, Label] = field(default_factory=dict)
    origin: Origin = Origin.GIVEN
    met: dict[str, tuple[Label, Origin]] = field(default_factory=dict)
    """Each label read so far, its meaning, and how that is known."""

    def label(self, name: str, origin: Origin = Origin.NAME) -> Label:
        """The meaning of the set's own label ``name``.

        Args:
            name: as the set spells it; case and punctuation do not matter.
            origin: how the name itself was come by, where it stands for a number.

        Raises:
            UsageError: ``unknown_label``: nobody says what it means.
        """
        if name in self.met:
            return self.met[name][0]
        found = self._given(name)
        if found is not None:
            self.met[name] = found, self.origin
            return found
        named = None if name.strip().isdigit() else meaning(name)
        if named is None:
            raise UsageError(
                f"nothing says what the label {name!r} means",
                code="unknown_label",
                hint=f"say it with --labels '{name}=safe' (or unsafe, or a category)",
            )
        self.met[name] = named, origin
        return named

    def _given(self, name: str) -> Label | None:
        folded = _fold(name)
        return next((label for own, label in self.given.items() if _fold(own) == folded), None)

    def lines(self) -> Iterable[str]:
        """The labels met and their meanings, to be shown to the user."""
        for name, (label, origin) in sorted(self.met.items()):
            yield f"{name} = {label} ({origin})"


def meaning(name: str) -> Label | None:
    """What a label's name means by itself; None where it does not say.

    The field's common words and the categories' own names: ``SAFE``, ``porn``, ``Self-harm``. A
    plain ``unsafe`` names no category.
    """
    counted = common(name)
    if counted is None:
        return None
    return UNSAFE if len(counted) == len(Category) else of_categories(counted)


def of_categories(categories: Iterable[Category]) -> Label:
    """The label that names these categories; none: safe."""
    named = frozenset(categories)
    return Label(bool(named), named)


def parse_labels(given: str) -> dict[str, Label]:
    """``0=safe,1=Violence+Shocking``, or the name of a TOML file with a table ``[labels]``.

    Raises:
        UsageError: it is neither.
    """
    if given.endswith(".toml"):
        try:
            table = tomllib.loads(Path(given).read_text(encoding="utf-8"))["labels"]
            pairs = [(str(k), v if isinstance(v, str) else "+".join(v)) for k, v in table.items()]
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise UsageError(f"{given} has no table [labels] that can be read: {error}") from error
    else:
        pairs = [(k.strip(), v.strip()) for k, _, v in (p.partition("=") for p in given.split(","))]
    return {name: _parse(name, said) for name, said in pairs}


def _parse(name: str, said: str) -> Label:
    plain = {"safe": SAFE, "unsafe": UNSAFE, "unlabelled": UNLABELLED}
    if said.lower() in plain:
        return plain[said.lower()]
    try:
        return of_categories([parse_category(part) for part in said.split("+")])
    except KeyError as error:
        raise UsageError(
            f"the label {name!r} is said to be {said!r}",
            hint="say safe, unsafe, unlabelled, or categories joined by +",
        ) from error


def _fold(name: str) -> str:
    return "".join(ch for ch in name.casefold() if ch.isalnum())
