"""What webhooks are signed with: a secret for each key, made from one of the service.

``X-Vedette-Signature: t=SECONDS,v1=HEX`` where HEX is HMAC-SHA256 over ``SECONDS.BODY``;
docs/jobs.md shows how to check it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from pathlib import Path

from vedette.errors import UsageError

KEY = "VEDETTE_WEBHOOK_KEY"
"""Environment variable with the service's secret; the same on every replica."""
KEY_FILE = "VEDETTE_WEBHOOK_KEY_FILE"
"""Environment variable with the name of a file that has it."""
HEADER = "X-Vedette-Signature"
_LEAST = 32
_PURPOSE = b"vedette webhook 1\0"


class Signer:
    """Signs what is sent to webhooks.

    Args:
        secret: of the service.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def __repr__(self) -> str:
        return "Signer(...)"

    def secret(self, key_id: str) -> str:
        """What the owner of a key checks signatures with: nobody else's tells anything of it."""
        found = hmac.new(self._secret, _PURPOSE + key_id.encode(), hashlib.sha256)
        return f"whsec_{found.hexdigest()}"

    def header(self, key_id: str, body: bytes, now: int) -> str:
        """The value of :data:`HEADER`.

        Args:
            key_id: of the job's owner.
            body: as it is sent.
            now: seconds since 1970.
        """
        signed = hmac.new(self.secret(key_id).encode(), b"%d." % now + body, hashlib.sha256)
        return f"t={now},v1={signed.hexdigest()}"


def load_signer(environ: Mapping[str, str] = os.environ) -> Signer | None:
    """The signer of this service; None: it has no secret, so it calls no webhooks.

    Raises:
        UsageError: the file cannot be read, or the secret is shorter than 32 characters.
    """
    given, where = environ.get(KEY), KEY
    if given is None:
        named = environ.get(KEY_FILE)
        if named is None:
            return None
        where = named
        try:
            given = Path(named).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read the secret in {named}") from error
    secret = given.strip().encode()
    if len(secret) < _LEAST:
        raise UsageError(
            f"{where}: a secret for webhooks has {_LEAST} characters or more",
            hint="for example the output of: openssl rand -hex 32",
        )
    return Signer(secret)
