"""Where a probe's training stands, as one safetensors file: whole, or not there."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vedette.extras import require
from vedette.sinks.base import replacing

_SHARE = 20
"""A checkpoint is written once training has taken this many times what writing the last one took:
so that it never costs more than a twentieth."""


@dataclass(slots=True)
class Checkpoint:
    """One file, of one training."""

    path: Path
    told: str
    """What the training is told apart by: another's checkpoint is not read."""
    _written: float = field(default=0.0, init=False)
    _cost: float = field(default=0.0, init=False)

    def read(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Tensors and facts; None where there is none, or another training's."""
        safetensors = require("safetensors", extra="zoo")
        try:
            with safetensors.safe_open(str(self.path), framework="pt") as file:
                facts = json.loads((file.metadata() or {}).get("facts", "{}"))
                if facts.get("told") != self.told:
                    return None
                return {name: file.get_tensor(name).clone() for name in file.keys()}, facts  # noqa: SIM118 - no mapping
        except (OSError, ValueError, safetensors.SafetensorError):
            return None

    def due(self) -> bool:
        """Whether writing it now costs little."""
        return time.monotonic() - self._written >= _SHARE * self._cost

    def write(self, tensors: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """Write it in place of the last one.

        Raises:
            VedetteError: ``write_failed``.
        """
        save = require("safetensors.torch", extra="zoo").save
        started = time.monotonic()
        metadata = {"facts": json.dumps({**facts, "told": self.told}, allow_nan=False)}
        content = save({name: one.contiguous() for name, one in tensors.items()}, metadata)
        with replacing(self.path) as temporary:
            temporary.write_bytes(content)
        self._written = time.monotonic()
        self._cost = self._written - started
