"""Decided images in the form of OpenAI's moderation answers.

What was not scanned is flagged: a client that reads ``flagged`` alone is never told that something
nobody has looked at is safe. Each result has a further field ``vedette`` that says what was scanned
and holds the Records; docs/api.md has its keys.

Source: the published types of OpenAI's client, whose keys these are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vedette.policy import Policy
from vedette.serve.judging import Judged
from vedette.taxonomy import Category
from vedette.types import Action

_MODELS = re.compile(r"(omni|text)-moderation-[A-Za-z0-9.-]{1,40}")
_NO_TEXT_MODEL = "no model for text: only images are scanned here"
_NOTHING = "nothing in it was scanned"

KEYS: Mapping[str, Category | None] = {
    "harassment": Category.HARASSMENT,
    "harassment/threatening": None,
    "hate": Category.HATE,
    "hate/threatening": None,
    "illicit": Category.ILLEGAL_ACTIVITY,
    "illicit/violent": None,
    "self-harm": Category.SELF_HARM,
    "self-harm/instructions": None,
    "self-harm/intent": None,
    "sexual": Category.SEXUAL,
    "sexual/minors": None,
    "violence": Category.VIOLENCE,
    # Gore is Shocking here: a client that looks at this key only must not miss it.
    "violence/graphic": Category.SHOCKING,
}
"""OpenAI's keys and what is counted for them; None: nothing here tells, the score is always 0."""
IMAGE_KEYS = frozenset(
    (
        *("sexual", "violence", "violence/graphic"),
        *("self-harm", "self-harm/instructions", "self-harm/intent"),
    )
)
"""OpenAI's keys whose ``category_applied_input_types`` may hold ``image``, by its types."""


def own_key(category: Category) -> str:
    """A category's own name in answers: ``Illegal activity`` is ``illegal-activity``."""
    return category.value.lower().replace(" ", "-")


COUNTED: Mapping[str, Category | None] = {
    **KEYS,
    **{own_key(category): category for category in Category if own_key(category) not in KEYS},
}
"""Every key of an answer: OpenAI's thirteen, then those of our categories that have another."""


def keys_table() -> str:
    """What each key of an answer stands for, as a table in Markdown."""
    lines = ["| key | counted for it | applied input types |", "|---|---|---|"]
    for key, category in COUNTED.items():
        types = "`image`, where the model sees it" if key in IMAGE_KEYS or key not in KEYS else "–"
        lines.append(f"| `{key}` | {category or '–'} | {types if category else '–'} |")
    return "\n".join(lines)


def own_model(name: str | None) -> str | None:
    """The model that a request names; None for the default, which OpenAI's own names stand for."""
    return None if name is None or _MODELS.fullmatch(name) else name


def result_of(
    judged: Sequence[Judged], texts: Sequence[int], policy: Policy, text_counts: bool
) -> dict[str, Any]:
    """One result of an answer: of all parts of one input together.

    A score is the highest of the input's images. A category is flagged where it has reached a
    threshold of the policy; the input is flagged where the policy allows not all of it, or where
    something was not scanned.

    Args:
        judged: the input's images, their keys the places of their parts in the input.
        texts: places of the input's parts that are text with something in it.
        policy: that they were decided by; its ``on_failure`` is the action for what nobody scanned.
        text_counts: whether text that nobody scanned counts: not where the caller says that it is
            moderated elsewhere, and always where there is nothing else.
    """
    p = _highest(judged)
    reached = {reason.category for one in judged for reason in one.record.verdict.reasons}
    missing = list(_not_scanned(judged, texts))
    actions = [one.record.verdict.action for one in judged]
    if not judged or (texts and text_counts):
        actions.append(policy.on_failure)
    if not judged and not texts:
        missing.append({"index": 0, "type": "text", "why": _NOTHING})
    action = max(actions, key=lambda one: one.severity)
    applied = {key: ["image"] if _is_applied(key, p) else [] for key in COUNTED}
    return {
        "flagged": action is not Action.ALLOW,
        "categories": {key: category in reached for key, category in COUNTED.items()},
        "category_scores": {
            key: p.get(category, 0.0) if category else 0.0 for key, category in COUNTED.items()
        },
        "category_applied_input_types": applied,
        "vedette": {
            "action": action.value,
            "policy": policy.id,
            "scanned": not missing,
            "not_scanned": missing,
            "covered": [key for key, category in COUNTED.items() if category in p],
            "records": [one.to_dict() for one in judged],
        },
    }


def _highest(judged: Iterable[Judged]) -> Mapping[Category, float]:
    """The highest probability of each category that was looked for."""
    p: dict[Category, float] = {}
    for one in judged:
        scores = one.record.scores.as_dict() if one.record.scores else {}
        # A rule for a detector's label decides by that label's score.
        found = [*scores.items(), *((r.category, r.p) for r in one.record.verdict.reasons)]
        for category, value in found:
            p[category] = max(value, p.get(category, 0.0))
    return p


def _is_applied(key: str, p: Mapping[Category, float]) -> bool:
    # Clients of OpenAI that check what they get know no image under the other keys of its own.
    return COUNTED[key] in p and (key in IMAGE_KEYS or key not in KEYS)


def _not_scanned(judged: Sequence[Judged], texts: Sequence[int]) -> Iterable[dict[str, Any]]:
    for place in texts:
        yield {"index": place, "type": "text", "why": _NO_TEXT_MODEL}
    for one in judged:
        failure, hit = one.record.failure, one.listed
        if failure is not None:
            why = f"{failure.code}: {failure.message}"
        elif hit is not None:
            why = f"the hash list {hit.list} ({hit.kind}) has decided"
        else:
            continue
        yield {"index": int(one.record.key), "type": "image_url", "why": why}
