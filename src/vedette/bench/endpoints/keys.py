"""Keys of services: from the environment to a header, and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Mapping

from vedette.errors import UsageError
from vedette.text import printable

VARIABLE = "VEDETTE_ENDPOINT_KEY"
"""Goes to whatever address is given; a service's own variable goes to that service only."""

_KEY = re.compile(r"[\x21-\x7e]+")
_MOST_SHOWN = 200


def key_for(environ: Mapping[str, str], own: tuple[str, ...], *, own_address: bool) -> str:
    """The key to send, ``""`` for none.

    Args:
        environ: the environment.
        own: the service's usual variables.
        own_address: whether requests go to the service itself. Its key is not for others.

    Raises:
        UsageError: what is set is no key, or the service itself is asked without one.
    """
    names = (VARIABLE, *own) if own_address else (VARIABLE,)
    for name in names:
        if key := environ.get(name, "").strip():
            return checked(key, name)
    if own_address:
        raise UsageError(
            "the endpoint needs a key, and there is none",
            code="endpoint_refused",
            hint=f"set {' or '.join(names)}",
        )
    return ""


def checked(key: str, name: str) -> str:
    """``key``, if a header can hold it.

    Raises:
        UsageError: it cannot; the message does not show it.
    """
    if not _KEY.fullmatch(key):
        raise UsageError(
            f"{name} is not a key", code="endpoint_refused", hint=f"set {name} to the key alone"
        )
    return key


def told(message: object, secrets: tuple[str, ...]) -> str:
    """A server's own words as one short line, without keys that it repeats."""
    text = message if isinstance(message, str) else ""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[key]")
    line = printable(" ".join(text.split()))
    return line if len(line) <= _MOST_SHOWN else line[:_MOST_SHOWN] + " …"
