"""What to search for in each category: our own phrases, or the user's file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from vedette.errors import UsageError
from vedette.taxonomy import Category, parse_category

OWN = "keywords.toml"
"""The list that comes with Vedette."""
_BYTES = 2**20
"""Of a file of keywords, at most."""
_LONGEST = 300
"""Characters of a keyword, at most: CLIP reads no more than about that."""
_MOST = 1000
"""Keywords of one category, at most."""


@dataclass(frozen=True, slots=True)
class Keyword:
    """One phrase to search for."""

    category: Category
    text: str


def read_keywords(
    path: Path | None = None, categories: Sequence[Category] = ()
) -> tuple[Keyword, ...]:
    """The keywords of a file, in the taxonomy's order and then the file's.

    Args:
        path: a TOML file with a table ``[keywords]``: for each category a list of phrases. None:
            the list that comes with Vedette.
        categories: only these; empty: all that the file has.

    Raises:
        UsageError: ``not_found``, or the file is not of that form, or has nothing for one of
            ``categories``.
    """
    shown = OWN if path is None else str(path)
    found = _parsed(_text(path), shown)
    for category in categories:
        if category not in found:
            raise UsageError(
                f"{shown} has no keywords for {category}",
                hint=f"it has some for: {', '.join(c for c in Category if c in found)}",
            )
    wanted = [c for c in Category if c in found and (not categories or c in categories)]
    return tuple(Keyword(category, text) for category in wanted for text in found[category])


def _text(path: Path | None) -> str:
    try:
        if path is None:
            return files("vedette.curate").joinpath(OWN).read_text(encoding="utf-8")
        with path.open("rb") as stream:
            data = stream.read(_BYTES + 1)
        if len(data) > _BYTES:
            raise UsageError(
                f"{path} is larger than {_BYTES} bytes", hint="give a list of keywords"
            )
        return data.decode("utf-8")
    except FileNotFoundError as error:
        raise UsageError(f"there is no {path}", code="not_found") from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _bad(str(path), f"is not text: {error}") from error


def _parsed(text: str, shown: str) -> Mapping[Category, tuple[str, ...]]:
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise _bad(shown, f"is not TOML: {error or 'nested too deeply'}") from error
    given = table.pop("keywords", None)
    if not isinstance(given, dict) or not given or table:
        raise _bad(shown, "has not one table [keywords] and nothing else")
    found: dict[Category, tuple[str, ...]] = {}
    for name, phrases in given.items():
        try:
            category = parse_category(name)
        except KeyError as error:
            raise _bad(shown, f"{name!r} is no category") from error
        if category in found:
            raise _bad(shown, f"{category} is there twice")
        found[category] = _phrases(phrases, f"{shown}: {category}")
    return found


def _phrases(given: object, where: str) -> tuple[str, ...]:
    if not isinstance(given, list) or not given or len(given) > _MOST:
        raise _bad(where, f"is not a list of 1 to {_MOST} phrases")
    phrases: list[str] = []
    for phrase in given:
        if not isinstance(phrase, str) or not any(char.isalnum() for char in phrase):
            raise _bad(where, f"{phrase!r} is no phrase")
        plain = " ".join(phrase.split())
        if len(plain) > _LONGEST or not plain.isprintable():
            raise _bad(where, f"{plain[:40]!r} is longer than {_LONGEST} or not printable")
        if plain.casefold() in (other.casefold() for other in phrases):
            raise _bad(where, f"{plain!r} is there twice")
        phrases.append(plain)
    return tuple(phrases)


def _bad(shown: str, why: str) -> UsageError:
    return UsageError(f"{shown} {why}", hint="see docs/collect.md for the format")
