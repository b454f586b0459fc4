"""All attacks by name: the files of this package, and third parties' entry points."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import entry_points

from vedette.bench.attacks.base import Attack
from vedette.errors import UnknownNameError, UsageError

_GROUP = "vedette.attacks"
_MODULES = ("gaussian", "fgsm", "pgd", "deepfool", "apgd", "fab", "square")
"""In the order in which tables have them: from cheap to strong, the black box last."""


@cache
def attacks() -> Mapping[str, Attack]:
    """Every registered attack by name.

    Raises:
        UsageError: two attacks of one name.
    """
    found: list[Attack] = []
    for module in _MODULES:
        found += importlib.import_module(f"vedette.bench.attacks.{module}").ATTACKS
    for point in sorted(entry_points(group=_GROUP), key=lambda one: one.name):
        found += [point.load()]
    return collect(found)


def collect(found: Iterable[Attack]) -> Mapping[str, Attack]:
    """``found`` by name; refuses duplicates."""
    by_name: dict[str, Attack] = {}
    for one in found:
        if one.name in by_name:
            raise UsageError(
                f"two attacks are called {one.name!r}",
                hint="uninstall one of the packages that register it",
            )
        by_name[one.name] = one
    return by_name


def names() -> tuple[str, ...]:
    """Of all attacks, in the order of tables."""
    return tuple(attacks())


def attack(name: str) -> Attack:
    """The attack of that name.

    Raises:
        UnknownNameError: there is none; says which one was likely meant.
    """
    known = attacks()
    if name not in known:
        raise UnknownNameError("attack", name, known)
    return known[name]
