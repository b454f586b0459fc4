"""Sockets of several processes that serve one address, so that each gets its share of callers.

With one socket for all, whoever wakes first takes every connection that waits, and callers keep
their connections: one process would do all the work. On Linux each process has a socket of its own
(``SO_REUSEPORT``), and the kernel spreads connections over those that listen. A process that dies
takes its own waiting connections along, and no others.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

SHARES = sys.platform == "linux"
"""Whether the kernel spreads connections: elsewhere the option means other things."""


def bound(family: socket.AddressFamily, place: Any) -> socket.socket:
    """A socket that holds an address beside others of this user, and does not listen yet.

    Raises:
        OSError: the address cannot be used.
    """
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(place)
    except OSError:
        made.close()
        raise
    return made


def own(held: socket.socket) -> socket.socket:
    """A process's socket on the address of ``held``: another one where the kernel spreads, or else
    ``held`` itself. It listens once the server does.

    Raises:
        OSError: the address cannot be used.
    """
    if not SHARES:
        return held
    with held:
        return bound(held.family, held.getsockname())
