"""The one way out of the vault: asked for by name, logged, refused where the terms forbid it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from vedette.data.cards import card_named
from vedette.data.vault.log import log
from vedette.data.vault.place import create, keep_inside, make_private, writing
from vedette.data.vault.stored import open_set
from vedette.errors import UsageError

MANIFEST = "manifest.jsonl"
_PICTURES = "pictures"
_FIELDS = ("key", "path", "label")


def export_set(name: str, out: Path) -> int:
    """Write the pictures of a set and a manifest of them to a new folder.

    The folder is a source of the format ``manifest``. Files are named by content: keys come from
    strangers and may be any text.

    Returns:
        How many images the manifest lists.

    Raises:
        UsageError: ``terms_refused``: the set may not be passed on; ``output_exists``;
            ``not_found``.
        VedetteError: ``bad_vault``: an image was altered; ``write_failed``. What was written then
            stays, without a manifest.
    """
    stored = open_set(name)
    card = stored.header.card
    if card is not None and not card_named(card).redistribution:
        raise UsageError(
            f"{name} is {card}, which may not be redistributed",
            code="terms_refused",
            hint="its terms: vedette data sets " + card,
        )
    if stored.header.stored == 0:
        raise UsageError(f"{name} has no picture to export")
    keep_inside([out], "an export into the vault")
    if out.exists():
        raise UsageError(f"{out} is already there", code="output_exists")
    log("export", name, {"images": stored.header.images})  # before: a killed export has happened
    make_private(out)
    make_private(out / _PICTURES)
    lines: list[bytes] = []
    for entry in stored.entries():
        if entry.failure is not None or entry.sha256 is None:
            continue
        path = out / _PICTURES / f"{entry.sha256}.{(entry.format or 'bin').lower()}"
        if not path.exists():
            with writing(path), os.fdopen(create(path), "wb") as stream:
                for piece in stored.pieces(entry.sha256):
                    stream.write(piece)
        label = (
            None
            if entry.unsafe is None
            else "+".join(sorted(entry.labels or ())) or ("unsafe" if entry.unsafe else "safe")
        )
        row = {
            **{f"meta_{name}" if name in _FIELDS else name: v for name, v in entry.meta.items()},
            "key": entry.key,
            "path": f"{_PICTURES}/{path.name}",
            "label": label,
        }
        lines.append(json.dumps(row).encode() + b"\n")
    manifest = out / MANIFEST
    with writing(manifest), os.fdopen(create(manifest), "wb") as stream:
        stream.writelines(lines)
    return len(lines)
