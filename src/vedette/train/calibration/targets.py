"""What a threshold is to promise, as a user says it: ``fpr<=0.01``, ``cost=10:1``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from vedette.errors import UsageError

Kind = Literal["fpr", "recall", "cost"]
_FORM = re.compile(
    r"\s*(fpr|recall|cost)\s*(<=|>=|=|:)\s*([0-9.eE+-]+)\s*(?::\s*([0-9.eE+-]+))?\s*"
)
_SIGN = {"fpr": "<=", "recall": ">=", "cost": "="}


@dataclass(frozen=True, slots=True)
class Target:
    """What the threshold of each category is to keep."""

    kind: Kind = "cost"
    value: float = 1.0
    """fpr: the largest share of safe images that may be flagged, 0..1. recall: the least share of
    unsafe images that must be. cost: what a miss costs, in false alarms."""

    def __str__(self) -> str:
        if self.kind == "cost":
            return f"cost={self.value:g}:1"
        return f"{self.kind}{_SIGN[self.kind]}{self.value:g}"


def parse_target(given: str) -> Target:
    """The target that a user asks for.

    Raises:
        UsageError: it is none.
    """
    match = _FORM.fullmatch(given)
    hint = "use fpr<=0.01, recall>=0.95 or cost=10:1 (cost of a miss : cost of a false alarm)"
    if match is None:
        raise UsageError(f"{given!r} is no target", hint=hint)
    name, sign, first, second = match.groups()
    kind: Kind = next(k for k in ("fpr", "recall", "cost") if k == name)
    try:
        value = float(first)
        alarm = float(second) if second else 1.0
    except ValueError:
        raise UsageError(f"{given!r} is no target", hint=hint) from None
    if kind == "cost":
        if sign not in ("=", ":") or not (0 < alarm < math.inf and 0 < value / alarm < math.inf):
            raise UsageError(f"{given!r} is no ratio of costs", hint=hint)
        return Target(kind, value / alarm)
    if second or sign != _SIGN[kind] or not 0 < value < 1:
        raise UsageError(f"{given!r} is no target", hint=hint)
    return Target(kind, value)
