"""A matrix of embeddings through a head into a file, in order, with memory that stays flat."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from vedette.embeddings.base import Chunk, Matrix
from vedette.embeddings.outputs import Shape, opener_for
from vedette.embeddings.scorer import ROWS, Scored, Scorer, count_near_one

_FEW = 0.01
"""The share of rows that may be of another length than the head was made for."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What was done."""

    rows: int
    scored: int
    """Rows that had an embedding."""
    size: int
    """Bytes of embeddings."""
    seconds: float
    looked_at: int
    """Rows whose norms were taken."""
    near_one: int
    """Those of them that are L2-normalised."""

    def doubt(self, scorer: Scorer, name: str) -> str | None:
        """What makes the scores doubtful, for a person; None: nothing that is seen."""
        if not self.looked_at or not scorer.length_matters:
            return None
        far = self.looked_at - self.near_one
        if scorer.head.unit and far > _FEW * self.looked_at:
            return (
                f"{far} of {self.looked_at} rows looked at are not L2-normalised, and {name} was "
                "made for normalised embeddings: its scores of the others mean little"
            )
        if not scorer.head.unit and far <= _FEW * self.looked_at:
            return (
                f"the rows are L2-normalised, and {name} was made for embeddings as CLIP projects "
                "them, about ten times as long: its scores of these mean little"
            )
        return None


def score_matrix(matrix: Matrix, scorer: Scorer, out: Path) -> Summary:
    """Score every row of ``matrix`` into a new file ``out``, ``.npy`` or ``.parquet``.

    The file is written beside its place and moved there when it is whole.

    Raises:
        UsageError: rows that cannot be read, or hold values that are not finite.
        VedetteError: ``write_failed``.
    """
    started = time.perf_counter()
    scored = looked_at = near_one = 0
    shape = Shape(matrix.rows, scorer.head.labels, matrix.key)
    with opener_for(out)(out, shape) as write, closing(_in_order(matrix, scorer)) as done:
        for chunk, result in done:
            write(chunk, result.scores)
            scored += chunk.count
            looked_at += len(result.norms)
            near_one += count_near_one(result.norms)
    seconds = time.perf_counter() - started
    return Summary(matrix.rows, scored, matrix.size, seconds, looked_at, near_one)


def _in_order(matrix: Matrix, scorer: Scorer) -> Generator[tuple[Chunk, Scored]]:
    """Chunks with their scores in the matrix's order, a few of them under way at a time."""
    under_way: deque[tuple[Chunk, Future[Scored]]] = deque()
    with ThreadPoolExecutor(scorer.workers) as pool:
        try:
            for chunk in matrix.chunks(ROWS):
                under_way.append((chunk, pool.submit(scorer.score, chunk)))
                # Twice as many as work: whoever is done finds the next one waiting.
                if len(under_way) > 2 * scorer.workers:
                    first, future = under_way.popleft()
                    yield first, future.result()
            while under_way:
                first, future = under_way.popleft()
                yield first, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
