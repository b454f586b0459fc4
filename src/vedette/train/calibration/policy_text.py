"""A policy file that states thresholds, and in its comments what each of them promises."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from vedette.policy import Policy, Rule, parse_policy
from vedette.policy_toml import policy_toml
from vedette.taxonomy import Category
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
    rules, remarks = {}, {}
    for category in Category:
        if category in thresholds:
            chosen = thresholds[category]
            at = chosen.value
            rules[category] = Rule(at, None) if action == "review" else Rule(None, at)
            remarks[category] = f"{'' if chosen.kept else 'NOT PROMISED. '}{chosen.promised}"
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "calibrated"
    draft = Policy(slug, "0", rules, calibrated=calibrated)
    version = hashlib.sha256(policy_toml(draft).encode()).hexdigest()[:8]
    text = policy_toml(replace(draft, version=version), notes=notes, remarks=remarks)
    parse_policy(text, f"policy {slug}")
    return text
