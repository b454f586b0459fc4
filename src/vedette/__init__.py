"""Vedette: is this image safe to show? One image in, one Record out, the same way everywhere.

Importing this package loads nothing heavy, not even numpy: each public name is fetched from its
module when it is first asked for. :class:`Scanner` loads its model when it is made.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vedette.client.async_ import AsyncClient
    from vedette.client.errors import ServiceError
    from vedette.client.options import ClientOptions
    from vedette.client.sync import Client
    from vedette.errors import VedetteError
    from vedette.pipeline import Scanner
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

__version__ = "0.1.0"

__all__ = [
    "Action",
    "AsyncClient",
    "Category",
    "Client",
    "ClientOptions",
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
    "ServiceError",
    "Settings",
    "VedetteError",
    "Verdict",
    "VideoSampling",
    "__version__",
    "load_policy",
    "load_settings",
]

_NAMES = {
    "vedette.client.async_": ("AsyncClient",),
    "vedette.client.errors": ("ServiceError",),
    "vedette.client.options": ("ClientOptions",),
    "vedette.client.sync": ("Client",),
    "vedette.errors": ("VedetteError",),
    "vedette.pipeline": ("Scanner",),
    "vedette.policy": ("Policy", "load_policy"),
    "vedette.settings": ("Limits", "ScanOptions", "Settings", "VideoSampling", "load_settings"),
    "vedette.taxonomy": ("Category",),
    "vedette.types": (
        "Action",
        "Failure",
        "Item",
        "Reason",
        "Record",
        "Region",
        "Scores",
        "Verdict",
    ),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    # `vedette --help` passes through here too, and must not wait for numpy and Pillow.
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
