"""AWS Signature Version 4, for the one kind of request that we make: a POST without a query.

Our own, and not botocore's: that is a library of 14 MB with every service's model in it, of which
this needs four hashes. It is held to the examples of AWS's own test suite.

Source: AWS, "Create a signed AWS API request", and its Signature Version 4 test suite.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote, urlsplit

_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Of an AWS account. They are not shown by ``repr``."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str = field(default="", repr=False)
    """Of a session, ``""`` for long-lived keys."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a signature is valid for, besides the day."""

    region: str
    service: str


def signed(
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    credentials: Credentials,
    scope: Scope,
    at: datetime,
) -> dict[str, str]:
    """``headers`` with those that sign a POST of ``body`` to ``url``.

    Args:
        url: without a query.
        headers: all of them are signed, and ``Host`` with them.
        body: that is sent.
        credentials: of the account.
        scope: region and service.
        at: now, in UTC; the service takes a signature for some minutes.

    Returns:
        New headers: those given, ``X-Amz-Date``, ``X-Amz-Security-Token`` for a session's
        credentials, and ``Authorization``. ``Host`` is left to the HTTP client.
    """
    parts = urlsplit(url)
    moment = at.strftime("%Y%m%dT%H%M%SZ")
    out = {**headers, "X-Amz-Date": moment}
    if credentials.token:
        out["X-Amz-Security-Token"] = credentials.token
    folded = {name.lower(): " ".join(value.split()) for name, value in out.items()}
    folded["host"] = parts.netloc
    names = ";".join(sorted(folded))
    canonical = "\n".join(
        [
            "POST",
            quote(parts.path or "/", safe="/-_.~"),
            "",
            *(f"{name}:{folded[name]}" for name in sorted(folded)),
            "",
            names,
            hashlib.sha256(body).hexdigest(),
        ]
    )
    reach = f"{moment[:8]}/{scope.region}/{scope.service}/aws4_request"
    text = "\n".join(
        [_ALGORITHM, moment, reach, hashlib.sha256(canonical.encode("utf-8")).hexdigest()]
    )
    key = f"AWS4{credentials.secret_key}".encode()
    for part in reach.split("/"):
        key = hmac.digest(key, part.encode("utf-8"), "sha256")
    signature = hmac.digest(key, text.encode("utf-8"), "sha256").hex()
    out["Authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{reach}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return out
