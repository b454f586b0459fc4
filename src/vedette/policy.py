"""Policies: which categories are unsafe *for you*, from which probability on, and what to do then.

A policy is a TOML file (docs/policy.md). It looks only at a Record's evidence, so it can be applied
again to stored Records without running a model.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from vedette.errors import PolicyError, UnknownNameError
from vedette.taxonomy import Category, parse_category
from vedette.types import Action, Failure, Reason, Record, Region, Scores, Verdict

PRESETS = ("default", "strict", "permissive", "children")


@dataclass(frozen=True, slots=True)
class Rule:
    """The thresholds of a category or of a region label. At least one of them is set."""

    review: float | None
    """0..1: from here on a person should look."""
    block: float | None
    """0..1: from here on it is not shown. Not below ``review``."""
    reason: str | None = None
    """Words for the moderator, put into every Reason this rule gives."""

    def judge(self, p: float) -> tuple[Action, float] | None:
        """The action for probability ``p`` and the threshold that it reached, if any."""
        if self.block is not None and p >= self.block:
            return Action.BLOCK, self.block
        if self.review is not None and p >= self.review:
            return Action.REVIEW, self.review
        return None


@dataclass(frozen=True, slots=True)
class RegionRule:
    """A rule for one detector label, for when the category's score is too coarse."""

    category: Category
    rule: Rule


@dataclass(frozen=True, slots=True)
class Policy:
    """A user's own definition of unsafe.

    Raises:
        PolicyError: ``on_failure`` is ``allow``.
    """

    name: str
    version: str
    categories: Mapping[Category, Rule]
    """Categories in scope; the others are ignored."""
    regions: Mapping[str, RegionRule] = field(default_factory=dict)
    """By detector label, e.g. ``FEMALE_BREAST_COVERED``."""
    on_failure: Action = Action.REVIEW
    """For an image that could not be scanned whole. Never ``allow``."""
    on_uncovered: Action = Action.ALLOW
    """For an image scanned by a model that cannot see some category in scope. ``allow`` judges by
    the covered ones alone; ``review`` or ``block`` fails closed."""
    description: str = ""
    calibrated: str | None = None
    """The calibration that its thresholds were chosen on: scores that went through another one, or
    through none, are never allowed by them."""

    def __post_init__(self) -> None:
        if self.on_failure is Action.ALLOW:
            raise PolicyError("on_failure cannot be 'allow': not scanned is not safe")

    @property
    def id(self) -> str:
        """``name@version``"""
        return f"{self.name}@{self.version}"

    @property
    def asks_about(self) -> frozenset[Category]:
        """The categories in scope and those that the region rules count for."""
        return frozenset(self.categories) | {rule.category for rule in self.regions.values()}

    def decide(
        self, scores: Scores | None, regions: Sequence[Region], failure: Failure | None
    ) -> Verdict:
        """The verdict on this evidence: the severest action that anything in it asks for.

        An image with a failure, without scores, or with none for any category in scope is never
        allowed: nobody has looked for what this policy asks about.
        """
        action = Action.ALLOW
        reasons: list[Reason] = []
        if failure is not None or scores is None or not self._can_judge(scores):
            action = self.on_failure
        if scores is not None:
            for category, rule in self.categories.items():
                p = scores[category]
                if p is None:
                    action = _severest(action, self.on_uncovered)
                elif judged := rule.judge(p):
                    action = _severest(action, judged[0])
                    label = scores.labels.get(category)
                    reasons.append(Reason(category, p, judged[1], label, rule.reason))
        for label, region_rule in self.regions.items():
            p = max((r.score for r in regions if r.label == label), default=0.0)
            if judged := region_rule.rule.judge(p):
                action = _severest(action, judged[0])
                text = region_rule.rule.reason
                reasons.append(Reason(region_rule.category, p, judged[1], label, text))
        reasons.sort(key=lambda reason: -reason.p)
        return Verdict(action, tuple(reasons), self.id)

    def _can_judge(self, scores: Scores) -> bool:
        if self.calibrated is not None and scores.calibrated != self.calibrated:
            return False
        # A label that is not there was not seen, or is not known to the model: a region rule counts
        # as looked for where its category is.
        return any(scores[category] is not None for category in self.asks_about)

    def apply(self, record: Record) -> Record:
        """``record`` decided again, from the evidence that it keeps."""
        verdict = self.decide(record.scores, record.regions, record.failure)
        return dataclasses.replace(record, verdict=verdict)


def _severest(a: Action, b: Action) -> Action:
    return max(a, b, key=lambda action: action.severity)


def load_policy(name_or_path: str | Path) -> Policy:
    """A preset by name, or a policy from a ``.toml`` file.

    Raises:
        UnknownNameError: neither a preset nor a file of that name.
        PolicyError: the file cannot be used; says which line of thought of it is wrong.
    """
    if name_or_path in PRESETS:
        text = resources.files("vedette").joinpath(f"policies/{name_or_path}.toml").read_text()
        return parse_policy(text, f"preset {name_or_path}")
    path = Path(name_or_path)
    if not path.suffix and not path.exists():
        raise UnknownNameError("policy", str(name_or_path), PRESETS)
    return parse_policy(read_policy_text(path), str(path))


def read_policy_text(path: Path) -> str:
    """The text of a policy file.

    Raises:
        PolicyError: it cannot be read, or is not text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise PolicyError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PolicyError(f"{path} is not UTF-8 text") from error


def parse_policy(text: str, where: str) -> Policy:
    """A policy from TOML text; ``where`` names it in messages.

    Raises:
        PolicyError: not TOML, unknown keys or categories, thresholds out of order or range.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"{where} is not TOML: {error}") from error
    _known_keys(table, {f.name for f in dataclasses.fields(Policy)}, where)
    name, version = table.get("name"), table.get("version")
    if not isinstance(name, str) or not name or "@" in name:
        raise PolicyError(f"{where}: name must be text without '@'")
    if isinstance(version, bool) or not isinstance(version, int | str) or version == "":
        raise PolicyError(f"{where}: version must be a number or text")
    categories: dict[Category, Rule] = {}
    for key, value in _table(table, "categories", where).items():
        category = _category(key, where)
        if category in categories:
            raise PolicyError(f"{where}: category {key!r} is given twice")
        categories[category] = _rule(value, f"{where}: [categories.{key}]")
    regions = {
        label: _region_rule(value, f"{where}: [regions.{label}]")
        for label, value in _table(table, "regions", where).items()
    }
    if not categories and not regions:
        raise PolicyError(f"{where}: no category is in scope, so everything would be allowed")
    on_failure = _action(table, "on_failure", Action.REVIEW, where)
    if on_failure is Action.ALLOW:
        raise PolicyError(f"{where}: on_failure cannot be 'allow': not scanned is not safe")
    return Policy(
        name=name,
        version=str(version),
        categories={c: categories[c] for c in Category if c in categories},
        regions=regions,
        on_failure=on_failure,
        on_uncovered=_action(table, "on_uncovered", Action.ALLOW, where),
        description=_text(table, "description", where) or "",
        calibrated=_text(table, "calibrated", where),
    )


def _table(table: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise PolicyError(f"{where}: {key} must be a table")
    return value


def _category(name: str, where: str) -> Category:
    try:
        return parse_category(name)
    except KeyError:
        raise PolicyError(f"{where}: {_unknown('category', name, list(Category))}") from None


def _rule(value: object, where: str, extra_keys: frozenset[str] = frozenset()) -> Rule:
    if not isinstance(value, dict):
        raise PolicyError(f"{where} must be a table with review and block thresholds")
    _known_keys(value, {f.name for f in dataclasses.fields(Rule)} | extra_keys, where)
    review, block = (_threshold(value, key, where) for key in ("review", "block"))
    if review is None and block is None:
        raise PolicyError(f"{where} needs a review or a block threshold")
    if review is not None and block is not None and block < review:
        raise PolicyError(f"{where}: block ({block}) is below review ({review})")
    return Rule(review, block, _text(value, "reason", where))


def _region_rule(value: object, where: str) -> RegionRule:
    rule = _rule(value, where, frozenset({"category"}))
    assert isinstance(value, dict)
    category = value.get("category")
    if not isinstance(category, str):
        raise PolicyError(f"{where} needs the category that it counts for")
    return RegionRule(_category(category, where), rule)


def _threshold(table: Mapping[str, Any], key: str, where: str) -> float | None:
    value = table.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise PolicyError(f"{where}: {key} must be a number above 0 and at most 1, not {value!r}")
    return float(value)


def _action(table: Mapping[str, Any], key: str, default: Action, where: str) -> Action:
    value = table.get(key, default.value)
    try:
        return Action(value)
    except ValueError:
        raise PolicyError(
            f"{where}: {key}: {_unknown('action', str(value), list(Action))}"
        ) from None


def _text(table: Mapping[str, Any], key: str, where: str) -> str | None:
    value = table.get(key)
    if value is not None and not isinstance(value, str):
        raise PolicyError(f"{where}: {key} must be text")
    return value


def _known_keys(table: Mapping[str, Any], known: set[str], where: str) -> None:
    for key in table:
        if key not in known:
            raise PolicyError(f"{where}: {_unknown('key', key, sorted(known))}")


def _unknown(kind: str, name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name.casefold(), [k.casefold() for k in known], n=1)
    shown = next((k for k in known if close and k.casefold() == close[0]), None)
    tail = f"did you mean {str(shown)!r}?" if shown else f"known: {', '.join(known)}"
    return f"unknown {kind} {name!r}; {tail}"
