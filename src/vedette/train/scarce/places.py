"""Where the pictures of a manifest lie: its rows can name only files below its own folder."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from hashlib import sha256 as sha256_of
from pathlib import Path

from vedette.data.inside import inside
from vedette.data.opening import split_format
from vedette.data.vault.place import keep_inside
from vedette.errors import UnknownNameError, UsageError, VedetteError
from vedette.sinks.base import check_places, replacing
from vedette.text import is_utf8
from vedette.types import Failure, Item

Row = Mapping[str, str | int | float | None]
SUFFIXES = (".jsonl", ".csv")
ORIGINAL = "of"
"""Field with a picture's key in the set that it came from, where its path is another."""
_SAFE_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}")
_PIECE = 2**20


class Places:
    """Names for the pictures of one manifest, and their copies where they need some.

    Args:
        out: the manifest to be, ``.jsonl`` or ``.csv``.
        given: the set, as the user named it; "" where there is none.
        copy: whether pictures are copied into a folder beside the manifest.
        overwrite: whether a manifest that is there is replaced.

    Raises:
        UnknownNameError: another suffix.
        UsageError: ``output_exists``; the pictures are the vault's, and would be copied.
        VedetteError: ``write_failed``: there is no such folder.
    """

    def __init__(self, out: Path, given: str = "", *, copy: bool, overwrite: bool) -> None:
        if out.suffix.lower() not in SUFFIXES:
            raise UnknownNameError("manifest format", out.suffix or out.name, SUFFIXES)
        check_places([out], overwrite=overwrite)
        if copy and given:
            fmt, path = split_format(given)
            if fmt == "vault":
                raise UsageError(
                    "--copy would copy pictures out of the vault",
                    hint="only vedette data export does that",
                )
            if fmt != "synth":
                keep_inside([path], "--copy")
        self.out = out
        self._copies = out.with_name(f"{out.stem}-pictures") if copy else None

    def name(self, item: Item, sha256: str) -> str:
        """The path of a picture for its row, with ``/``; copied first where that was asked for.

        Args:
            item: with its bytes or its path.
            sha256: of its bytes, hex.

        Raises:
            UsageError: a row cannot name it, or it has other bytes by now.
            VedetteError: ``write_failed``.
        """
        if self._copies is not None:
            return self._copied(item, sha256)
        folder = self.out.parent
        if isinstance(item.data, Path):
            path = os.path.relpath(os.path.abspath(item.data), os.path.abspath(folder))
            name = path.replace(os.sep, "/")
            if is_utf8(name) and not isinstance(inside(folder, name), Failure):
                return name
            where = f"is not below {folder}, where the manifest is to be"
        else:
            where = "is no file by itself"
        raise UsageError(
            f"{item.key} {where}: no row can name it",
            hint="write the manifest to a folder above the pictures, or copy them with --copy",
        )

    def _copied(self, item: Item, sha256: str) -> str:
        assert self._copies is not None
        suffix = os.path.splitext(item.key)[1]
        name = sha256[:32] + (suffix.lower() if _SAFE_SUFFIX.fullmatch(suffix) else "")
        target = self._copies / name
        try:
            self._copies.mkdir(exist_ok=True)
        except OSError as error:
            raise VedetteError(
                f"cannot write {self._copies}: {error.strerror}", code="write_failed"
            ) from error
        with replacing(target) as temporary:
            if isinstance(item.data, bytes):
                temporary.write_bytes(item.data)
            elif isinstance(item.data, Path):
                shutil.copyfile(item.data, temporary)
            if not temporary.exists() or _digest(temporary) != sha256:
                raise UsageError(f"{item.key} has other bytes than when it was scanned")
        return f"{self._copies.name}/{name}"

    def write(self, rows: Sequence[Row]) -> None:
        """Write the manifest whole.

        Raises:
            VedetteError: ``write_failed``.
        """
        columns = list(dict.fromkeys(name for row in rows for name in row))
        with (
            replacing(self.out) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as stream,
        ):
            if self.out.suffix.lower() == ".csv":
                writer = csv.DictWriter(stream, columns, restval="")
                writer.writeheader()
                writer.writerows(rows)
            else:
                for row in rows:
                    line = json.dumps(row, ensure_ascii=False, allow_nan=False)
                    stream.write(line + "\n")
            stream.flush()


def _digest(path: Path) -> str:
    digest = sha256_of()
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
