"""Which images the tasks take that look at each one many times: a seeded, stratified sample."""

from __future__ import annotations

import hashlib

import numpy as np

from vedette.bench.predictions import Bools, Ints, Predictions


def sample(predictions: Predictions, count: int, seed: int, among: Bools | None = None) -> Ints:
    """Rows of ``predictions``, drawn evenly from every source, safe and unsafe.

    Where a stratum has too few, the others give more. Whether an image is drawn before another of
    its stratum follows from its key and the seed alone: a set in another order gives the same
    images, and a larger ``count`` gives them and more.

    Args:
        predictions: what to draw from.
        count: how many, at most.
        seed: another one, other images.
        among: bool [n], the rows that may be drawn; None: all.

    Returns:
        int64 rows, sorted.
    """
    strata: dict[tuple[str, bool], list[tuple[bytes, int]]] = {}
    for row in np.flatnonzero(np.ones(len(predictions), np.bool_) if among is None else among):
        stratum = (predictions.source[row], bool(predictions.unsafe[row]))
        lot = hashlib.sha256(f"{seed}\0{predictions.keys[row]}".encode()).digest()
        strata.setdefault(stratum, []).append((lot, int(row)))
    queues = [sorted(strata[stratum]) for stratum in sorted(strata)]
    chosen: list[int] = []
    # One from each stratum in turn, until there are enough or none is left.
    for turn in range(max(map(len, queues), default=0)):
        for queue in queues:
            if turn < len(queue) and len(chosen) < count:
                chosen.append(queue[turn][1])
    return np.array(sorted(chosen), dtype=np.int64)
