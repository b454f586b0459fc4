"""Names of scores, as commands and files of predictions give them, to categories."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from vedette.taxonomy import Category, parse_category

UNSAFE = "unsafe"
"""The probability of being unsafe, in whatever category."""
LABEL = "label"
"""A decision instead of probabilities: ``safe``, ``unsafe`` or a category."""


def columns_of(names: Iterable[str]) -> Mapping[str, tuple[Category, ...]]:
    """What each name is a score of: a category, or all of them for :data:`UNSAFE`.

    Raises:
        ValueError: a name that is no category, one category twice, ``unsafe`` or ``label`` beside
            others, or no name at all.
    """
    found: dict[str, tuple[Category, ...]] = {}
    for name in names:
        folded = name.strip().casefold()
        if folded in (UNSAFE, LABEL):
            found[name] = tuple(Category)
            continue
        try:
            found[name] = (parse_category(name),)
        except KeyError:
            known = [*(c.value for c in Category), UNSAFE, LABEL]
            close = difflib.get_close_matches(name, known, n=1)
            meant = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
            raise ValueError(f"{name!r} is no category; {meant}") from None
    counted = [category for categories in found.values() for category in categories]
    if not found:
        raise ValueError("there is no score")
    if len(set(counted)) < len(counted):
        raise ValueError("one category has two scores")
    return found


def label_scores(value: str) -> Mapping[Category, float]:
    """1 for the categories that a label names, 0 for the others.

    Raises:
        ValueError: it is not ``safe``, ``unsafe`` or a category.
    """
    folded = value.strip().casefold()
    if folded in ("safe", UNSAFE):
        return dict.fromkeys(Category, float(folded == UNSAFE))
    try:
        named = parse_category(value)
    except KeyError:
        raise ValueError(f"{value!r} is neither safe nor unsafe nor a category") from None
    return {category: float(category is named) for category in Category}
