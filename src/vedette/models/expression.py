"""Combinations as they are written: ``any(q16,nudenet)``, ``cascade(marqo-384 -> falconsai)``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from vedette.errors import UsageError
from vedette.models.base import Classifier, ModelCard, ModelEntry, ModelOptions, ModelPattern
from vedette.models.combine import (
    DEFAULT_HIGH,
    DEFAULT_LOW,
    AnyOf,
    Cascade,
    MeanOf,
    any_card,
    cascade_card,
    mean_card,
)

_CALL = re.compile(r"\s*(any|mean|cascade)\s*\((.*)\)\s*\Z", re.DOTALL)
_BETWEEN = re.compile(r"\s*([0-9.]+)\s*\.\.\s*([0-9.]+)\s*\Z")
_ARROW = re.compile(r"→|->")
_MOST_MEMBERS = 16
_DEEPEST = 8


@dataclass(frozen=True, slots=True)
class _Parsed:
    """A combination taken apart: its kind, its members' names, and a cascade's thresholds."""

    kind: str
    members: tuple[str, ...]
    low: float = DEFAULT_LOW
    high: float = DEFAULT_HIGH


def _entry(name: str) -> ModelEntry | None:
    match = _CALL.match(name)
    if match is None:
        return None
    from vedette.models.registry import build, get  # which asks us: members may be any model

    parsed = _parse(match[1], match[2], name)
    entries = [get(member) for member in parsed.members]
    if len({entry.name for entry in entries}) != len(entries):
        raise _wrong(name, f"{parsed.kind}() takes different models")
    canonical = _canonical(parsed, [entry.name for entry in entries])

    def make(options: ModelOptions) -> Classifier:
        members = [build(entry.name, options) for entry in entries]
        card = _card(parsed, canonical, [member.card for member in members])
        if parsed.kind == "cascade":
            return Cascade(card, members[0], members[1], parsed.low, parsed.high)
        return AnyOf(card, members) if parsed.kind == "any" else MeanOf(card, members)

    card = _card(parsed, canonical, [entry.card for entry in entries])
    return ModelEntry(canonical, card, make)


def _card(parsed: _Parsed, name: str, cards: list[ModelCard]) -> ModelCard:
    if parsed.kind == "cascade":
        return cascade_card(name, cards[0], cards[1], parsed.low, parsed.high)
    make: Callable[[str, list[ModelCard]], ModelCard]
    make = any_card if parsed.kind == "any" else mean_card
    return make(name, cards)


def _canonical(parsed: _Parsed, names: list[str]) -> str:
    if parsed.kind == "cascade":
        return f"cascade({names[0]} -> {names[1]}, {parsed.low:g}..{parsed.high:g})"
    return f"{parsed.kind}({','.join(names)})"


def _parse(kind: str, inside: str, name: str) -> _Parsed:
    if kind != "cascade":
        members = _split(inside, ",", name)
        if not 2 <= len(members) <= _MOST_MEMBERS or len(set(members)) != len(members):
            raise _wrong(name, f"{kind}() takes 2 to {_MOST_MEMBERS} different models")
        return _Parsed(kind, members)
    parts = _split(_ARROW.sub("→", inside), "→", name)
    if len(parts) != 2:
        raise _wrong(name, "cascade() takes two models with an arrow between them")
    last = _split(parts[1], ",", name)
    low, high = DEFAULT_LOW, DEFAULT_HIGH
    if len(last) == 2:
        between = _BETWEEN.match(last[1])
        if between is None:
            raise _wrong(name, f"{last[1]!r} is no pair of thresholds, such as 0.1..0.9")
        low, high = _number(between[1], name), _number(between[2], name)
    if len(last) > 2 or not 0 <= low < high <= 1 or parts[0] == last[0]:
        raise _wrong(name, "cascade() takes two models and thresholds that rise from 0 to 1")
    return _Parsed(kind, (parts[0], last[0]), low, high)


def _number(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise _wrong(name, f"{text!r} is no number") from None


def _split(text: str, mark: str, name: str) -> tuple[str, ...]:
    """``text`` at every ``mark`` outside of parentheses."""
    parts, depth = [""], 0
    for ch in text:
        depth += (ch == "(") - (ch == ")")
        if not 0 <= depth <= _DEEPEST:
            raise _wrong(name, "its parentheses do not match")
        if ch == mark and depth == 0:
            parts.append("")
        else:
            parts[-1] += ch
    stripped = tuple(part.strip() for part in parts)
    if depth or not all(stripped):
        raise _wrong(name, "its parentheses do not match, or a name is missing")
    return stripped


def _wrong(name: str, why: str) -> UsageError:
    return UsageError(
        f"{name!r}: {why}",
        hint="write any(a,b), mean(a,b) or cascade(fast -> slow, 0.1..0.9)",
    )


PATTERNS = (
    ModelPattern(
        "any(A,B), mean(A,B), cascade(FAST -> SLOW, 0.1..0.9)",
        "combinations of models, themselves models",
        _entry,
    ),
)
