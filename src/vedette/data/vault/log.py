"""The vault's log: what was imported, exported and deleted, and when. Lines are chained by hashes.

It shows that nobody edited it by hand or by accident; it is no signature: who can write to the
vault can write a new log.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path

from vedette.data.vault.place import make_private, vault_root, write_whole, writing
from vedette.errors import VedetteError
from vedette.hub.store import exclusive

NAME = "log.jsonl"
HEAD = "log.head"
"""The hash of the last line: without it nobody would miss the end of the log."""
_START = "0" * 64


def log(event: str, name: str, facts: dict[str, object]) -> None:
    """Add a line.

    Args:
        event: ``import``, ``export``, ``delete`` …
        name: of the set.
        facts: counts and hashes; never an image's key or text.

    Raises:
        VedetteError: ``write_failed``, or ``bad_vault``: the log was changed.
    """
    root = vault_root()
    make_private(root)
    path = root / NAME
    with exclusive(root / ".lock"):
        last = check_log()
        entry = {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "user": _user(),
            "event": event,
            "set": name,
            **facts,
            "previous": last,
        }
        with writing(path):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            line = json.dumps(entry).encode()
            with os.fdopen(descriptor, "ab") as stream:
                stream.write(line + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
        write_whole(root / HEAD, hashlib.sha256(line).hexdigest().encode() + b"\n")


def check_log() -> str:
    """The hash that the next line continues from.

    Raises:
        VedetteError: ``bad_vault``: a line does not continue the one before it.
    """
    path = vault_root() / NAME
    before = last = _START
    number = 0
    for number, line in enumerate(_lines(path), start=1):
        try:
            previous = json.loads(line)["previous"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise _broken(path, number) from error
        if previous != last:
            raise _broken(path, number)
        before, last = last, hashlib.sha256(line).hexdigest()
    head = b"".join(_lines(path.with_name(HEAD))).decode("ascii", "replace") or _START
    if head not in (last, before):  # the one before: stopped between the line and its head
        raise VedetteError(
            f"{path.name} does not end with the line that was written last",
            code="bad_vault",
            hint=f"find out who changed it; move it and {HEAD} away to start a new one",
        )
    return last


def entries(name: str) -> list[dict[str, object]]:
    """The lines about one set, in their order. Raises as :func:`check_log`."""
    check_log()
    told = [json.loads(line) for line in _lines(vault_root() / NAME)]
    return [entry for entry in told if entry.get("set") == name]


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise VedetteError(f"cannot read {path}: {error.strerror}", code="bad_vault") from error


def _broken(path: Path, number: int) -> VedetteError:
    return VedetteError(
        f"line {number} of {path.name} does not continue the one before it",
        code="bad_vault",
        hint="find out who changed it; move the log away to start a new one",
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a process without an entry among the users
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"
