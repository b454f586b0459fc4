"""Lists as others give them: plain text, CSV, and the JSON and CSV of ThreatExchange and HMA.

What is read: hashes of the types ``sha256`` and ``pdq``. Hashes of other types (MD5, PhotoDNA, TMK
...) are left out and counted. Anything that should be a hash and is none is an error with its line:
a list that is half read would stop half of what it should.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from vedette.errors import FetchError, VedetteError
from vedette.fetch import open_regular, read_bounded
from vedette.hashlists.entries import MOST_ENTRIES, Entry, Kind, Match
from vedette.hashlists.pdq import MIN_QUALITY, parse

MOST_BYTES = 2**29
"""Of a file that is imported."""

_LINE_MOST = 65_536
_DEPTH_MOST = 8
_HASH = ("hash", "value", "signal", "signal_str", "signal_value", "raw_indicator", "indicator")
_TYPE = ("match", "signal_type", "type", "hash_type", "hash_algorithm", "algorithm")
_NOTE = ("note", "id", "entry", "description", "label", "name")
_KIND, _QUALITY = "kind", "quality"
_HARMLESS = "NON_MALICIOUS"
"""The status by which ThreatExchange takes an entry back."""
_TYPES = {
    "sha256": Match.SHA256,
    "sha-256": Match.SHA256,
    "hash_sha256": Match.SHA256,
    "pdq": Match.PDQ,
    "hash_pdq": Match.PDQ,
    "photo_pdq": Match.PDQ,
}
_OTHER_TYPES = frozenset(
    {
        *("md5", "sha1", "sha-1", "hash_md5", "hash_sha1", "photo_md5", "video_md5", "text_md5"),
        *("pdna", "photodna", "hash_pdna", "tmk", "tmk-pdqf", "hash_tmk", "video_tmk_pdqf"),
        *("vpdq", "pdq_ocr", "hash_pdq_ocr", "clip", "tlsh", "text_tlsh", "tlsh_pdf", "url"),
        *("url_md5", "raw_text", "trend_query", "domain", "uri", "debug_string", "netclean"),
        *("hash_video_md5", "hash_url_md5", "hash_text_tlsh"),
    }
)


@dataclass(slots=True)
class Reading:
    """What has been read so far."""

    entries: list[Entry] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    """How many hashes, by why."""


def read_list(path: Path, match: Match | None = None) -> Reading:
    """The entries of a list in any of the forms of docs/hash-lists.md, told by its content.

    Args:
        path: of the file, at most :data:`MOST_BYTES`.
        match: the type of hashes that the file does not name one for.

    Raises:
        VedetteError: ``bad_list``, with the line.
    """
    try:
        with open_regular(path) as stream:
            data = read_bounded(stream, MOST_BYTES, path.name)
    except FetchError as error:
        raise VedetteError(error.message, code="bad_list") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise VedetteError(f"{path.name} line {line}: not UTF-8", code="bad_list") from error
    return parse_list(text, path.name, match)


def parse_list(text: str, name: str, match: Match | None = None) -> Reading:
    """The entries of a list given as text; see :func:`read_list`.

    Raises:
        VedetteError: ``bad_list``, with the line.
    """
    reader = _Reader(name, match)
    start = text.lstrip()[:1]
    if start in ("{", "["):
        reader.json(text)
    else:
        reader.lines(text)
    return reader.reading


class _Reader:
    def __init__(self, name: str, match: Match | None) -> None:
        self.reading = Reading()
        self._name = name
        self._match = match
        self._where = ""

    # Text and CSV

    def lines(self, text: str) -> None:
        header: list[str] | None = None
        first = True
        for number, line in enumerate(text.split("\n"), start=1):
            self._where = f"line {number}"
            if len(line) > _LINE_MOST:
                self._bad("too long")
            stripped = line.strip()
            if not stripped or stripped.startswith("#"):
                continue
            if "," not in stripped and not (first and stripped.lower() in (*_HASH, *_TYPES)):
                if header is not None:
                    self._row(header, stripped)
                else:
                    self._plain(stripped)
            elif first and (names := self._header(stripped)) is not None:
                header = names
            else:
                self._row(header, stripped)
            first = False

    def _header(self, line: str) -> list[str] | None:
        """The names of the columns, None: the line has a hash already."""
        names = [cell.strip().lower() for cell in self._cells(line)]
        known = {*_HASH, *_TYPES}
        if not known.isdisjoint(names):
            return names
        if all(_is_digits(name) is False for name in names):
            self._bad(f"no column has the hashes: name it {_HASH[0]}, sha256 or pdq")
        return None

    def _row(self, header: list[str] | None, line: str) -> None:
        cells = [cell.strip() for cell in self._cells(line)]
        if header is None:
            if len(cells) > 3:
                self._bad("more than hash, kind, note; give the columns a first line with names")
            header = ["hash", "kind", "note"][: len(cells)]
        if len(cells) > len(header):
            self._bad(f"{len(cells)} cells, {len(header)} columns")
        self._object(dict(zip(header, cells, strict=False)))

    def _cells(self, line: str) -> list[str]:
        try:
            (cells,) = csv.reader([line], strict=True)
        except (csv.Error, ValueError):
            self._bad("not CSV; a quoted cell ends on its line")
        return cells

    def _plain(self, line: str) -> None:
        """``HASH``, ``TYPE HASH`` as ThreatExchange has it, ``HASH  FILE`` as sha256sum has it."""
        word, _, rest = line.partition(" ")
        if (named := word.lower()) in _TYPES or named in _OTHER_TYPES:
            self._add(rest.strip(), named, "", None, None)
            return
        by_sum = rest[:1] in (" ", "*")  # how sha256sum marks text and binary
        if rest and not by_sum:
            self._bad("neither a hash, nor a type and a hash, nor a line of sha256sum")
        self._add(word, "sha256" if by_sum else None, rest[1:].strip(), None, None)

    # JSON

    def json(self, text: str) -> None:
        try:
            found: Any = json.loads(text)
        except ValueError as error:
            self._json_lines(text, error)
            return
        except RecursionError:
            self._where = "its JSON"
            self._bad("nested too deeply")
        self._value(found, "", 0)

    def _json_lines(self, text: str, whole: ValueError) -> None:
        lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
        try:
            json.loads(lines[0][1])
        except (ValueError, RecursionError):
            self._where = f"line {getattr(whole, 'lineno', 1)}"
            self._bad("not JSON")
        for number, line in lines:
            self._where = f"line {number}"
            try:
                found: Any = json.loads(line)
            except (ValueError, RecursionError):
                self._bad("not JSON")
            if not isinstance(found, dict):
                self._bad("not an object")
            self._value(found, f"line {number}", 0)

    def _value(self, found: object, where: str, depth: int, type_: str | None = None) -> None:
        """An entry, or what has entries inside."""
        self._where = where or "its JSON"
        if depth > _DEPTH_MOST:
            self._bad("nested too deeply")
        if isinstance(found, str):
            self._add(found, type_, "", None, None)
        elif isinstance(found, list):
            for number, inner in enumerate(found, start=1):
                self._value(inner, f"{where} entry {number}".strip(), depth + 1, type_)
        elif isinstance(found, dict):
            self._mapping({str(key): value for key, value in found.items()}, where, depth, type_)
        else:
            self._bad("neither a hash nor an object")

    def _mapping(self, found: Mapping[str, Any], where: str, depth: int, type_: str | None) -> None:
        names = {key.lower(): value for key, value in found.items()}
        typed = [key for key in names if key in _TYPES or key in _OTHER_TYPES]
        if any(isinstance(names.get(key), str) for key in _HASH):
            cells = {
                key: value for key, value in names.items() if not isinstance(value, list | dict)
            }
            if type_ is not None and not any(cells.get(key) for key in _TYPE):
                cells["type"] = type_
            self._object(cells)
        elif typed and all(isinstance(names[key], str) for key in typed):
            self._object(
                {key: value for key, value in names.items() if not isinstance(value, list | dict)}
            )
        else:  # pages, banks, descriptors by their id, hashes by their type
            inner = {k: v for k, v in found.items() if isinstance(v, dict | list)}
            inner.pop("paging", None)
            if not inner and found:
                self._bad("no hash in it")
            for key, value in inner.items():
                by_type = (
                    key.lower() if key.lower() in _TYPES or key.lower() in _OTHER_TYPES else type_
                )
                self._value(value, f"{where} {key[:40]!r}".strip(), depth + 1, by_type)

    # Entries

    def _object(self, cells: Mapping[str, Any]) -> None:
        """An entry as named cells: one hash with its type, or a cell for each type."""

        def first(names: tuple[str, ...]) -> str:
            return next((str(cells[name]).strip() for name in names if cells.get(name)), "")

        kind, note = str(cells.get(_KIND) or "").strip().lower(), first(_NOTE)
        quality = str(cells.get(_QUALITY) if cells.get(_QUALITY) is not None else "").strip()
        given: list[tuple[str, str | None]] = [
            (str(cells[name]).strip(), name)
            for name in cells
            if (name in _TYPES or name in _OTHER_TYPES) and cells[name]
        ]
        if hashed := first(_HASH):
            given.append((hashed, first(_TYPE).lower() or None))
        if not given:
            self._bad("no hash in it")
        if str(cells.get("status") or "").strip().upper() == _HARMLESS:
            self.reading.left_out[f"of the status {_HARMLESS}"] += 1
            return
        for text, type_ in given:
            self._add(text, type_, note, kind, quality)

    def _add(
        self, text: str, type_: str | None, note: str, kind: str | None, quality: str | None
    ) -> None:
        match = self._match_of(text, type_)
        if match is None:
            return
        try:
            digest = parse(text)
        except ValueError as error:
            raise self._error(f"a hash of the type {match} is {error}") from error
        if match is Match.PDQ and quality:
            try:
                enough = float(quality) >= MIN_QUALITY
            except ValueError as error:
                raise self._error(f"{quality[:20]!r} is no quality") from error
            if not enough:
                self.reading.left_out[f"pdq of a quality below {MIN_QUALITY}"] += 1
                return
        if kind and kind not in set(Kind):
            self._bad(f"{kind[:20]!r} is no kind: {', '.join(Kind)}")
        if len(self.reading.entries) >= MOST_ENTRIES:
            self._bad(f"more than {MOST_ENTRIES} entries")
        self.reading.entries.append(Entry(digest, match, note, Kind(kind) if kind else None))

    def _match_of(self, text: str, type_: str | None) -> Match | None:
        """The type of a hash; None: one that is not read, counted."""
        if type_ in _OTHER_TYPES:
            self.reading.left_out[str(type_)] += 1
            return None
        if type_ is not None:
            if type_ not in _TYPES:
                self._bad(f"unknown type of hash {type_[:40]!r}")
            return _TYPES[type_]
        if self._match is None:
            ambiguous = "a hash of 64 digits may be sha256 or pdq: say which with --match"
            self._bad(ambiguous if _is_digits(text) else "not a hash of 64 hexadecimal digits")
        return self._match

    def _error(self, why: str) -> VedetteError:
        return VedetteError(f"{self._name} {self._where}: {why}", code="bad_list")

    def _bad(self, why: str) -> NoReturn:
        raise self._error(why)


def _is_digits(text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True
