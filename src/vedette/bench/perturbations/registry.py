"""All perturbations by name: every file of this package, and third parties' entry points."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import entry_points

import vedette.bench.perturbations
from vedette.bench.perturbations.base import Perturbation
from vedette.errors import UnknownNameError, UsageError

_GROUP = "vedette.perturbations"
_PACKAGE = "vedette.bench.perturbations"


@cache
def perturbations() -> Mapping[str, Perturbation]:
    """Every registered kind by name, sorted.

    Raises:
        UsageError: two kinds of one name, or one without a level.
    """
    found: list[Perturbation] = []
    for module in pkgutil.iter_modules(vedette.bench.perturbations.__path__, f"{_PACKAGE}."):
        found += getattr(importlib.import_module(module.name), "PERTURBATIONS", ())
    for point in entry_points(group=_GROUP):
        found += [point.load()]
    return collect(found)


def collect(found: Iterable[Perturbation]) -> Mapping[str, Perturbation]:
    """``found`` by name, sorted; refuses duplicates and kinds that have no severity."""
    by_name: dict[str, Perturbation] = {}
    for kind in found:
        if kind.name in by_name:
            raise UsageError(
                f"two perturbations are called {kind.name!r}",
                hint="uninstall one of the packages that register it",
            )
        if not kind.levels:
            raise UsageError(
                f"the perturbation {kind.name!r} has no levels",
                hint="uninstall the package that registers it, or report it to its authors",
            )
        by_name[kind.name] = kind
    return dict(sorted(by_name.items()))


def names() -> tuple[str, ...]:
    """Of all kinds, sorted."""
    return tuple(perturbations())


def perturbation(name: str) -> Perturbation:
    """The kind of that name.

    Raises:
        UnknownNameError: there is none; says which one was likely meant.
    """
    try:
        return perturbations()[name]
    except KeyError:
        raise UnknownNameError("perturbation", name, perturbations()) from None


def level_of(kind: Perturbation, severity: int) -> float:
    """The parameter at a severity, 1 being the mildest.

    Raises:
        UsageError: the kind has no such severity. There is no severity 0.
    """
    if not 1 <= severity <= len(kind.levels):
        raise UsageError(
            f"{kind.name} has no severity {severity}",
            hint=f"its severities are 1 to {len(kind.levels)}",
        )
    return kind.levels[severity - 1]
