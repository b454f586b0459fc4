"""Optional libraries, imported where they are needed and named where they are missing."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from vedette.errors import MissingExtraError


def require(module: str, *, extra: str) -> Any:
    """Import ``module``, or say which extra of Vedette brings it.

    Returns:
        The module. Typed ``Any``: optional libraries ship types of very different quality.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise  # the library is there and itself misses something: not ours to explain away
        raise MissingExtraError(
            f"{module} is not installed", hint=f"pip install 'vedette[{extra}]'"
        ) from error


def available(module: str) -> bool:
    """Whether ``module`` could be imported; does not import it."""
    return importlib.util.find_spec(module) is not None
