"""Vedette: is this image safe to show? One image in, one Record out, the same way everywhere.

Importing this package loads nothing heavy; :class:`Scanner` loads its model when it is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vedette.errors import VedetteError
from vedette.policy import Policy, load_policy
from vedette.settings import Limits, ScanOptions, Settings, VideoSampling, load_settings
from vedette.taxonomy import Category
from vedette.types import (
    Action,
    Failure,
    Item,
    Reason,
    Record,
    Region,
    Scores,
    Verdict,
)

if TYPE_CHECKING:
    from vedette.pipeline import Scanner

__version__ = "0.1.0"

__all__ = [
    "Action",
    "Category",
    "Failure",
    "Item",
    "Limits",
    "Policy",
    "Reason",
    "Record",
    "Region",
    "ScanOptions",
    "Scanner",
    "Scores",
    "Settings",
    "VedetteError",
    "Verdict",
    "VideoSampling",
    "__version__",
    "load_policy",
    "load_settings",
]


def __getattr__(name: str) -> Any:
    # Scanner brings Pillow's decoders along; a program that only reads Records need not pay.
    if name == "Scanner":
        from vedette.pipeline import Scanner

        return Scanner
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
