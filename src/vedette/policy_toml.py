"""A policy as the TOML text that makes it again: to be read, kept and changed by people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from vedette.policy import Policy, Rule
from vedette.taxonomy import Category
from vedette.text import printable


def policy_toml(
    policy: Policy, *, notes: Sequence[str] = (), remarks: Mapping[Category, str] | None = None
) -> str:
    """TOML that :func:`vedette.policy.parse_policy` reads back as the same policy.

    Args:
        policy: to be written.
        notes: comments at the file's head.
        remarks: a comment above a category's rule.
    """
    return "\n".join(_lines(policy, notes, remarks or {})) + "\n"


def _lines(policy: Policy, notes: Sequence[str], remarks: Mapping[Category, str]) -> Iterator[str]:
    yield from map(_comment, notes)
    yield f"name = {_quoted(policy.name)}"
    yield f"version = {_quoted(policy.version)}"
    if policy.description:
        yield f"description = {_quoted(policy.description)}"
    yield f"on_failure = {_quoted(policy.on_failure)}"
    yield f"on_uncovered = {_quoted(policy.on_uncovered)}"
    if policy.calibrated is not None:
        yield f"calibrated = {_quoted(policy.calibrated)}"
    if policy.categories:
        yield "\n[categories]"
        for category, rule in policy.categories.items():
            if category in remarks:
                yield _comment(remarks[category])
            yield f"{_quoted(category)} = {{ {', '.join(_rule(rule))} }}"
    if policy.regions:
        yield "\n[regions]"
        for label, region in policy.regions.items():
            keys = [f"category = {_quoted(region.category)}", *_rule(region.rule)]
            yield f"{_quoted(label)} = {{ {', '.join(keys)} }}"


def _rule(rule: Rule) -> Iterator[str]:
    if rule.review is not None:
        yield f"review = {rule.review!r}"
    if rule.block is not None:
        yield f"block = {rule.block!r}"
    if rule.reason is not None:
        yield f"reason = {_quoted(rule.reason)}"


def _comment(text: str) -> str:
    """One line that no control character ends early."""
    return f"# {' '.join(printable(text).split())}"


def _quoted(text: str) -> str:
    # JSON's escapes are TOML's, but for the one control character that JSON lets stand.
    return json.dumps(str(text), ensure_ascii=False).replace("\x7f", "\\u007f")
