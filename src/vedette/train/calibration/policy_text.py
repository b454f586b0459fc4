"""A policy file that states thresholds, and in its comments what each of them promises."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Literal

from vedette.policy import parse_policy
from vedette.taxonomy import Category
from vedette.text import printable
from vedette.train.calibration.thresholds import Chosen

Act = Literal["review", "block"]


def policy_text(
    name: str,
    thresholds: Mapping[Category, Chosen],
    *,
    action: Act = "review",
    notes: Sequence[str] = (),
    calibrated: str | None = None,
) -> str:
    """The TOML of a policy, as :func:`vedette.policy.parse_policy` takes it.

    Args:
        name: of the policy; what is no letter, digit, dot or dash in it becomes a dash.
        thresholds: by category, at least one.
        action: what is done from the threshold on.
        notes: lines for the file's head.
        calibrated: name of the calibration that the thresholds are for; None: the model's own
            probabilities.

    Raises:
        PolicyError: there is no threshold.
    """
    rules = []
    for category in Category:
        if category in thresholds:
            chosen = thresholds[category]
            said = "" if chosen.kept else "NOT PROMISED. "
            rules.append(f"# {said}{_line(chosen.promised)}")
            rules.append(f'"{category}" = {{ {action} = {chosen.value!r} }}')
    body = "\n".join(rules)
    version = hashlib.sha256(body.encode()).hexdigest()[:8]
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "calibrated"
    head = [
        *(f"# {_line(note)}" for note in notes),
        f'name = "{slug}"',
        f'version = "{version}"',
        'on_failure = "review"',
        *([] if calibrated is None else [f"calibrated = {json.dumps(calibrated)}"]),
    ]
    text = "\n".join([*head, "", "[categories]", body]) + "\n"
    parse_policy(text, f"policy {slug}")
    return text


def _line(text: str) -> str:
    """One line that no control character ends early."""
    return " ".join(printable(text).split())
