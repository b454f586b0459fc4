"""``data:`` URIs into bytes (RFC 2397): base64 and percent-encoded, their size known before."""

from __future__ import annotations

import binascii
import re
from urllib.parse import unquote_to_bytes

from vedette.serve.refusals import Refusal

_HEADER = re.compile(r"data:([!-+\--~]{0,256}),", re.IGNORECASE)
"""Up to the first comma: a media type, which is not trusted, and perhaps ``;base64``."""
_NOT_PERCENT = re.compile(r"[^!\"$-~]|%(?![0-9A-Fa-f]{2})")
"""Searched for and not matched against: no repetition, so no memory, however long the text is."""

_PIECE = 65_536
"""Characters that are percent-decoded at a time."""


def is_data_uri(text: str) -> bool:
    """Whether a text is meant as a ``data:`` URI."""
    return text[:5].lower() == "data:"


def data_uri(text: str, limit: int) -> bytes:
    """The bytes that a ``data:`` URI holds. Strict: what is not exactly one is refused.

    The media type says nothing about the bytes and is not read. Base64 is the standard alphabet
    with its padding, without line breaks; either form may be percent-encoded.

    Args:
        text: the whole URI.
        limit: bytes, at most; what decodes to more is refused before it is decoded.

    Raises:
        Refusal: ``usage``: not such a URI; ``too_large``. The message quotes nothing of it.
    """
    header = _HEADER.match(text, 0, 300)
    if header is None:
        raise _unreadable("it does not begin with data:[type][;base64],")
    start = header.end()
    if header[1].lower().endswith(";base64"):
        return _base64(text, start, limit)
    escapes = text.count("%", start)
    _check_size(len(text) - start - 2 * escapes, limit)
    if _NOT_PERCENT.search(text, start):
        raise _unreadable("its text is not percent-encoded")
    return _unquoted(text, start)


def _base64(text: str, start: int, limit: int) -> bytes:
    longest = 4 * ((limit + 2) // 3)
    escapes = text.count("%", start)
    if len(text) - start - 2 * escapes > longest:
        raise _too_large(limit)
    payload = text[start:]
    if escapes:
        if _NOT_PERCENT.search(payload):
            raise _unreadable("its text is not percent-encoded")
        payload = _unquoted(payload, 0).decode("latin-1")
    try:
        decoded = binascii.a2b_base64(payload, strict_mode=True)
    except ValueError:  # of binascii, or not ASCII
        raise _unreadable("its text is not whole base64 of the standard alphabet") from None
    _check_size(len(decoded), limit)
    return decoded


def _unquoted(text: str, start: int) -> bytes:
    """Percent-decoded from ``start`` on; in pieces, for the library lists every escape."""
    decoded = bytearray()
    while start < len(text):
        end = min(start + _PIECE, len(text))
        if end < len(text) and (cut := text.rfind("%", end - 2, end)) != -1:
            end = cut  # not through an escape
        decoded += unquote_to_bytes(text[start:end])
        start = end
    return bytes(decoded)


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise _too_large(limit)


def _too_large(limit: int) -> Refusal:
    return Refusal(f"a data URI holds more than {limit} bytes", code="too_large")


def _unreadable(why: str) -> Refusal:
    return Refusal(
        f"a data URI cannot be read: {why}",
        code="usage",
        hint="send data:image/png;base64, and the picture in base64",
    )
