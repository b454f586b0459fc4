"""One file over HTTP to the disk: resumed where it was cut, never larger than it may be.

huggingface_hub's own download begins anew after every stop of the program, and is for the hub
only; this one serves the hub, its mirrors and plain addresses alike.
"""

from __future__ import annotations

import http.client
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

from vedette.errors import ModelError
from vedette.extras import available, require

MAX_BYTES = 64 * 2**30
"""Of one file, where its size is not known before."""

_TIMEOUT_S = 30.0
"""Without a byte, before the connection counts as cut."""
_ATTEMPTS = 5
"""Without one byte more, before we give up."""
_CHUNK = 2**20
_TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_CUT = (
    *(urllib.error.URLError, http.client.HTTPException, ssl.SSLError),
    *(ConnectionError, TimeoutError),
)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

pause = time.sleep
"""Between two attempts; tests put another in its place."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to fetch."""

    url: str
    size: int | None = None
    """In bytes, where it is known."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent to the host of ``url`` only."""
    plain_http: bool = False
    """Whether the user has chosen an address without encryption: a mirror of their own."""


Progress = Callable[[int, int | None], None]
"""Takes the bytes that are here, and how many there will be."""


def fetch(wanted: Wanted, path: Path, progress: Progress) -> None:
    """Fetch ``wanted`` to ``path``; what is there already is its beginning and is not sent again.

    The bytes are not checked here, but for their number.

    Raises:
        ModelError: ``pull_failed``: with the reason. What was received stays for the next call.
        OSError: ``path`` cannot be written.
    """
    check_address(wanted.url, plain_http=wanted.plain_http)
    left = _ATTEMPTS
    while True:
        before = _size(path)
        if wanted.size is not None and before == wanted.size:
            progress(before, wanted.size)
            return
        try:
            if _fetch_some(wanted, path, progress):
                return
            reason = "the connection was cut"
        except _CUT as error:
            reason = _reason(error)
        left = _ATTEMPTS if _size(path) > before else left - 1
        if left == 0:
            raise failed(f"{shown(wanted.url)}: {reason}")
        pause(2.0 ** (_ATTEMPTS - left - 1))


def check_address(url: str, *, plain_http: bool = False) -> None:
    """Refuse what is not https; http only to this machine, or where the user has chosen it.

    Raises:
        ModelError: ``pull_failed``.
    """
    parts = urlsplit(url)
    if parts.hostname is None or parts.scheme not in ("http", "https"):
        raise failed(f"{shown(url)} is not an address that weights are fetched from")
    if parts.username is not None:
        raise failed(f"{shown(url)}: an address must not hold a name and a password")
    if parts.scheme == "http" and not plain_http and not is_loopback(url):
        raise failed(f"{shown(url)} is not encrypted: https is needed")


def is_loopback(url: str) -> bool:
    """Whether an address is on this machine."""
    return urlsplit(url).hostname in _LOOPBACK


def failed(reason: str, *, hint: str | None = None) -> ModelError:
    """The error of a pull that did not come to its end."""
    return ModelError(reason, code="pull_failed", hint=hint)


def shown(url: str) -> str:
    """An address without what may be secret in it: user, password and query."""
    parts = urlsplit(url)
    host = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname
    return f"{parts.scheme}://{host}{parts.path}"


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect that loses encryption, and takes no credentials to another host."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """See the base class."""
        target = urljoin(req.full_url, newurl)
        here, there = urlsplit(req.full_url), urlsplit(target)
        same = (here.scheme, here.netloc) == (there.scheme, there.netloc)
        unencrypted_already = here.scheme == "http"
        if there.scheme != "https" and not (unencrypted_already and (same or is_loopback(target))):
            fp.close()
            raise failed(f"{shown(req.full_url)} leads to {shown(target)}, which is not encrypted")
        new = super().redirect_request(req, fp, code, msg, headers, newurl)
        if new is not None and not same:
            for name in ("Authorization", "Cookie"):
                new.remove_header(name)
        return new


def _fetch_some(wanted: Wanted, path: Path, progress: Progress) -> bool:
    """One request; whether the file is whole after it."""
    start = _size(path)
    headers = {**wanted.headers, "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(wanted.url, headers=headers)
    try:
        response = _opener().open(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # what is here is no beginning of what is there
            path.unlink()
            return False
        if error.code in _TRY_AGAIN:
            raise
        raise failed(f"{shown(wanted.url)}: {_reason(error)}", hint=_hint(error.code)) from None
    with response:
        start, total = _begin(response, start, wanted)
        limit = MAX_BYTES if wanted.size is None else wanted.size
        with path.open("r+b" if path.exists() else "wb") as stream:
            stream.seek(start)
            stream.truncate()
            done = start
            progress(done, total)
            while chunk := response.read(_CHUNK):
                done += len(chunk)
                if done > limit:
                    stream.close()
                    path.unlink()
                    raise failed(f"{shown(wanted.url)} is larger than the {limit} bytes expected")
                stream.write(chunk)
                progress(done, total)
            stream.flush()
            os.fsync(stream.fileno())
    return total is None or done == total


def _begin(response: Any, start: int, wanted: Wanted) -> tuple[int, int | None]:
    """(where the response's first byte goes, size of the whole file) by its headers."""
    headers = response.headers
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        raise failed(f"{shown(wanted.url)} comes compressed, which was not asked for")
    length = headers.get("Content-Length", "")
    if response.status == 206:
        first = headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
        if first != str(start):
            raise failed(f"{shown(wanted.url)}: another part of the file came than was asked for")
    else:
        start = 0  # it sends everything again
    if wanted.size is not None:
        return start, wanted.size
    return start, start + int(length) if length.isascii() and length.isdigit() else None


def _opener() -> urllib.request.OpenerDirector:
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if os.name != "nt" and not (paths.cafile or paths.capath) and available("certifi"):
        # A Python that knows no certificates, as the one of python.org for macOS.
        context.load_verify_locations(require("certifi", extra="zoo").where())
    return urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _Redirects())


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answers {error.code} {error.reason}"
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return str(reason) or type(error).__name__


def _hint(status: int) -> str | None:
    if status in (401, 403):
        return "set HF_TOKEN to a token that may read it, once its owner has given you access"
    return None
