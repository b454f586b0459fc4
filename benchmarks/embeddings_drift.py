"""What bf16 changes in the scores of a head over embeddings, on random float16 rows.

    python benchmarks/embeddings_drift.py laion-nsfw-l14 clip_autokeras_binary_nsfw.zip

First the largest change of a probability on as many rows as ``--precision auto`` looks at, with six
other seeds; then on 204,800 rows: the largest, the mean, and how many decisions at 0.5 change.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from vedette.embeddings.base import Chunk, Place, Rows
from vedette.embeddings.scorer import ROWS, Scorer, probe
from vedette.heads.registry import load
from vedette.types import Float32

SEEDS, LOOKED_AT, ALL = 6, 16_384, 204_800
HALF = np.dtype(np.float16)


def probabilities(scorer: Scorer, rows: Rows) -> Float32:
    chunk = Chunk(Place("random", 0), len(rows), lambda out: np.copyto(out, rows))
    return scorer.head.probabilities(scorer.score(chunk).scores)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("head")
    parser.add_argument("weights", type=Path)
    args = parser.parse_args()
    head = load(args.head, args.weights)
    exact, fast = Scorer(head, HALF, "fp32"), Scorer(head, HALF, "bf16")
    changes, flips = [], 0
    for seed in range(ALL // ROWS):
        rows = probe(head, seed).astype(np.float16)
        p, q = probabilities(exact, rows), probabilities(fast, rows)
        changes.append(np.abs(p - q))
        flips += int(((p >= 0.5) != (q >= 0.5)).sum())
    each = LOOKED_AT // ROWS
    worst = [float(np.max(changes[k * each : (k + 1) * each])) for k in range(SEEDS)]
    print(f"{args.head}: largest on {LOOKED_AT} rows: {min(worst):.4f} to {max(worst):.4f}")
    print(
        f"  on {ALL} rows: largest {np.max(changes):.4f}, mean {np.mean(changes):.6f}, "
        f"{flips} of {ALL * len(head.labels)} decisions changed"
    )


if __name__ == "__main__":
    main()
