"""The secret behind the hashes of subjects: found again for erasure, unreadable without it."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from vedette.errors import UsageError, VedetteError
from vedette.serve.database.store import is_url

KEY = "VEDETTE_AUDIT_KEY"
"""Environment variable with the secret itself."""
KEY_FILE = "VEDETTE_AUDIT_KEY_FILE"
"""Environment variable with the name of a file that has it."""
_LEAST = 16
_HINT = f"set {KEY} or {KEY_FILE} to the same secret of 16 characters or more on every replica"


def audit_secret(
    database: str, environ: Mapping[str, str] = os.environ, *, create: bool = True
) -> bytes:
    """The secret: from the environment, else from a file beside a SQLite database.

    Args:
        database: the place of the database; the file beside a path is of mode 0600.
        environ: of this process.
        create: make that file where there is none; else it must be there.

    Raises:
        UsageError: PostgreSQL and no secret given; one that is too short; a file unreadable.
        VedetteError: ``write_failed``: the file beside the database cannot be made.
    """
    given = environ.get(KEY)
    if given is not None:
        return _long_enough(given.strip().encode(), KEY)
    named = environ.get(KEY_FILE)
    if named is not None:
        return _long_enough(_read(Path(named)), named)
    if is_url(database):
        raise UsageError("the audit has no secret for the hashes of subjects", hint=_HINT)
    path = Path(f"{database}.audit-key")
    if create:
        _make(path)
    return _long_enough(_read(path), str(path))


def subject_hash(secret: bytes, subject: str) -> str:
    """HMAC-SHA256 of a subject's id, in hex."""
    told = subject.encode("utf-8", "surrogatepass")
    return hmac.new(secret, told, hashlib.sha256).hexdigest()


def _make(path: Path) -> None:
    """A secret in a file that appears whole, also where two processes make it at once."""
    if path.exists():
        return
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)  # unlike a rename it never replaces
        except FileExistsError:
            return  # another process was first: its secret counts
        finally:
            temporary.unlink()
    except OSError as error:
        raise VedetteError(
            f"cannot write {path}: {error.strerror or error}", code="write_failed"
        ) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes().strip()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}", hint=_HINT) from error


def _long_enough(secret: bytes, where: str) -> bytes:
    if len(secret) < _LEAST:
        raise UsageError(f"{where}: the secret is too short", hint=_HINT)
    return secret
