"""All classifiers by name: every family file of this package, and third parties' entry points."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import entry_points

import vedette.models
from vedette.backends.base import check_names
from vedette.errors import ModelError, UnknownNameError, UsageError
from vedette.models.base import Classifier, ModelCard, ModelEntry, ModelOptions, ModelPattern

_GROUP = "vedette.models"


@cache
def patterns() -> tuple[ModelPattern, ...]:
    """Every form of name that stands for more than one model, in the order of its module."""
    found: list[ModelPattern] = []
    for module in pkgutil.iter_modules(vedette.models.__path__, "vedette.models."):
        found += getattr(importlib.import_module(module.name), "PATTERNS", ())
    return tuple(found)


@cache
def entries() -> Mapping[str, ModelEntry]:
    """Every registered model by name, sorted.

    Raises:
        UsageError: two models of one name.
    """
    found: list[ModelEntry] = []
    for module in pkgutil.iter_modules(vedette.models.__path__, "vedette.models."):
        found += getattr(importlib.import_module(module.name), "MODELS", ())
    for point in entry_points(group=_GROUP):
        found += [point.load()]
    return collect(found)


def collect(found: Iterable[ModelEntry]) -> Mapping[str, ModelEntry]:
    """``found`` by name, sorted; refuses duplicates."""
    by_name: dict[str, ModelEntry] = {}
    for entry in found:
        if entry.name in by_name:
            raise UsageError(
                f"two models are called {entry.name!r}",
                hint="uninstall one of the packages that register it",
            )
        by_name[entry.name] = entry
    return dict(sorted(by_name.items()))


def get(name: str) -> ModelEntry:
    """The entry of that name, or of a name that a pattern understands.

    Raises:
        UnknownNameError: there is none; says which one was likely meant.
        VedetteError: the name is of a known form, and what it names cannot be used.
    """
    if name in entries():
        return entries()[name]
    for pattern in patterns():
        entry = pattern.entry(name)
        if entry is not None:
            return entry
    raise UnknownNameError("model", name, [*entries(), *(p.form for p in patterns())])


def build(name: str, options: ModelOptions | None = None) -> Classifier:
    """The classifier of that name, loaded and ready.

    Raises:
        UnknownNameError: no such model, backend or precision.
        UsageError: a scope for a model that takes none, or with categories that it cannot see.
        ModelError: its weights or its backend cannot be used.
    """
    options = options or ModelOptions()
    check_names(options.backend, options.precision)  # also for models that need no backend
    entry = get(name)
    if options.scope and not entry.scoped:
        raise UsageError(
            f"{name} sees what it was made to see: only vision-language models take a scope",
            hint="leave the scope out, and name the categories in a policy (--policy)",
        )
    if options.commercial:
        check_commercial(entry.card)
    return entry.build(options)


def check_commercial(card: ModelCard) -> None:
    """Refuse a model whose terms, or those of anything it needs, do not admit commercial use.

    Raises:
        ModelError: ``terms_refused``.
    """
    if not card.commercial:
        raise ModelError(
            f"{card.id} may not be used commercially: {card.terms}", code="terms_refused"
        )
    for needed in card.needs:
        check_commercial(needed)
