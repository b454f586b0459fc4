"""``multipart/form-data`` (RFC 7578) of a body that is there whole.

Parts are split by their boundary in one pass, so that no body, however it is made, costs more than
its length; streaming parsers look at each candidate boundary in Python.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from vedette.serve.refusals import Refusal

_HEAD_BYTES = 8 * 2**10
"""Of one part's headers."""
_BOUNDARY = re.compile(r"""boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))""", re.IGNORECASE)
_DISPOSITION = re.compile(r"content-disposition:[ \t]*form-data[ \t]*;(.*)", re.IGNORECASE)
_NAME = re.compile(r'(?:^|[;\s])name="([^"]*)"', re.IGNORECASE)
_FILENAME = re.compile(r'(?:^|[;\s])filename="((?:[^"\\]|\\.)*)"', re.IGNORECASE)
_EXTENDED = re.compile(r"(?:^|[;\s])filename\*=utf-8'[^']*'([^;\s]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Part:
    """One field of a form."""

    name: str
    data: bytes
    filename: str | None
    """None: a plain field."""


def parse_form(body: bytes, content_type: str, most_parts: int) -> list[Part]:
    """The parts of a form, in order.

    Raises:
        Refusal: ``usage``: not such a form, or not whole; ``too_large``: too many parts.
    """
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise _malformed("the Content-Type names no boundary")
    boundary = (found[1] or found[2]).encode()
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary, most_parts + 2)
    if len(pieces) < 2:
        raise _malformed("its boundary is not there")
    parts: list[Part] = []
    for piece in pieces[1:]:
        if piece.startswith(b"--"):
            return parts
        if len(parts) == most_parts:
            raise Refusal(f"more than {most_parts} parts", code="too_large")
        parts.append(_part(piece))
    raise _malformed("it ends before its last boundary")


def _part(piece: bytes) -> Part:
    # An empty head is no head: then the blank line follows the boundary at once.
    start = piece.find(b"\r\n")
    end = piece.find(b"\r\n\r\n", start, start + _HEAD_BYTES)
    if start < 0 or piece[:start].strip(b" \t") or end < 0:
        raise _malformed("a part without headers")
    head = piece[start + 2 : end].decode("utf-8", "replace")
    for line in head.split("\r\n"):
        told = _DISPOSITION.fullmatch(line)
        if told is not None:
            name = _NAME.search(told[1])
            return Part(name[1] if name else "", piece[end + 4 :], _filename(told[1]))
    raise _malformed("a part without Content-Disposition: form-data")


def _filename(disposition: str) -> str | None:
    extended = _EXTENDED.search(disposition)
    if extended is not None:
        return unquote(extended[1], errors="replace")
    plain = _FILENAME.search(disposition)
    if plain is None:
        return None
    return re.sub(r"\\(.)", r"\1", plain[1]).replace("%22", '"')


def _malformed(told: str) -> Refusal:
    return Refusal(f"not a multipart form: {told}", code="usage")
