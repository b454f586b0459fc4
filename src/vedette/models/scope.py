"""What a vision-language model is asked about, as a user says it: ``Hate,Violence``."""

from __future__ import annotations

from vedette.errors import UnknownNameError
from vedette.taxonomy import Category, parse_category


def parse_scope(given: str) -> tuple[Category, ...]:
    """The categories of a scope, in the taxonomy's order, each once; () for an empty one.

    >>> [category.value for category in parse_scope("violence, hate")]
    ['Hate', 'Violence']

    Raises:
        UnknownNameError: a name that is no category's.
    """
    named: set[Category] = set()
    for name in given.split(",") if given.strip() else ():
        try:
            named.add(parse_category(name))
        except KeyError:
            raise UnknownNameError(
                "category", name.strip(), [category.value for category in Category]
            ) from None
    return tuple(category for category in Category if category in named)
