"""The sentences that prompts start from: a safe and an unsafe one for each label."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vedette.errors import UsageError
from vedette.taxonomy import Category, parse_category
from vedette.train.examples import UNSAFE

_FIELD = re.compile(r"\{(.*?)\}|[{}]")
_ANY = ("unsafe content", "Anything that is not safe to show.")
"""Of the one label of a set that names no categories."""
_LONGEST = 1000
"""Characters of a template."""


def sentences(template: str, labels: Sequence[str], option: str) -> list[str]:
    """One sentence for each label.

    Args:
        template: with ``{category}`` and ``{definition}`` where the label's own are to stand.
        labels: names of categories, or :data:`vedette.train.examples.UNSAFE`.
        option: where the template was given, for messages.

    Raises:
        UsageError: another field, no word at all, or far too long.
    """
    if len(template) > _LONGEST:
        raise UsageError(f"{option}: more than {_LONGEST} characters")
    for found in _FIELD.finditer(template):
        if found[1] not in ("category", "definition"):
            raise UsageError(
                f"{option}: {found[0]!r} is neither {{category}} nor {{definition}}",
                hint=f"write for example: {option} 'a picture of {{category}}'",
            )
    filled = [_filled(template, *_of(label)) for label in labels]
    if not all(any(ch.isalnum() for ch in sentence) for sentence in filled):
        raise UsageError(f"{option}: a sentence without a word")
    return filled


def _filled(template: str, name: str, definition: str) -> str:
    # Not str.format: a template must not reach into objects, and a definition is not one itself.
    values = {"category": name, "definition": definition}
    return _FIELD.sub(lambda found: values[found[1]], template)


def _of(label: str) -> tuple[str, str]:
    if label == UNSAFE:
        return _ANY
    category: Category = parse_category(label)
    return category.value.lower(), category.definition
