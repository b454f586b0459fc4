"""Where the service is, which key it is shown, and how long a client waits for it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from vedette.errors import UsageError
from vedette.settings import validated

DEFAULT_URL = "http://127.0.0.1:8080"
"""Where ``vedette serve`` listens without options."""
_KEY = re.compile(r"[\x21-\x7e]{1,512}")


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """How a client asks. None of these changes what a verdict means."""

    connect_s: float = 5.0
    """Seconds to reach the service."""
    answer_s: float = 60.0
    """Seconds from a request's last byte to the end of its answer; also the longest that sending
    may stand still. The service itself gives up after ``serve.limits.seconds``, 30."""
    video_s: float = 180.0
    """Instead of ``answer_s``, where a video is scanned."""
    upload_s: float = 900.0
    """Instead of ``answer_s``, where a job's archive is sent: it is expanded before the answer."""
    attempts: int = 7
    """Times that a request is sent at most: again after 429, 503 or a lost connection."""
    retry_s: float = 60.0
    """Seconds for all attempts at one request: no attempt begins later than that."""
    images: int = 32
    """Images in one request; the service takes ``serve.limits.images``, 32."""
    request_bytes: int = 48 * 2**20
    """Bytes of images in one request, but for a single larger one."""
    answer_bytes: int = 128 * 2**20
    """Of one answer, at most. A job's results are counted line by line."""
    trust_env: bool = True
    """Use the proxies and certificates that the environment names (docs/client.md)."""
    ca_file: str | None = None
    """PEM file of the certificates to trust, for a service with one of your own."""

    def __post_init__(self) -> None:
        validated(self, "client options")


@dataclass(frozen=True, slots=True)
class Address:
    """A service and the key it is shown."""

    url: str
    """Without a slash at the end, and without ``/v1``."""
    key: str | None = field(default=None, repr=False)


def address_of(
    url: str | None, key: str | None, environ: Mapping[str, str] = os.environ
) -> Address:
    """The service at ``url``, else at ``$VEDETTE_URL``, else on this machine.

    Args:
        url: ``http://`` or ``https://``; a path in front of ``/v1`` is kept.
        key: of the service; else ``$VEDETTE_API_KEY``, else none.
        environ: the environment.

    Raises:
        UsageError: the address or the key cannot be one. Neither is repeated in the message: an
            address may hold a password.
    """
    url = url or environ.get("VEDETTE_URL") or DEFAULT_URL
    key = key or environ.get("VEDETTE_API_KEY") or None
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname)
        known = known and parts.port != 0 and url.isascii() and url.isprintable()
    except ValueError:
        known = False
    if not known:
        raise UsageError(
            "the service's address is not an http:// or https:// URL",
            hint=f"give one like {DEFAULT_URL}, or set VEDETTE_URL",
        )
    if parts.username is not None or parts.query or parts.fragment or " " in url:
        raise UsageError(
            "the service's address has a user, a query or a fragment in it",
            hint="give the key as key=..., or set VEDETTE_API_KEY",
        )
    if key is not None and not _KEY.fullmatch(key):
        raise UsageError(
            "the key is not one: it has spaces, line ends or letters outside of ASCII",
            hint="give it as `vedette keys create` has shown it",
        )
    path = parts.path.rstrip("/").removesuffix("/v1").rstrip("/")
    return Address(f"{parts.scheme}://{parts.netloc}{path}", key)
