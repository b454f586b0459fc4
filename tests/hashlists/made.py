"""Drawn pictures and lists of them."""

from __future__ import annotations

import io
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import PIL.Image

from tests.pictures import drawn, encoded
from vedette.hashlists.entries import Kind, Match
from vedette.hashlists.files import write_list
from vedette.hashlists.pdq import pdq


@cache
def picture(seed: int) -> PIL.Image.Image:
    """A drawn picture with detail enough for PDQ."""
    found = drawn(seed + 100, 320, 240)
    noise = np.random.default_rng(seed).integers(0, 120, (12, 16, 3), dtype=np.uint8)
    spots = PIL.Image.fromarray(noise).resize(found.size, PIL.Image.Resampling.BICUBIC)
    return PIL.Image.blend(found, spots, 0.5)


@cache
def png(seed: int) -> bytes:
    return encoded(picture(seed))


def passed_on(seed: int) -> bytes:
    """The same picture as another file."""
    return encoded(picture(seed).resize((240, 180)), "JPEG", quality=60)


def turned(seed: int) -> bytes:
    return encoded(picture(seed).transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT))


def animation(*seeds: int) -> bytes:
    """A GIF of pictures."""
    first, *rest = [picture(seed) for seed in seeds]
    stream = io.BytesIO()
    first.save(stream, "GIF", save_all=True, append_images=rest, duration=100)
    return stream.getvalue()


def hash_of(data: bytes, match: Match) -> bytes:
    if match is Match.SHA256:
        return sha256(data).digest()
    with PIL.Image.open(io.BytesIO(data)) as opened:
        return bytes.fromhex(pdq(np.asarray(opened.convert("RGB"))).hex)


def listed(folder: Path, name: str, kind: Kind, match: Match, *files: bytes) -> Path:
    """A stored list of files; the note of each is its place."""
    notes = {hash_of(data, match): f"entry {place}" for place, data in enumerate(files)}
    return write_list(folder, name, kind, match, notes)
