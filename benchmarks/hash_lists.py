"""How long hashing a picture and asking a list take.

    python benchmarks/hash_lists.py [FOLDER OF JPEGS]

Lists are of random hashes; a picture is asked with its seven turns and mirror images. With
pdqhash installed (Facebook's C++), it is timed beside ours on the same pixels.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from vedette.decode import DecodeOptions, decode
from vedette.hashlists.entries import Kind, Match
from vedette.hashlists.files import HashList, open_list, write_list
from vedette.hashlists.lists import FIT
from vedette.hashlists.pdq import pdq
from vedette.perceptual import distances

SIZES = ((640, 480), (1920, 1080), (4000, 3000))
COUNTS = (1_000, 100_000, 1_000_000)
CALLS = 200


def main() -> None:
    rng = np.random.default_rng(1)
    try:
        reference = importlib.import_module("pdqhash").compute
    except ImportError:
        reference = None
    for width, height in SIZES:
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        told = f"PDQ of {width} x {height}: {p50(partial(pdq, pixels), 10):.1f} ms"
        if reference is not None:
            told += f"; pdqhash {p50(partial(reference, pixels), 10):.1f} ms"
        print(told)
    if len(sys.argv) > 1:
        moved = [drift(path.read_bytes()) for path in sorted(Path(sys.argv[1]).rglob("*.jpg"))]
        print(f"decoded at a reduced scale: {max(moved)} bits at most on {len(moved)} pictures")
    with tempfile.TemporaryDirectory() as folder:
        for count in COUNTS:
            measure(Path(folder), count, rng)


def measure(folder: Path, count: int, rng: np.random.Generator) -> None:
    notes = {rng.bytes(32): str(n) for n in range(count)}
    for match in Match:
        path = write_list(folder, f"n{count}", Kind.BLOCK, match, notes)
        started = time.perf_counter()
        opened = open_list(path)
        loaded = time.perf_counter() - started
        took = p50(partial(ask, opened, rng), CALLS)
        size = path.stat().st_size / 2**20
        print(f"{count:>9} {match:<6} {size:6.1f} MiB, loaded {loaded:.2f} s, asked {took:.3f} ms")


def ask(opened: HashList, rng: np.random.Generator) -> None:
    if opened.near is None:
        opened.find(rng.bytes(32))
    else:
        opened.near.nearest(rng.integers(0, 2**64, (8, 4), dtype=np.uint64))


def drift(data: bytes) -> int:
    """Bits by which a hash moves when the picture is decoded as a service decodes it."""
    reduced, whole = (
        pdq(next(decode(data, DecodeOptions(fit=fit, icc=False))).pixels).hashes[0]
        for fit in (FIT, None)
    )
    return int(distances(reduced, whole))


def p50(call: Callable[[], object], times: int) -> float:
    """Median of some calls, in milliseconds."""
    took = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        took.append(time.perf_counter() - started)
    return 1000 * float(np.median(took))


if __name__ == "__main__":
    main()
