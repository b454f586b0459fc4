"""Hashes of what a stored decision must name."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

from vedette.policy import Policy


def policy_hash(policy: Policy) -> str:
    """SHA-256 over all that a policy decides by, in hex: by which words a decision was made."""
    told = asdict(policy)
    told["categories"] = {str(k): v for k, v in told["categories"].items()}
    text = json.dumps(told, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
