"""What a perturbation is: a change that pictures meet in the wild, or that evaders make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vedette.types import UInt8


@dataclass(frozen=True, slots=True)
class Perturbation:
    """One kind, at several severities. Found by the registry."""

    name: str
    """``gaussian-noise``, ``grid``"""
    family: Literal["noise", "blur", "weather", "digital", "evasion", "style"]
    summary: str
    """One line: what it does, and what the severities mean."""
    levels: tuple[float, ...]
    """The parameter at each severity, from mild to severe, in the unit that ``summary`` names."""
    apply: Callable[[UInt8, float, np.random.Generator], UInt8]
    """(uint8 [h, w, 3], level, random numbers) to uint8 [h', w', 3]. The same arguments give the
    same pixels. Any size from 1 x 1 px on; never changes its argument."""
