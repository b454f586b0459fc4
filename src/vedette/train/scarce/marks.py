"""Images that need no label any more: what files of labels, and earlier lists, name."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Sequence
from pathlib import Path

from vedette.data.keys import to_key
from vedette.data.manifest import IMAGE_FIELDS
from vedette.data.rows import text_of
from vedette.data.sheets import Sheet
from vedette.errors import UsageError
from vedette.train.scarce.places import ORIGINAL

SHA256 = re.compile(r"[0-9a-f]{64}")


class Marks:
    """The images that some files name, by their bytes, their key or their path.

    Args:
        files: CSV, TSV or JSONL: labels of ``vedette annotate export``, manifests, lists of
            ``vedette train next``. A row with a ``sha256`` is known by that alone.

    Raises:
        UsageError: ``bad_source``: a file cannot be read, or has no field that names images.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = tuple(files)
        self._hashes: dict[str, Path] = {}
        self._keys: dict[str, Path] = {}
        self._paths: dict[str, Path] = {}
        self._met: set[Path] = set()
        self._rows: dict[Path, int] = {}
        for file in files:
            self._read(file)

    def __contains__(self, image: tuple[str, str | None, Path | None]) -> bool:
        """Whether an image is named: its key, the hash of its bytes, and its path."""
        key, sha256, path = image
        found = [self._keys.get(key)]
        if sha256 is not None:
            found.append(self._hashes.get(sha256))
        if path is not None:
            found.append(self._paths.get(os.path.abspath(path)))
        named = [file for file in found if file is not None]
        self._met.update(named)
        return bool(named)

    def check(self, given: str) -> None:
        """Refuse a file that names no image of the set, once the whole set was asked about.

        Raises:
            UsageError: there is such a file.
        """
        for file in self.files:
            if self._rows[file] and file not in self._met:
                raise UsageError(
                    f"none of the {self._rows[file]:,} images in {file} is in {given}",
                    hint="it names images by sha256, by key, or by a path from its own folder",
                )

    def _read(self, file: Path) -> None:
        count = 0
        for row, line, _ in Sheet(file).rows():
            count += 1
            sha256 = text_of(row.get("sha256")).strip().lower()
            if SHA256.fullmatch(sha256):
                self._hashes[sha256] = file
                continue
            names = [text for name in (ORIGINAL, "key") if (text := text_of(row.get(name)))]
            image = next((text for name in IMAGE_FIELDS if (text := text_of(row.get(name)))), "")
            if not names and not image:
                raise UsageError(
                    f"{file.name}, line {line}: it names no image",
                    code="bad_source",
                    hint=f"call the field sha256, {', '.join(IMAGE_FIELDS)}",
                )
            self._keys.update(dict.fromkeys(names or [to_key(posixpath.normpath(image))], file))
            if image and "\0" not in image:
                self._paths[os.path.abspath(file.parent / image)] = file
        self._rows[file] = count
