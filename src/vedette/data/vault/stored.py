"""A set in the vault: its header, its manifest, and the images by content.

::

    NAME/
    ├── set.json             what it is, which manifest counts, the hash of that
    ├── manifest-*.jsonl     a line for each image (:mod:`vedette.data.vault.entry`)
    └── objects/ab/abcd…     the images, each once, named by SHA-256

The header is replaced last, so at any moment it names a manifest that is whole.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from vedette.data.vault.entry import Entry, from_line
from vedette.data.vault.place import check_name, create, is_name, vault_root, write_whole, writing
from vedette.data.vault.sealing import Encrypted, Plain, Seal, find_key
from vedette.errors import UsageError, VedetteError

HEADER = "set.json"
OBJECTS = "objects"
_VERSION = 1
_MOST_LINE = 2**22
_MANIFEST = re.compile(r"manifest-[0-9a-f]{16}\.jsonl|journal\.jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What ``set.json`` says."""

    name: str
    created: str
    """Date and time, UTC."""
    given: str
    """What was imported, as the user named it, and its format."""
    card: str | None
    """The published set that it is."""
    terms_hash: str | None
    """The terms that were accepted."""
    salt: str | None
    """Of the encryption, in hex; None: the set is not encrypted."""
    check: str | None
    manifest: str
    """File name."""
    manifest_sha256: str
    images: int
    stored: int
    """Different images, by content."""
    size: int
    """Bytes of these."""
    formats: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)
    """How many images could not be imported, by code."""


class StoredSet:
    """One set, open for reading."""

    def __init__(self, folder: Path, header: Header, seal: Seal) -> None:
        self.folder = folder
        self.header = header
        self.seal = seal

    def entries(self) -> Iterator[Entry]:
        """All entries, in the order of the import.

        Raises:
            VedetteError: ``bad_vault``.
        """
        path = self.folder / self.header.manifest
        try:
            with path.open("rb") as stream:
                while line := stream.readline(_MOST_LINE):
                    yield from_line(unseal_line(self.seal, line.rstrip(b"\n")))
        except OSError as error:
            raise VedetteError(f"cannot read {path}: {error.strerror}", code="bad_vault") from error

    def place(self, sha256: str) -> Path:
        """Where the image of that hash is."""
        return place_of(self.folder, self.seal, sha256)

    def pieces(self, sha256: str) -> Iterator[bytes]:
        """The bytes of an image, a piece at a time.

        Raises:
            VedetteError: ``bad_vault``: it is gone or was altered.
        """
        path = self.place(sha256)
        digest = hashlib.sha256()
        try:
            flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
            with os.fdopen(os.open(path, flags), "rb") as stream:
                for piece in self.seal.open(stream.read):
                    digest.update(piece)
                    yield piece
            if digest.hexdigest() != sha256:
                raise VedetteError(f"an image of {self.header.name} was altered", code="bad_vault")
        except OSError as error:
            raise VedetteError(
                f"an image of {self.header.name} cannot be read: {error.strerror}", code="bad_vault"
            ) from error


def place_of(folder: Path, seal: Seal, sha256: str) -> Path:
    """Where an image is in a set's folder."""
    address = seal.address(sha256)
    return folder / OBJECTS / address[:2] / address


def open_set(name: str) -> StoredSet:
    """The set of that name, its manifest held to its hash.

    Raises:
        UsageError: there is none, or its key is missing or wrong (``vault_key``).
        VedetteError: ``bad_vault``: its header cannot be read, or its manifest was changed.
    """
    return open_folder(vault_root() / check_name(name))


def open_folder(folder: Path) -> StoredSet:
    """The set in that folder; see :func:`open_set`."""
    header = read_header(folder)
    if digest_of(folder / header.manifest) != (header.manifest_sha256, header.images):
        raise VedetteError(f"the manifest of {header.name} was changed", code="bad_vault")
    return StoredSet(folder, header, seal_of(header))


def digest_of(manifest: Path) -> tuple[str, int]:
    """The SHA-256 of a manifest, and its lines.

    Raises:
        VedetteError: ``bad_vault``: it cannot be read.
    """
    digest = hashlib.sha256()
    lines = 0
    try:
        with manifest.open("rb") as stream:
            while piece := stream.read(2**20):
                digest.update(piece)
                lines += piece.count(b"\n")
    except OSError as error:
        raise VedetteError(f"cannot read {manifest}: {error.strerror}", code="bad_vault") from error
    return digest.hexdigest(), lines


def seal_of(header: Header) -> Seal:
    """How a set is stored; asks for the key where it is encrypted."""
    if header.salt is None:
        return Plain()
    seal = Encrypted(find_key(make=False), bytes.fromhex(header.salt))
    if seal.check != header.check:
        raise UsageError(f"the key is not the one of {header.name}", code="vault_key")
    return seal


def read_header(folder: Path) -> Header:
    """What the header of a set's folder says.

    Raises:
        UsageError: ``not_found``: there is no set.
        VedetteError: ``bad_vault``.
    """
    path = folder / HEADER
    try:
        told = json.loads(path.read_bytes())
        if told.pop("version") != _VERSION:
            raise ValueError("another version of Vedette made it")
        header = Header(**told)
        _check_header(header)
    except FileNotFoundError as error:
        raise UsageError(
            f"there is no set {folder.name!r} in the vault",
            code="not_found",
            hint="see the sets that there are with: vedette data list",
        ) from error
    except OSError as error:
        raise VedetteError(f"cannot read {path}: {error.strerror}", code="bad_vault") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise VedetteError(f"{path} is not a set's header: {error}", code="bad_vault") from error
    return header


def _check_header(header: Header) -> None:
    """Raise ValueError where a field is not what an import writes."""
    # The manifest's name is followed: it must not lead anywhere else.
    if not _MANIFEST.fullmatch(header.manifest):
        raise ValueError("a manifest outside the set")
    for text in (header.name, header.created, header.given, header.manifest_sha256):
        if not isinstance(text, str):
            raise ValueError("a text that is none")
    for optional in (header.card, header.terms_hash, header.check):
        if not isinstance(optional, str | None):
            raise ValueError("a text that is none")
    for number in (header.images, header.stored, header.size):
        if type(number) is not int or number < 0:
            raise ValueError("a count that is none")
    if header.salt is not None:
        bytes.fromhex(header.salt)
    for counts in (header.formats, header.failures):
        if not all(type(count) is int for count in counts.values()):
            raise ValueError("a count that is none")


def write_header(folder: Path, header: Header) -> None:
    """Put a header in place.

    Raises:
        VedetteError: ``write_failed``.
    """
    told: dict[str, Any] = {"version": _VERSION}
    told |= {name: getattr(header, name) for name in Header.__dataclass_fields__}
    write_whole(folder / HEADER, json.dumps(told, indent=1).encode() + b"\n")


def write_manifest(folder: Path, seal: Seal, entries: Iterable[Entry]) -> dict[str, Any]:
    """A new manifest, and what the header says of it.

    Returns:
        The fields ``manifest`` … ``failures`` of a Header.

    Raises:
        VedetteError: ``write_failed``.
    """
    temporary = folder / ".manifest.tmp"
    digest = hashlib.sha256()
    formats: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    sizes: dict[bytes, int] = {}  # 32 bytes a hash, not 64 characters
    images = 0
    with writing(temporary):
        temporary.unlink(missing_ok=True)
        with os.fdopen(create(temporary), "wb") as stream:
            for entry in entries:
                line = seal_line(seal, entry.to_line()) + b"\n"
                digest.update(line)
                stream.write(line)
                images += 1
                if entry.failure is not None:
                    failures[entry.failure.code] += 1
                    continue
                formats[entry.format or "?"] += 1
                sizes[bytes.fromhex(entry.sha256 or "")] = entry.size
            stream.flush()
            os.fsync(stream.fileno())
        name = f"manifest-{digest.hexdigest()[:16]}.jsonl"
        os.replace(temporary, folder / name)
    return {
        "manifest": name,
        "manifest_sha256": digest.hexdigest(),
        "images": images,
        "stored": len(sizes),
        "size": sum(sizes.values()),
        "formats": dict(sorted(formats.items())),
        "failures": dict(sorted(failures.items())),
    }


def seal_line(seal: Seal, line: bytes) -> bytes:
    """A line of a manifest as it is stored: captions and keys tell as much as pictures."""
    if isinstance(seal, Plain):
        return line
    return base64.b64encode(b"".join(seal.seal(iter([line]))))


def unseal_line(seal: Seal, line: bytes) -> bytes:
    """The line again.

    Raises:
        VedetteError: ``bad_vault``.
    """
    if isinstance(seal, Plain):
        return line
    try:
        sealed = io.BytesIO(base64.b64decode(line, validate=True))
    except ValueError as error:
        raise VedetteError("a line of the manifest was altered", code="bad_vault") from error
    return b"".join(seal.open(cast(Callable[[int], bytes], partial(sealed.read))))


def names() -> list[str]:
    """The sets in the vault."""
    try:
        found = sorted(os.listdir(vault_root()))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise VedetteError(f"cannot read the vault: {error.strerror}", code="bad_vault") from error
    return [name for name in found if is_name(name) and (vault_root() / name / HEADER).is_file()]
