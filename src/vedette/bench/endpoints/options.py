"""What a user may choose about an endpoint, a command or a file of predictions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from vedette.errors import UsageError

_HIGHEST = {"rate": 1e4, "timeout_s": 3600.0, "retries": 20, "concurrency": 64, "backoff_s": 60.0}


@dataclass(frozen=True, slots=True)
class EndpointOptions:
    """How an endpoint is asked. None of these changes what an answer means.

    Raises:
        UsageError: a number that is out of range, or a cap without a price.
    """

    base_url: str | None = None
    """Of a compatible server; None: the service's own address."""
    rate: float = 2.0
    """Requests per second, at most."""
    max_cost: float | None = None
    """USD that one run may cost, at most; None: no cap."""
    price: float | None = None
    """USD per image. Vedette knows no price list: they change, and differ by region."""
    timeout_s: float = 60.0
    """For one whole request, and for one answer of a command."""
    retries: int = 4
    """Further attempts for one image after a refusal that may pass; restarts of a command."""
    cache: Path | None = None
    """Folder that answers are kept in; None: ``$VEDETTE_CACHE``, else the user's own."""
    concurrency: int = 4
    """Requests under way at a time, at most."""
    backoff_s: float = 0.5
    """Before the second attempt, about; doubled before each further one."""
    seed: int = 7
    """Of the jitter in waiting."""

    def __post_init__(self) -> None:
        for name, highest in _HIGHEST.items():
            value = getattr(self, name)
            low_enough = math.isfinite(value) and value <= highest
            if not low_enough or value < 0 or (value == 0 and name not in ("retries", "backoff_s")):
                raise UsageError(
                    f"{name} must be above 0 and at most {highest:g}, not {value!r}",
                    hint="see docs/endpoints.md",
                )
        for name in ("max_cost", "price"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise UsageError(f"{name} must be an amount of USD, not {value!r}")
        if self.max_cost is not None and self.price is None:
            raise UsageError(
                "a cap on the cost needs the price of an image",
                hint="give the service's price in USD per image with --price",
            )
